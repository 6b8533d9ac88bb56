"""Membership changes that are merged later: the table ends as if each batch had written it itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import pytest

from benchmarks.workload import HISTORY_END, Shop, definitions, history
from service.adapters.postgres import membership_changes
from service.adapters.postgres.database import Database
from service.adapters.postgres.membership_changes import settled_snapshot
from service.adapters.postgres.verify import verify
from service.app.ingest import Record, decode_batch, ingest
from service.core.instants import DAY
from tests.conftest import database_copy
from tests.facts import Service

SEGMENTS = [{"key": f"s{place}", "criteria": one} for place, one in enumerate(definitions(40, "busy"))]
ROWS = """
SELECT s.segment_name, m.customer_id, ordinal, joined_at, left_at, membership_source, left_reason, segment_version,
    recorded_at, left_recorded_at
FROM customer_segment_memberships m JOIN customer_segments s ON s.id = m.segment_id ORDER BY 1, 2, 3
"""
OF_ERASED = "SELECT count(*) FROM customer_segment_memberships JOIN erasures USING (customer_id)"
#: Real time as tests.facts tells it is the clock; batches at different clocks tell stays recorded apart.
START = HISTORY_END - 60 * DAY


@pytest.fixture
async def other(server_url: str, template: str) -> AsyncIterator[Database]:
    """A second database, for the same events."""
    async with database_copy(server_url, template) as url:
        made = Database.connect(url, role="tests", pool_size=8)
        yield made
        await made.close()


class Alone(Service):
    """Nobody merges but the test."""

    async def merge(self) -> None:
        """Nothing."""


async def rows(database: Database) -> list[tuple[Any, ...]]:
    """The table of memberships without the ids of segments, which differ between databases."""
    async with database.session() as connection:
        return [tuple(row) for row in await connection.fetch(ROWS)]


async def waiting(database: Database) -> int:
    """How many batches' changes wait."""
    async with database.session() as connection:
        return int(await connection.fetchval("SELECT count(*) FROM membership_changes"))


def lines(count: int, customers: int = 40) -> list[bytes]:
    """Events that make many joins and leaves."""
    return [one.value for one in history(Shop(customers), count, days=50)]


@pytest.mark.parametrize("seed", range(4))
async def test_the_table_is_that_of_batches_that_write_it_themselves(
    database: Database, other: Database, seed: int
) -> None:
    """Whenever and however much at a time is merged, and timers fire between."""
    random = Random(seed)
    plain, late = Alone(database, "USD"), Alone(other, "USD")
    plain.batches.inline_max, late.batches.inline_max = 10**9, random.choice((0, 20))
    for one in (plain, late):
        await one.define(SEGMENTS)
    events, place, most = lines(900), 0, 0
    while place < len(events):
        some = events[place : place + random.choice((1, 10, 60))]
        now = START + place * DAY // 20
        for one in (plain, late):
            await one.take(some, HISTORY_END)
            if place % 7 == 0:
                await one.fire(now)
        place += len(some)
        most = max(most, await waiting(other))
        if random.random() < 0.2:
            async with late.batches.store() as store:
                await membership_changes.merge(store.connection, random.choice((1, 50, 100_000)))
    async with late.batches.store() as store:
        await store.merge_memberships()

    assert most > 1
    assert await waiting(other) == 0
    found = await rows(other)
    assert found == await rows(database)
    assert sum(1 for row in found if row[4] is not None) > 100


async def test_small_batches_wait_behind_large_ones(database: Database) -> None:
    """A customer's changes stay in order: while any wait, none is written past them."""
    service = Alone(database, "USD")
    service.batches.inline_max = 5
    await service.define(SEGMENTS)
    events = lines(300)
    await service.take(events[:200], HISTORY_END)
    assert await waiting(database) == 1
    await service.take(events[200:201], HISTORY_END, size=1)
    before = await rows(database)
    assert before == []
    async with service.batches.store() as store:
        await store.merge_memberships()
    await service.take(events[201:202], HISTORY_END, size=1)
    assert await waiting(database) == 0
    assert not (await verify(database, None, HISTORY_END)).has_drift


async def test_nothing_is_merged_of_who_is_erased_meanwhile(database: Database) -> None:
    """The erasure finds no rows yet; the merge leaves none behind."""
    service = Alone(database, "USD")
    service.batches.inline_max = 0
    await service.define([{"key": "everybody", "criteria": {}}])
    await service.take([_event(1, "customer.registered"), _event(2, "customer.registered", "d")], HISTORY_END)
    await service.take([_event(3, "customer.deleted")], HISTORY_END)
    async with service.batches.store() as store:
        await store.merge_memberships()
    async with database.session() as connection:
        assert await connection.fetchval("SELECT count(*) FROM customer_segment_memberships") == 1
        assert await connection.fetchval(OF_ERASED) == 0


async def test_a_merge_and_an_erasure_at_once(database: Database) -> None:
    """One waits for the other, whichever is first."""
    service = Alone(database, "USD")
    service.batches.inline_max = 0
    await service.define([{"key": "everybody", "criteria": {}}])
    await service.take([_event(1, "customer.registered")], HISTORY_END)
    async with service.batches.store() as erasing:
        records = [Record("orders", 0, 9, 0, None, _event(2, "customer.deleted"), ())]
        await ingest(erasing, decode_batch(records, service.rules, HISTORY_END), HISTORY_END, HISTORY_END)
        merging = asyncio.create_task(_merge(service))
        await asyncio.sleep(0.3)
        assert not merging.done()
    await merging
    async with database.session() as connection:
        assert await connection.fetchval("SELECT count(*) FROM customer_segment_memberships") == 0


async def test_verify_sees_no_drift_while_changes_wait(database: Database) -> None:
    """It merges first; and a batch that commits between its looks does not confuse it."""
    service = Alone(database, "USD")
    service.batches.inline_max = 0
    await service.define(SEGMENTS)
    await service.take(lines(200), HISTORY_END)
    await service.fire(HISTORY_END)
    assert await waiting(database)
    assert not (await verify(database, None, HISTORY_END)).has_drift
    assert await waiting(database) == 0


async def test_a_settled_snapshot_under_load(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where every look finds changes waiting, batches are held up until the snapshot is taken, and no longer."""
    monkeypatch.setattr(membership_changes, "LOOKS_MAX", 0)
    service = Alone(database, "USD")
    service.batches.inline_max = 0
    await service.define(SEGMENTS)
    events = lines(300)
    await service.take(events[:100], HISTORY_END)
    async with settled_snapshot(database) as connection:
        counted = "SELECT count(*) FROM membership_changes"
        assert (await connection.exec_driver_sql(counted)).scalar_one() == 0
        members = (await connection.exec_driver_sql("SELECT count(*) FROM customer_segment_memberships")).scalar_one()
        await asyncio.wait_for(service.take(events[100:], HISTORY_END), 20)  # nobody waits any more
        assert (await connection.exec_driver_sql(counted)).scalar_one() == 0
        again = (await connection.exec_driver_sql("SELECT count(*) FROM customer_segment_memberships")).scalar_one()
        assert again == members > 0


def _event(number: int, kind: str, customer: str = "c") -> bytes:
    body = {"specversion": "1.0", "id": f"e{number}", "source": "/t", "type": kind, "time": "2026-02-01T00:00:00Z"}
    return json.dumps({**body, "data": {"customer_id": customer}}).encode()


async def _merge(service: Service) -> None:
    async with service.batches.store() as store:
        await store.merge_memberships()
