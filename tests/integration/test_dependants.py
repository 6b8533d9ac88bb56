"""Segments that ask for the members of others, when those change: on the real tables, without Kafka."""

from __future__ import annotations

import json
from typing import Any

from service.adapters.postgres import backfills
from service.adapters.postgres.database import Database
from service.adapters.postgres.verify import verify
from service.core import instants
from tests.facts import Service
from tests.world import change, create

NOW = "2024-03-01T00:00:00Z"
HISTORY = """
SELECT s.segment_name, m.joined_at, m.left_at FROM customer_segment_memberships m
JOIN customer_segments s ON s.id = m.segment_id ORDER BY 1, 2
"""


def placed(number: int, time: str) -> bytes:
    """An order of customer c."""
    data = {"customer_id": "c", "order_id": f"o{number}", "currency": "USD", "total": 10}
    body = {"specversion": "1.0", "id": f"e{number}", "source": "/t", "type": "order.placed", "time": time}
    return json.dumps({**body, "data": data}).encode()


async def history(database: Database) -> list[tuple[str, str, str | None]]:
    """(segment, joined at, left at) as stored."""
    async with database.session() as connection:
        return [
            (name, joined.strftime("%m-%d"), left and left.strftime("%m-%d"))
            for name, joined, left in await connection.fetch(HISTORY)
        ]


async def backfilled(service: Service) -> None:
    """Everybody is brought up to the catalogue, and what is on its way out is forgotten."""
    await service.backfill(instants.parse(NOW))
    async with service.batches.store() as store:
        await backfills.finish(store.connection, (await store.catalogue()).version)


async def test_late_input_does_not_go_behind_a_reference_that_is_forgotten(database: Database) -> None:
    """Who joined because a segment went does not leave before that, though the hot path knows that one no more."""
    service = Service(database, "USD")
    one: dict[str, Any] = {"total_orders": {"operator": "gte", "value": 1}}
    two: dict[str, Any] = {"total_orders": {"operator": "gte", "value": 2}}
    ids = await create(database, {"buyer": one}, NOW)
    await create(database, {"no buyer": {"not_member_of": ids["buyer"], "not": two}}, NOW)
    later = "2024-04-01T00:00:00Z"
    await service.take([placed(1, "2024-03-10T00:00:00Z")], instants.parse(later))
    await change(database, ids["buyer"], later, status="archived")
    await backfilled(service)
    await service.take([placed(2, "2024-03-20T00:00:00Z")], instants.parse(later))

    assert await history(database) == [("buyer", "03-10", "04-01"), ("no buyer", "04-01", "04-01")]
    assert not (await verify(database, None, instants.parse(later))).has_drift


async def test_a_definition_that_nobody_understands(database: Database) -> None:
    """Its members stay and it gets no new ones; all other segments go on, those that name it too."""
    service = Service(database, "USD")
    one: dict[str, Any] = {"total_orders": {"operator": "gte", "value": 1}}
    ids = await create(database, {"strange": one, "buyer": one}, NOW)
    await create(database, {"both": {"member_of": ids["strange"], **one}}, NOW)
    await service.take([placed(1, "2024-02-10T00:00:00Z")], instants.parse(NOW))
    # As a release that knew more criteria would have left it, and another customer beside.
    await service.run("""UPDATE customer_segments SET criteria = '{"unheard_of": 1}' WHERE segment_name = 'strange'""")
    await service.run("UPDATE catalogue SET version = version + 1")
    other = placed(2, "2024-02-11T00:00:00Z").replace(b'"c"', b'"d"')
    await service.take([placed(3, "2024-02-12T00:00:00Z"), other], instants.parse(NOW))

    joined = [(name, at) for name, at, left in await history(database) if left is None]
    assert joined == [("both", "02-10"), ("buyer", "02-10"), ("buyer", "02-11"), ("strange", "02-10")]

    await service.run('UPDATE customer_segments SET criteria = criteria || \'{"member_of": "x"}\' WHERE slot = 0')
    await create(database, {"another": {"member_of": ids["buyer"]}}, NOW)
    await change(database, ids["strange"], NOW, status="archived")
    await backfilled(service)
    assert {name for name, _, left in await history(database) if left is None} == {"buyer", "another"}
