"""Where alarms come from: real lag, real tables, and a supervisor's notes."""

from __future__ import annotations

import json
import time

import pytest

from service.adapters.alarms import look_for_signs
from service.adapters.kafka.offsets import OffsetReader
from service.adapters.postgres import counters
from service.adapters.postgres.database import Database
from tests import shop
from tests.integration.replay.support import settings_of
from tests.world import World, create, pause

LETTER = """
INSERT INTO dead_letters (reason, error, topic, partition, "offset", at)
VALUES ($1, '', 'orders', 0, $2::integer, now() - make_interval(mins => $2::integer))
"""


async def test_signs(made: World, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing at first; then input that waits, an old outbox row, letters of late, a backfill, counters."""
    monkeypatch.setattr("service.adapters.alarms.WAITING_SECONDS_MAX", 1)
    settings = settings_of(made)
    made.wait_idle()  # a broker that has just begun knows no coordinator yet
    async with OffsetReader(settings) as reader:
        calm = await look_for_signs(settings, database, reader)
        made.publish(shop.events(customers=4, count=30), "--topic", made.orders)
        pause(1.2)
        made.publish(shop.events(customers=4, count=20, seed=2), "--topic", made.customers)
        async with database.session() as connection:
            for minutes in (5, 14, 16):
                await connection.execute(LETTER, "invalid_json", minutes)
            await connection.execute(
                "INSERT INTO outbox (records, payload, counts, created_at)"
                " VALUES (0, '', '{}', now() - interval '90 seconds')"
            )
            await counters.count(connection, counters.TIMERS_OVERTOOK)
            await counters.count(connection, counters.CUSTOMERS_SET_ASIDE)
        await create(database, {"everybody": {}}, shop.CLOCK)
        async with database.session() as connection:
            await connection.execute("UPDATE customer_segments SET backfill_state = 'running'")
            fresh = await look_for_signs(settings, database, reader)
            await connection.execute(
                "UPDATE customer_segments SET updated_at = now() - interval '200 seconds', backfill_moved_at ="
                " now() - interval '150 seconds'"
            )
            await connection.execute("UPDATE counters SET at = now() - interval '25 hours'")
            late = await look_for_signs(settings, database, reader)

    assert (calm.letters, set(calm.waiting.values()), calm.outbox_seconds, calm.overtook) == ({}, {0}, 0, None)
    assert fresh.letters == {"invalid_json": 2}
    assert (fresh.waiting[made.orders], fresh.waiting[made.customers] in (0, 20)) == (30, True)
    assert 89 < fresh.outbox_seconds < 120
    assert fresh.overtook is not None
    assert fresh.overtook.times == 1
    assert fresh.set_aside is not None
    assert fresh.backfills == []
    assert [(name, 149 < seconds < 200) for name, seconds in late.backfills] == [("everybody", True)]
    assert (late.overtook, late.set_aside) == (None, None)


async def test_status_tells_them(made: World, database: Database) -> None:
    """As `alarms` in JSON and as lines at the top; roles that died are read from the data folder."""
    async with database.session() as connection:
        await connection.execute(LETTER, "wrong_currency", 1)
    made.wait_idle()
    now = time.time()
    (made.folder / "deaths.json").write_text(json.dumps({"relay": [now - 700, now, now, now], "serve": [now]}))

    told = json.loads(made.run("status", "--json", "--data-dir", str(made.folder)))["alarms"]

    assert [sentence.split(";")[0] for sentence in told] == [
        "The role relay died 3 times within 10 minutes",
        "Dead letters of the last 15 minutes: 1 wrong_currency",
    ]
    assert made.run("status", "--data-dir", str(made.folder)).startswith("The role relay died 3 times")
    assert len(json.loads(made.run("status", "--json", "--data-dir", "nowhere"))["alarms"]) == 1
