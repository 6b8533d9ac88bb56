"""Backfills that visit only whom a definition may affect: the result is as if they had visited everybody."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from service.adapters.postgres.candidates import find_candidates
from service.adapters.postgres.database import Database
from service.adapters.postgres.verify import verify
from service.app.backfill import backfill_slice
from service.core import instants
from service.core.instants import DAY
from tests import shop
from tests.facts import Service

NOW = instants.parse("2024-03-01T00:00:00Z")
MEMBERS = "SELECT count(*) FROM customer_segment_memberships WHERE left_at IS NULL"

CRITERIA: dict[str, tuple[dict[str, Any], bool]] = {
    "without a window": ({"total_spent": {"operator": "gte", "value": 60}}, True),
    "orders in a window": ({"total_orders": {"operator": "gte", "value": 2, "window": {"days": 20}}}, True),
    "spending in a window": ({"total_spent": {"operator": "gt", "value": 50, "window": {"days": 20}}}, True),
    "lately": ({"last_order_date": {"operator": "within_last", "days": 10}}, True),
    "lapsed": ({"last_order_date": {"operator": "more_than_ago", "days": 10}}, False),
    "dear taste": (shop.BEHAVIOUR["dear taste"], False),
    "many categories": (shop.BEHAVIOUR["many categories"], True),
    "spent while looking": (
        {"activity": {"name": "viewed", "sum": {"property": "price", "operator": "gt", "value": 199.99}}},
        True,
    ),
    "something dear, then an order": (
        {
            "sequence": {
                "steps": [
                    {"activity": {"name": "viewed", "where": {"price": {"operator": "gte", "value": 19.99}}}},
                    {"order": {}},
                ],
                "within": {"days": 3},
            }
        },
        True,
    ),
    "few in a window": ({"total_orders": {"operator": "lt", "value": 2, "window": {"days": 20}}}, False),
}


def encoded(events: list[dict]) -> list[bytes]:
    """Events as they come from Kafka."""
    return [json.dumps(event).encode() for event in events]


async def backfilled(service: Service, now: int) -> tuple[int | None, int]:
    """Runs what the timers role runs; gives how many customers were chosen (None: everybody) and visited."""
    async with service.batches.store() as store:
        target = (await store.catalogue()).version
    candidates = await find_candidates(service.database, target)
    after, visited = UUID(int=0), 0
    while True:
        chosen = None if candidates is None else candidates.some(visited, 7)
        async with service.batches.store() as store:
            done = await backfill_slice(store, introduced=target, after=after, now=now, recorded_at=now, chosen=chosen)
        if not done.customers:
            break
        after, visited = done.last, visited + done.customers
    await service.run("UPDATE customer_segments SET backfill_state = 'done'")
    return None if candidates is None else len(candidates), visited


@pytest.mark.parametrize("name", CRITERIA)
async def test_nobody_is_missed(database: Database, name: str) -> None:
    """After the backfill, and as time goes on and events come, every membership is what the facts say."""
    criteria, is_chosen = CRITERIA[name]
    service = Service(database, "USD")
    events = shop.events(customers=60, count=600, seed=5) + shop.visits(customers=60, count=400, seed=5)
    events = sorted(events, key=lambda event: event["time"])
    first = [event for event in events if instants.parse(event["time"]) <= NOW]
    assert first
    await service.define([{"key": "old", "criteria": {"total_orders": {"operator": "gte", "value": 3}}}])
    await service.take(encoded(first), NOW)
    await service.fire(NOW)
    await service.define([{"key": "new", "criteria": criteria}], since=NOW, backfill_state="running")

    chosen, visited = await backfilled(service, NOW)
    assert (chosen is not None) == is_chosen
    assert chosen is None or visited == chosen
    assert not (await verify(database, None, NOW)).has_drift

    for days in (1, 9, 25, 60):
        await service.fire(NOW + days * DAY)
        assert not (await verify(database, None, NOW + days * DAY)).has_drift, days
    later = [{**event, "id": "again" + event["id"]} for event in first[:40] if event["type"] == "order.placed"]
    moved = [{**one, "time": "2024-06-01T00:00:00Z", "data": {**one["data"], "order_id": one["id"]}} for one in later]
    end = NOW + 200 * DAY
    await service.take(encoded(moved), end)
    await service.fire(end)
    assert not (await verify(database, None, end)).has_drift
    async with database.transaction() as connection:
        assert (await connection.execute(text(MEMBERS))).scalar_one()


async def test_a_segment_that_goes_concerns_its_members_alone(database: Database) -> None:
    """An archived segment visits whoever is in it, and pins count as well."""
    service = Service(database, "USD")
    events = shop.events(customers=30, count=200, seed=6)
    now = max(instants.parse(event["time"]) for event in events)
    ids = await service.define([{"key": "a", "criteria": {"total_orders": {"operator": "gte", "value": 4}}}])
    await service.take(encoded(events), now)
    async with database.transaction() as connection:
        members = (await connection.execute(text(MEMBERS))).scalar_one()
    assert 0 < members < 30
    await service.run(
        "UPDATE customer_segments SET status = 'archived', introduced = 9, since = :now, backfill_state = 'running'"
        " WHERE id = :id",
        now=now,
        id=ids["a"],
    )
    await service.run("UPDATE catalogue SET version = 9")

    assert await backfilled(service, now) == (members, members)
    async with database.transaction() as connection:
        assert (await connection.execute(text(MEMBERS))).scalar_one() == 0
