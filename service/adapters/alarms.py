"""Looks for what an operator should know of: in the database, at the broker."""

from __future__ import annotations

import time
from typing import Any, Final

from service.adapters.kafka.offsets import OffsetReader
from service.adapters.postgres import counters
from service.adapters.postgres.database import Database
from service.app.alarms import (
    BACKFILL_SECONDS_MAX,
    COUNTED_HOURS,
    LETTERS_MINUTES,
    WAITING_SECONDS_MAX,
    Counted,
    Signs,
)
from service.settings import Settings

LETTERS: Final = """
SELECT reason, count(*) FROM dead_letters WHERE at >= now() - make_interval(mins => $1) GROUP BY reason
"""
OUTBOX: Final = "SELECT COALESCE(extract(epoch FROM now() - min(created_at)), 0) FROM outbox"
CHANGES: Final = "SELECT COALESCE(extract(epoch FROM now() - min(recorded_at)), 0) FROM membership_changes"
COUNTED: Final = "SELECT name, value, at FROM counters WHERE value > 0 AND at >= now() - make_interval(hours => $1)"
OVER_LIMIT: Final = "SELECT count(*) FROM profiles WHERE is_over_limit"
#: Since when nothing moved: the last slice, or the change that asked for the backfill.
BACKFILLS: Final = """
SELECT segment_name, extract(epoch FROM now() - GREATEST(updated_at, backfill_moved_at)) AS seconds
FROM customer_segments
WHERE backfill_state = 'running' AND GREATEST(updated_at, backfill_moved_at) < now() - make_interval(secs => $1)
ORDER BY segment_name
"""


async def look_for_signs(settings: Settings, database: Database, reader: OffsetReader) -> Signs:
    """One look; nobody's deaths, which only a supervisor knows of."""
    signs = Signs(waiting=await _waiting(settings, reader))
    async with database.session() as connection:
        signs.letters = {row[0]: row[1] for row in await connection.fetch(LETTERS, LETTERS_MINUTES)}
        signs.outbox_seconds = float(await connection.fetchval(OUTBOX))
        signs.changes_seconds = float(await connection.fetchval(CHANGES))
        counted = {row[0]: _counted(row) for row in await connection.fetch(COUNTED, COUNTED_HOURS)}
        signs.overtook = counted.get(counters.TIMERS_OVERTOOK)
        signs.set_aside = counted.get(counters.CUSTOMERS_SET_ASIDE)
        signs.over_limit = await connection.fetchval(OVER_LIMIT)
        found = await connection.fetch(BACKFILLS, float(BACKFILL_SECONDS_MAX))
        signs.backfills = [(row[0], float(row[1])) for row in found]
    return signs


async def _waiting(settings: Settings, reader: OffsetReader) -> dict[str, int]:
    """By topic, records that the broker took long ago and the group has not passed."""
    committed = await reader.committed(settings.consumer_group)
    ends = await reader.ends()
    instant_ms = int((time.time() - WAITING_SECONDS_MAX) * 1_000)
    later = await reader.at_instant(instant_ms, *settings.input_topics)
    found = dict.fromkeys(settings.input_topics, 0)
    for place, end in ends.items():
        at = later[place]
        found[place[0]] += max(0, (end if at is None else min(at, end)) - committed[place])
    return found


def _counted(row: Any) -> Counted:
    return Counted(row[1], row[2].isoformat(timespec="seconds").replace("+00:00", "Z"))
