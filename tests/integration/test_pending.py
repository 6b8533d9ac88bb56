"""Events a little ahead of the clock: they wait in their profiles and take effect in their time."""

from __future__ import annotations

import json
from typing import Any

import pytest

from service.adapters.postgres.database import Database
from service.adapters.postgres.store import PostgresStore
from service.adapters.postgres.verify import verify
from service.core import instants
from service.core.events.decode import Rules
from tests.facts import Service

NOW = instants.parse("2024-03-01T00:00:00Z")
AHEAD = NOW + instants.MINUTE
PROFILE = "SELECT total_orders, total_spent FROM profiles"


def event(number: int, kind: str, at: int, **data: Any) -> bytes:
    """An event of customer c."""
    body = {"specversion": "1.0", "id": f"e{number}", "source": "/t", "type": kind, "time": instants.to_text(at)}
    return json.dumps({**body, "data": {"customer_id": "c", "currency": "USD", **data}}).encode()


@pytest.mark.parametrize("is_timer", [True, False])
async def test_orders_of_the_future(database: Database, monkeypatch: pytest.MonkeyPatch, is_timer: bool) -> None:
    """A refund and a cancellation ahead of the clock find their orders, without all other facts being read."""
    service = Service(database, "USD")
    service.rules = Rules("USD", 1_048_576, is_clock_fixed=False)
    placed = [event(n, "order.placed", NOW - n, order_id=f"o{n}", total=10) for n in range(3)]
    await service.take(placed, NOW)
    refund = event(10, "order.refunded", AHEAD, order_id="o1", refund_id="r", amount=4)
    await service.take([refund, event(11, "order.cancelled", AHEAD, order_id="o2")], NOW)
    async with database.session() as connection:
        before = tuple(await connection.fetchrow(PROFILE))

    async def refused(*_: object) -> Any:
        raise AssertionError

    monkeypatch.setattr(PostgresStore, "all_facts", refused)
    if is_timer:
        await service.fire(AHEAD)
    else:
        await service.take([event(12, "customer.logged_in", AHEAD)], AHEAD)

    async with database.session() as connection:
        assert (before, tuple(await connection.fetchrow(PROFILE))) == ((3, 3_000), (2, 1_600))
    assert not (await verify(database, None, AHEAD)).has_drift


async def test_what_was_set_aside_as_of_the_future_stays_so(database: Database) -> None:
    """Read again when its time has come it changes nothing; published again, at another place, it counts."""
    service = Service(database, "USD")
    service.rules = Rules("USD", 1_048_576, is_clock_fixed=False)
    far, later = NOW + 10 * instants.MINUTE, NOW + 20 * instants.MINUTE
    lines = [
        event(1, "order.placed", NOW, order_id="o1", total=10),
        event(2, "order.placed", far, order_id="o2", total=10),
    ]
    found = []
    for place in (0, 0, 2):
        service.offset = place
        await service.take(lines, NOW if not found else later)
        async with database.session() as connection:
            found.append(tuple(await connection.fetchrow(PROFILE)))

    assert found == [(1, 1_000), (1, 1_000), (2, 2_000)]
