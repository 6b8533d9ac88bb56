"""How many members a page says there are: as many as there are, counted or kept."""

from __future__ import annotations

import pytest

from service.adapters.postgres import outbox
from tests.api.people import DAY, People, ids
from tests.api.support import NOW, Api, add_many

RECENT = {"last_order_date": {"operator": "within_last", "days": 10}}


async def total(api: Api, segment: str) -> int:
    """What a page says."""
    return int((await api.send("GET", f"/{segment}/customers?limit=1")).json()["data"]["total"])


async def counted(api: Api, segment: str) -> int:
    """How many open memberships are stored."""
    rows = await api.send("GET", f"/{segment}/customers?limit=1000")
    return len(rows.json()["data"]["customers"])


async def publish(api: Api) -> int:
    """What the relay does to the outbox when all is sent; gives how many rows there were."""
    async with api.database.batch() as connection:
        rows = [row[0] for row in await connection.fetch("SELECT id FROM outbox")]
        await outbox.delete(connection, rows)
    return len(rows)


class TestTotal:
    """data.total of large segments, which are not counted for it."""

    async def test_kept(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is right before and after the relay, by events, time, hand, definition and erasure."""
        monkeypatch.setattr("service.adapters.postgres.members.COUNTED_MAX", 0)
        people = People(api)
        segment = (await api.create(criteria=RECENT))["id"]
        found = []

        async def look() -> None:
            for is_published in (False, True):
                assert await total(api, segment) == await counted(api, segment), (found, is_published)
                if not is_published:
                    assert await publish(api)
            found.append(await total(api, segment))

        for name in "ABCDE":
            await people.order(name, 10, NOW - 11 * DAY if name == "A" else NOW - DAY, NOW)
        await look()
        await people.service.fire(NOW)
        await people.order("F", 10, NOW - DAY)
        await look()
        await api.send("POST", f"/{segment}/customers", json=ids("A"))
        await look()
        await people.event("customer.deleted", "B", NOW)
        await look()
        await api.send("PUT", f"/{segment}", json={"criteria": {"total_orders": {"operator": "gte", "value": 9}}})
        await people.backfill()
        await look()

        assert found[1:] == [5, 6, 5, 1]

    async def test_both_ways(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        """Below the limit members are counted, from it on the kept number counts."""
        segment = (await api.create())["id"]
        await add_many(api.database, segment, 5)
        await api.run("UPDATE customer_segments SET customer_count = 77")

        monkeypatch.setattr("service.adapters.postgres.members.COUNTED_MAX", 6)
        assert await total(api, segment) == 5
        monkeypatch.setattr("service.adapters.postgres.members.COUNTED_MAX", 5)
        assert await total(api, segment) == 77
