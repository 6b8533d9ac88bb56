"""The API as a role that dies, and what it is asked for meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
from pydantic import SecretStr

from service.api.app import token_rules
from service.app.tokens import Permission
from service.stack.ports import free_port
from tests.api.support import BASE, bearer
from tests.crash.processes import Process
from tests.crash.timeline import Timeline

SECONDS_MAX = 30
#: Nobody's criteria: members are those who are pinned.
PICKED = {"traits": {"picked": {"operator": "eq", "value": "yes"}}}
BIG = {"total_spent": {"operator": "gte", "value": 150}}
BIGGER = {"total_spent": {"operator": "gte", "value": 200}}
FOUND = "SELECT id::text FROM customer_segments WHERE segment_name = $1 AND NOT is_deleted"
VERSION = "SELECT version FROM customer_segments WHERE id = $1::uuid"
PINS = "SELECT count(*) FROM pins JOIN customers USING (customer_id) WHERE external_id = ANY($1)"


@dataclass
class Wish:
    """A request, and how to see in the database that it was granted, once and wholly."""

    method: str
    path: str
    body: dict[str, Any] | None
    is_done: Callable[[Timeline], Awaitable[bool]]

    async def send(self, client: httpx2.AsyncClient) -> httpx2.Response:
        """Asks."""
        return await client.request(self.method, BASE + self.path, json=self.body)


async def creation(timeline: Timeline) -> Wish:
    """A new segment."""
    name = f"big {len(timeline.ids)}"

    async def is_done(timeline: Timeline) -> bool:
        async with timeline.database.session() as connection:
            found = [row[0] for row in await connection.fetch(FOUND, name)]
        assert len(found) <= 1
        if found:
            timeline.ids[name], timeline.definitions[name] = found[0], BIG
        return bool(found)

    return Wish("POST", "", {"segment_name": name, "criteria": BIG}, is_done)


async def redefinition(timeline: Timeline) -> Wish:
    """New criteria for a segment."""
    name = f"big {len(timeline.ids)}"
    await timeline.define({name: BIG})
    timeline.definitions[name] = BIGGER

    async def is_done(timeline: Timeline) -> bool:
        async with timeline.database.session() as connection:
            version = await connection.fetchval(VERSION, timeline.ids[name])
        assert version in (1, 2)
        return bool(version == 2)

    return Wish("PUT", f"/{timeline.ids[name]}", {"criteria": BIGGER}, is_done)


async def deletion(timeline: Timeline) -> Wish:
    """The end of a segment."""
    name = f"big {len(timeline.ids)}"
    await timeline.define({name: BIG})
    await timeline.idle()
    segment_id = timeline.ids.pop(name)
    del timeline.definitions[name]

    async def is_done(timeline: Timeline) -> bool:
        async with timeline.database.session() as connection:
            return not await connection.fetch(FOUND, name)

    return Wish("DELETE", f"/{segment_id}", None, is_done)


async def pinning(timeline: Timeline) -> Wish:
    """Two customers are added by hand."""
    if "picked" not in timeline.ids:
        await timeline.define({"picked": PICKED})
    customers = sorted((await timeline.publish()).exact)[:2]
    await timeline.idle()
    timeline.pins.setdefault("picked", {}).update(dict.fromkeys(customers, True))

    async def is_done(timeline: Timeline) -> bool:
        async with timeline.database.session() as connection:
            count = await connection.fetchval(PINS, customers)
        assert count in (0, len(customers))
        return bool(count)

    return Wish("POST", f"/{timeline.ids['picked']}/customers", {"customer_ids": customers}, is_done)


WISHES: dict[str, Callable[[Timeline], Awaitable[Wish]]] = {
    "create": creation,
    "change": redefinition,
    "delete": deletion,
    "pin": pinning,
}


@asynccontextmanager
async def serving(timeline: Timeline, crash_at: str | None = None) -> AsyncIterator[tuple[Process, httpx2.AsyncClient]]:
    """The API, bound to die or not, and a client that may do everything."""
    port = free_port()
    process = timeline.start("serve", "--port", str(port), crash_at=crash_at)
    secret = SecretStr(timeline.world.env["SEGMENTS_JWT_SECRET"])
    rules = token_rules(timeline.settings.model_copy(update={"jwt_secret": secret}))
    headers = bearer(rules.issue("u-1", "Ursula", list(Permission), SECONDS_MAX * 10))
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=SECONDS_MAX) as client:
        async with asyncio.timeout(SECONDS_MAX):
            while not await _answers(client):  # noqa: ASYNC110 - it is another process
                await asyncio.sleep(0.02)
        yield process, client
    timeline.end("serve")


async def _answers(client: httpx2.AsyncClient) -> bool:
    try:
        return (await client.get("/livez")).status_code == 200
    except httpx2.TransportError:
        return False
