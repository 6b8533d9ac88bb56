"""What is away makes the input wait in Kafka, and nothing grows meanwhile."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from service.adapters.postgres.database import Database
from service.core import instants
from service.stack.group import Servers
from tests import oracle, shop
from tests.world import World, create, folded, members, pause, until, world

ROWS_MAX = 3
BATCH = 20
LOCKED = """
SELECT count(*) FROM pg_stat_activity WHERE application_name = 'segments-consume' AND wait_event_type = 'Lock'
"""


def resident_bytes(made: World, role: str) -> int:
    """The memory of a role's process."""
    status = Path(f"/proc/{made.processes[f'{role}-0'].pid}/status").read_text()
    return next(int(line.split()[1]) * 1_024 for line in status.splitlines() if line.startswith("VmRSS"))


@pytest.fixture
def made(session_servers: Servers, database_url: str):
    """Roles with small batches and a small outbox."""
    settings = {"outbox_rows_max": str(ROWS_MAX), "batch_events_max": str(BATCH)}
    with world(session_servers.kafka_bootstrap, database_url, shop.CLOCK, **settings) as running:
        yield running


async def test_the_relay_is_away(made: World, database: Database) -> None:
    """The outbox stays within its limit, input waits; when the relay comes all goes on and is right."""
    ids = await create(database, shop.SEGMENTS, shop.CLOCK)
    made.start("consume")
    events = shop.events(customers=40, count=2_000)
    made.publish(events, "--topic", made.orders)
    async with database.session() as connection:
        until(lambda: b"outbox is full" in made.logs().encode())
        seen = []
        for _ in range(20):
            seen.append(await connection.fetchval("SELECT count(*) FROM outbox"))
            pause(0.1)
        assert 1 <= max(seen) <= ROWS_MAX
        assert await connection.fetchval("SELECT count(*) FROM order_facts") < 1_000
    made.start("relay")
    made.start("timers")
    made.wait_idle()

    expected = oracle.members_at(events, shop.SEGMENTS, instants.parse(shop.CLOCK))
    by_id = folded(made.changes())
    assert await members(database) == expected
    assert {name: by_id.get(ids[name], set()) for name in shop.SEGMENTS} == expected


async def test_the_database_stands_still(made: World, database: Database) -> None:
    """A worker whose batch waits takes no more input in: its memory stays, and all goes on where it was."""
    await create(database, {"everybody": {}}, shop.CLOCK)
    made.start_all()
    made.publish(shop.events(customers=20, count=200), "--topic", made.orders)
    made.wait_idle()
    events = shop.events(customers=40, count=20_000, seed=2)
    async with database.transaction() as connection, database.session() as look:
        await connection.exec_driver_sql("LOCK TABLE profiles IN ACCESS EXCLUSIVE MODE")
        before = resident_bytes(made, "consume")
        made.publish(events, "--topic", made.orders)
        deadline = time.monotonic() + 30
        while not await look.fetchval(LOCKED):
            assert time.monotonic() < deadline
            pause(0.1)
        pause(3)
        assert resident_bytes(made, "consume") < before + 60_000_000
    made.wait_idle()

    assert len((await members(database))["everybody"]) == len({one["data"]["customer_id"] for one in events} - {None})
