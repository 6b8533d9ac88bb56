"""How long timers wait for input that is not applied."""

from __future__ import annotations

import asyncio
import time

import pytest

from producers import hold
from producers.timers import Timers
from service.adapters.kafka.groups import move_offsets
from service.adapters.kafka.offsets import OffsetReader
from service.adapters.postgres.database import Database
from service.bootstrap import open_runtime
from tests import shop
from tests.integration.replay.support import settings_of
from tests.world import World

HOLD_SECONDS = 1.0
FRONTIER = """
INSERT INTO input_frontier (cluster, topic, partition, next_offset) VALUES ($1, $2, $3, $4)
ON CONFLICT (cluster, topic, partition) DO UPDATE SET next_offset = EXCLUDED.next_offset
"""
OVERTOOK = "SELECT COALESCE(sum(value), 0) FROM counters WHERE name = 'timers_overtook'"


async def test_timers_wait_while_input_moves(made: World, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """They wait on while the frontier or, in a replay, the group moves; when both stand still they fire, and say so."""
    monkeypatch.setattr(hold, "GROUP_SECONDS", 0.2)
    made.wait_idle()  # a broker that has just begun knows no coordinator yet
    made.publish(shop.events(customers=4, count=90), "--topic", made.orders)
    settings = settings_of(made).model_copy(update={"timer_hold_seconds_max": HOLD_SECONDS})
    async with (
        open_runtime(settings, "timers") as runtime,
        OffsetReader(settings) as reader,
        database.session() as connection,
    ):
        timers, stop = Timers(runtime), asyncio.Event()
        timers._cluster = reader.cluster
        ends = await reader.ends()
        waiting = asyncio.create_task(timers._is_applied(reader, ends, stop))
        for number in range(1, 6):
            await asyncio.sleep(HOLD_SECONDS / 2)
            await connection.execute(FRONTIER, reader.cluster, made.orders, 0, number)
        for number in range(1, 6):
            await asyncio.sleep(HOLD_SECONDS / 2)
            await move_offsets(settings, {(made.orders, 0): number})
        assert not waiting.done()
        assert await connection.fetchval(OVERTOOK) == 0

        started = time.monotonic()
        assert await asyncio.wait_for(waiting, 20)
        assert time.monotonic() - started > HOLD_SECONDS / 4
        assert await connection.fetchval(OVERTOOK) == 1

        for (topic, partition), end in ends.items():
            await connection.execute(FRONTIER, reader.cluster, topic, partition, end)
        assert await timers._is_applied(reader, ends, stop)
        assert await connection.fetchval(OVERTOOK) == 1
