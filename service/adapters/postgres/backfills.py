"""The progress of backfills, kept with the segments they serve."""

from __future__ import annotations

from typing import Any, Final

#: Lets one process backfill at a time; held for one slice.
BACKFILL_LOCK: Final = 7_300_004

TRY_LOCK: Final = "SELECT pg_try_advisory_xact_lock($1)"
RUNNING: Final = "SELECT max(introduced) FROM customer_segments WHERE backfill_state = 'running'"

#: Every running backfill up to this catalogue version moves with each slice.
ADVANCE: Final = """
UPDATE customer_segments
SET backfill_done = backfill_done + $2, backfill_total = GREATEST(backfill_total, backfill_done + $2),
    backfill_moved_at = now()
WHERE backfill_state = 'running' AND introduced <= $1
"""

#: How many customers will be visited.
EXPECT: Final = """
UPDATE customer_segments SET backfill_done = 0, backfill_total = $2, backfill_moved_at = now()
WHERE backfill_state = 'running' AND introduced <= $1
"""

#: Nobody is behind any more, so there is nothing to cancel. What is on its way out is forgotten by the hot path.
FINISH: Final = """
UPDATE customer_segments
SET backfill_state = 'done', backfill_done = backfill_total, previous = NULL, last_updated = now(),
    is_kept = status = 'active' AND NOT is_deleted
WHERE backfill_state = 'running' AND introduced <= $1
"""


async def try_lock(connection: Any) -> bool:
    """Whether this transaction may backfill."""
    return bool(await connection.fetchval(TRY_LOCK, BACKFILL_LOCK))


async def running(connection: Any) -> int | None:
    """The newest catalogue version that waits for its backfill."""
    found: int | None = await connection.fetchval(RUNNING)
    return found


async def advance(connection: Any, introduced: int, customers: int) -> None:
    """Counts a slice."""
    await connection.execute(ADVANCE, introduced, customers)


async def expect(connection: Any, introduced: int, customers: int) -> None:
    """Notes how many customers will be visited."""
    await connection.execute(EXPECT, introduced, customers)


async def finish(connection: Any, introduced: int) -> None:
    """Ends the backfills up to this version."""
    await connection.execute(FINISH, introduced)
