"""Real customers for tests of the API, made of events by the use cases of the hot path, and what these publish."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from service.adapters.postgres import backfills
from service.app.outgoing import decode_outbox
from service.core import instants
from service.core.identity import customer_uuid
from tests.api.support import NOW, Api
from tests.facts import Service

DAY = instants.DAY


@dataclass(frozen=True)
class Change:
    """A joined or left, as it waits in the outbox."""

    external_id: str
    segment: str
    change: str
    reason: str
    sequence: int
    at: int


class People:
    """Customers of one application; the clock says NOW unless a test says otherwise."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.service = Service(api.database, "USD")
        self._count = 0

    async def order(self, customer: str, total: int, at: int = NOW - DAY, now: int = NOW) -> str:
        """An order of this customer; gives its id."""
        self._count += 1
        number = f"o-{self._count}"
        data = {"order_id": number, "currency": "USD", "total": total}
        await self.event("order.placed", customer, at, now, **data)
        return number

    async def event(self, kind: str, customer: str, at: int = NOW - DAY, now: int = NOW, **data: Any) -> None:
        """An event of this customer."""
        self._count += 1
        envelope = {"specversion": "1.0", "id": f"e-{self._count}", "type": kind, "time": instants.to_text(at)}
        line = json.dumps({**envelope, "data": {"customer_id": customer, **data}}).encode()
        await self.service.take([line], now)

    async def backfill(self, now: int = NOW) -> None:
        """Brings everybody up to the catalogue and ends the running backfills."""
        await self.service.backfill(now)
        async with self.api.database.batch() as connection:
            running = await backfills.running(connection)
            if running is not None:
                await backfills.finish(connection, running)

    async def members(self, segment: str) -> list[str]:
        """External ids of the members, as the API answers them, sorted."""
        response = await self.api.send("GET", f"/{segment}/customers?limit=1000")
        assert response.status_code == 200, response.text
        return sorted(one["external_id"] for one in response.json()["data"]["customers"])

    async def published(self) -> list[Change]:
        """All that waits to be published, in its order."""
        async with self.api.database.session() as connection:
            rows = await connection.fetch("SELECT payload FROM outbox ORDER BY id")
        found = []
        for (payload,) in rows:
            for _, _, value, headers in decode_outbox(payload, "membership"):
                data = json.loads(value or b"")
                change = dict(headers)["ce_type"].decode().removeprefix("segment.")
                names = (data["external_id"], data["segment_name"], change, data["reason"], data["sequence"])
                found.append(Change(*names, instants.parse(data["effective_at"])))
        return found

    async def changes(self, segment_name: str) -> list[tuple[str, str, str]]:
        """(external id, joined or left, reason) of one segment."""
        return [
            (one.external_id, one.change, one.reason) for one in await self.published() if one.segment == segment_name
        ]

    async def pinned(self, segment: str) -> dict[str, str]:
        """External id -> included or excluded, as the API answers it."""
        response = await self.api.send("GET", f"/{segment}/pins?limit=1000")
        assert response.status_code == 200, response.text
        return {one["external_id"]: one["pin"] for one in response.json()["data"]["pins"]}


def ids(*external_ids: str) -> dict[str, list[str]]:
    """A body that names these customers."""
    return {"customer_ids": list(external_ids)}


def uuid_of(external_id: str) -> UUID:
    """The customer's UUID."""
    return customer_uuid(external_id)
