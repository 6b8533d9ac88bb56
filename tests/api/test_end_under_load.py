"""SIGTERM while many ask: whoever was heard is answered."""

from __future__ import annotations

import asyncio
import json
import signal

import httpx2

from tests.api.support import BASE, BIG
from tests.api.test_serve import SECONDS_MAX, serving

CLIENTS = 16


async def ask_on(base_url: str, headers: dict[str, str], seen: list[str], *, keeps: bool) -> None:
    """Asks again and again until nobody listens; notes each status, or how it failed."""
    client = httpx2.AsyncClient(base_url=base_url, headers=headers)
    try:
        while True:
            if not keeps:
                await client.aclose()
                client = httpx2.AsyncClient(base_url=base_url, headers=headers)
            try:
                response = await client.post(f"{BASE}/preview", json={"criteria": BIG})
                seen.append(str(response.status_code))
            except httpx2.ConnectError:
                return
            except httpx2.TransportError as error:
                seen.append(type(error).__name__)
                return
    finally:
        await client.aclose()


async def test_nobody_is_left_without_an_answer(database_url: str) -> None:
    """Each request that was read gets its answer; the process ends with 0 all the same.

    A connection that the kernel took in the very moment in which the process stopped to listen is lost: one or two.
    """
    async with serving(database_url) as (process, client):
        assert process.stderr is not None
        logging = asyncio.create_task(process.stderr.read())
        seen: list[str] = []
        url, headers = str(client.base_url), dict(client.headers)
        asking = [asyncio.create_task(ask_on(url, headers, seen, keeps=n % 2 == 0)) for n in range(CLIENTS)]
        await asyncio.sleep(1)
        process.send_signal(signal.SIGTERM)
        before = len(seen)
        await asyncio.wait_for(asyncio.gather(*asking), SECONDS_MAX)
        assert await asyncio.wait_for(process.wait(), SECONDS_MAX) == 0

    assert before > CLIENTS
    assert len(seen) > before
    answered = [json.loads(line) for line in (await logging).splitlines() if b"/preview" in line]
    assert {one["status"] for one in answered} == {200}
    assert len(answered) == seen.count("200")
    assert len(seen) - seen.count("200") <= 2, {one: seen.count(one) for one in seen}
