"""Erasure beside whatever else stores something about the same customer, two transactions at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest

from service.adapters.postgres.database import Database
from service.adapters.postgres.verify import verify
from service.app.ingest import Record, decode_batch, ingest
from service.core import instants
from service.core.events.decode import Rules
from tests.facts import Service

NOW = instants.parse("2024-03-01T00:00:00Z")
RULES = Rules("USD", 1_048_576, is_clock_fixed=True)
COUNT = "SELECT count(*) FROM {} WHERE customer_id IN (SELECT customer_id FROM erasures)"


def event(number: int, kind: str, **data: Any) -> bytes:
    """An event of customer c."""
    body = {"specversion": "1.0", "id": f"e{number}", "source": "/t", "type": kind, "time": "2024-02-01T00:00:00Z"}
    return json.dumps({**body, "data": {"customer_id": "c", **data}}).encode()


REGISTERED = event(1, "customer.registered", name="Ada")
DELETED = event(2, "customer.deleted")
WRONG = event(3, "order.placed", order_id="o", currency="XXX", total=1)


async def take(service: Service, lines: Sequence[bytes], offset: int, go: asyncio.Event) -> None:
    """One batch; it commits when it may go."""
    records = [Record("orders", 0, offset + n, 0, None, line, ()) for n, line in enumerate(lines)]
    async with service.batches.store() as store:
        await ingest(store, decode_batch(records, RULES, NOW), NOW, NOW)
        await go.wait()


@pytest.mark.parametrize("order", [(REGISTERED, DELETED), (DELETED, REGISTERED), (WRONG, DELETED), (DELETED, WRONG)])
async def test_two_batches_at_once(database: Database, order: tuple[bytes, bytes]) -> None:
    """Whichever commits first: the customer is erased, nothing is left of what was said, and joined is left again."""
    service = Service(database, "USD")
    await service.define([{"key": "everybody", "criteria": {}}])
    first, second = asyncio.Event(), asyncio.Event()
    second.set()
    ahead = asyncio.create_task(take(service, order[:1], 0, first))
    await asyncio.sleep(0.3)
    behind = asyncio.create_task(take(service, order[1:], 10, second))
    await asyncio.sleep(0.3)
    assert not behind.done()  # it waits for the other's verdict
    first.set()
    await asyncio.gather(ahead, behind)

    async with database.session() as connection:
        assert await connection.fetchval("SELECT count(*) FROM erasures") == 1
        for table in ("profiles", "customers", "customer_facts", "customer_segment_memberships"):
            assert await connection.fetchval(COUNT.format(table)) == 0, table
        assert await connection.fetchval("SELECT count(*) FROM dead_letters WHERE value IS NOT NULL") == 0
        counts = await connection.fetch("SELECT counts::text FROM outbox")
    changes = [sum(json.loads(row[0]).values()) for row in counts]
    assert sum(changes) == 0
    assert len([one for one in changes if one]) == (2 if order == (REGISTERED, DELETED) else 0)
    assert not (await verify(database, None, NOW)).has_drift
