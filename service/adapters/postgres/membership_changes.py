"""Joins and leaves on their way into the table of memberships (docs/decisions/0017).

A small batch writes the table itself. A large one, and every one while such changes wait, notes its changes as one row
of arrays; the relay merges them later, many batches at once, when that is cheapest. Profiles and the outbox are never
late, so that only who reads the table could see less than what is published; who must not, merges first.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from service.adapters.postgres.database import CATALOGUE_LOCK, ERASURE_LOCK, MERGE_LOCK, Database
from service.core.instants import to_datetime
from service.core.segments.walk import Transition
from service.crash import crash_point

log = structlog.get_logger()

#: How many changes one merge takes, unless one row holds more.
MERGED_MAX: Final = 100_000
#: How often a snapshot without waiting changes is looked for before batches are held up for one.
LOOKS_MAX: Final = 3

IS_WAITING: Final = "SELECT EXISTS (SELECT FROM membership_changes)"

#: Age of the oldest row; age and changes of the newest one. No row where none waits.
WAITING: Final = """
SELECT extract(epoch FROM clock_timestamp() - o.recorded_at), extract(epoch FROM clock_timestamp() - n.recorded_at),
    n.changes
FROM (SELECT recorded_at FROM membership_changes ORDER BY id LIMIT 1) o,
    (SELECT recorded_at, changes FROM membership_changes ORDER BY id DESC LIMIT 1) n
"""

NOTE: Final = """
INSERT INTO membership_changes
    (changes, recorded_at, customer_ids, segment_ids, ordinals, instants, reasons, segment_versions)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""

#: An erasure beside a merge could leave memberships behind; one merge at a time keeps their order.
HOLD: Final = "SELECT pg_advisory_xact_lock_shared($1), pg_advisory_xact_lock($2)"

#: The oldest rows, at least one and no more once they hold $1 changes.
OLDEST: Final = """
SELECT id FROM (
    SELECT id, sum(changes) OVER (ORDER BY id) - changes AS before FROM membership_changes
) o
WHERE before < $1
"""

#: What these rows say, each change with the one before and the one after it in the same rows. Ordinals of joins are
#: odd. Nothing is stored of a customer who was erased since.
_TOLD: Final = """
WITH told AS MATERIALIZED (
    SELECT c.*, w.recorded_at FROM membership_changes w
    CROSS JOIN LATERAL unnest(w.customer_ids, w.segment_ids, w.ordinals, w.instants, w.reasons, w.segment_versions)
        AS c (customer_id, segment_id, ordinal, at, reason, segment_version)
    WHERE w.id = ANY($1::bigint[])
), placed AS (
    SELECT *, lag(ordinal) OVER one AS before, lead(at) OVER one AS left_at, lead(reason) OVER one AS left_reason,
        lead(recorded_at) OVER one AS left_recorded_at
    FROM told
    WHERE NOT EXISTS (SELECT FROM erasures e WHERE e.customer_id = told.customer_id OFFSET 0)
    WINDOW one AS (PARTITION BY segment_id, customer_id ORDER BY ordinal)
)
"""

#: Ends the stays that the table holds.
CLOSE: Final = f"""{_TOLD}
UPDATE customer_segment_memberships m SET
    left_at = u.at, left_reason = u.reason, left_recorded_at = u.recorded_at
FROM placed u
CROSS JOIN LATERAL (
    SELECT ctid AS place FROM customer_segment_memberships
    WHERE customer_id = u.customer_id AND segment_id = u.segment_id AND ordinal = u.ordinal - 1 OFFSET 0
) k
WHERE u.ordinal % 2 = 0 AND u.before IS NULL AND m.ctid = k.place AND m.left_at IS NULL
"""  # noqa: S608 - built from constants

#: Begins stays, those that have ended since included; after CLOSE, for nobody has two open ones.
OPEN: Final = f"""{_TOLD}
INSERT INTO customer_segment_memberships
    (customer_id, segment_id, ordinal, joined_at, left_at, membership_source, left_reason, segment_version, recorded_at,
     left_recorded_at)
SELECT customer_id, segment_id, ordinal, at, left_at, reason, left_reason, segment_version, recorded_at,
    left_recorded_at
FROM placed WHERE ordinal % 2 = 1
ORDER BY segment_id, customer_id, ordinal
"""  # noqa: S608 - built from constants

FORGET: Final = "DELETE FROM membership_changes WHERE id = ANY($1::bigint[]) RETURNING changes"


async def is_waiting(connection: Any) -> bool:
    """Whether changes wait; under a customer's lock: none of that customer's do where this is False."""
    return bool(await connection.fetchval(IS_WAITING))


class Waiting(NamedTuple):
    """Changes that wait: the ages of the oldest and the newest row, in seconds, and how many the newest one holds."""

    oldest_seconds: float
    newest_seconds: float
    newest_changes: int


async def look(connection: Any) -> Waiting | None:
    """What waits; None where nothing does."""
    row = await connection.fetchrow(WAITING)
    return None if row is None else Waiting(float(row[0]), float(row[1]), row[2])


async def note(connection: Any, transitions: Sequence[Transition], recorded_at: int) -> None:
    """Stores the changes of one batch as one row, in their order."""
    instants: dict[int, Any] = {}
    for one in transitions:
        if one.effective_at not in instants:
            instants[one.effective_at] = to_datetime(one.effective_at)
    await connection.execute(
        NOTE,
        len(transitions),
        to_datetime(recorded_at),
        [one.profile.customer_id for one in transitions],
        [one.definition.segment_id for one in transitions],
        [one.ordinal for one in transitions],
        [instants[one.effective_at] for one in transitions],
        [one.reason for one in transitions],
        [one.definition.version for one in transitions],
    )


async def merge(connection: Any, changes_max: int = MERGED_MAX) -> int:
    """Merges the oldest changes into the table, in the caller's transaction; gives how many, 0 where none waits."""
    await connection.execute(HOLD, ERASURE_LOCK, MERGE_LOCK)
    ids = [row[0] for row in await connection.fetch(OLDEST, changes_max)]
    if not ids:
        return 0
    closed = await connection.execute(CLOSE, ids)
    opened = await connection.execute(OPEN, ids)
    crash_point("changes-merged")
    count = sum(row[0] for row in await connection.fetch(FORGET, ids))
    log.debug("membership changes merged", rows=len(ids), changes=count, closed=closed, opened=opened)
    return count


async def merge_all(connection: Any) -> None:
    """Merges all that waits, in the caller's transaction: by then the table holds what every profile locked says."""
    while await is_waiting(connection):
        if not await merge(connection):
            return


@asynccontextmanager
async def settled_snapshot(database: Database) -> AsyncIterator[AsyncConnection]:
    """Reads of one instant at which no change waits, so that profiles and the table of memberships say the same.

    Under load changes come all the time: then batches wait for a moment, until what there is is merged.
    """
    for _ in range(LOOKS_MAX):
        async with database.snapshot() as connection:
            if not (await connection.execute(text(IS_WAITING))).scalar_one():
                yield connection
                return
        async with database.batch() as writing:
            await merge_all(writing)
    async with database.session() as holding, database.snapshot() as connection:
        await holding.execute("SELECT pg_advisory_lock($1)", CATALOGUE_LOCK)
        try:
            async with database.batch() as writing:
                await merge_all(writing)
            await connection.execute(text(IS_WAITING))  # the snapshot is that of the first statement
        finally:
            await holding.execute("SELECT pg_advisory_unlock($1)", CATALOGUE_LOCK)
        yield connection
