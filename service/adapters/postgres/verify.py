"""Stored membership against the facts: what app.verify asks of PostgreSQL, in one snapshot.

Nothing here shares code with the hot path: criteria go through criteria_sql, figures through fact_figures.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Sequence
from typing import Any, Final
from uuid import UUID

import asyncpg
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from service.adapters.postgres import counters
from service.adapters.postgres.criteria_sql import Statement, prepare
from service.adapters.postgres.database import Database
from service.adapters.postgres.known_segments import (
    Segments,
    SegmentsUnusable,
    by_dependence,
    load_segments,
    with_references,
)
from service.adapters.postgres.membership_changes import settled_snapshot
from service.adapters.postgres.verify_members import COUNTED, SOUND, STORED, TRUE, held_after, membership_statement
from service.adapters.postgres.verify_numbers import NUMBERS, number_faults
from service.adapters.postgres.verify_orders import ORDERS, order_faults
from service.adapters.postgres.verify_profiles import (
    PROFILES_ALONE,
    STATES,
    profile_faults,
    profile_statement,
    state_faults,
)
from service.app.verify import KeptSegment, MembershipDrift, ProfileDrift, Report, VerifyError
from service.app.verify import verify as verify_evidence
from service.core.criteria.model import predicates
from service.core.instants import from_datetime

#: So many segments, and predicates of segments, go into one statement; beyond them another scan is cheaper.
SEGMENTS_MAX: Final = 100
PREDICATES_MAX: Final = 400

#: Segments whose membership the hot path keeps, with their open memberships counted.
SEGMENTS: Final = """
SELECT id, segment_name, slot,
    (SELECT count(*) FROM customer_segment_memberships m WHERE m.segment_id = s.id AND m.left_at IS NULL)
FROM customer_segments s
WHERE is_kept AND status = 'active' AND NOT is_deleted
    AND (CAST(:segment_ids AS uuid[]) IS NULL OR id = ANY(CAST(:segment_ids AS uuid[])))
ORDER BY slot
"""
#: Customers whose timer has not fired yet.
OVERDUE: Final = "SELECT count(*) FROM profiles WHERE next_due_at <= :now"
PROFILES: Final = "SELECT count(*) FROM profiles"
OVER_LIMIT: Final = "SELECT count(*) FROM profiles WHERE is_over_limit"


async def verify(database: Database, segment_ids: Collection[UUID] | None, now: int) -> Report:
    """As app.verify, in one snapshot of this database.

    Raises:
        VerifyError: a segment that is asked for is not kept, stored criteria cannot be read, or membership changes wait
            in a database that cannot be written to.
    """
    try:
        async with settled_snapshot(database) as connection:
            await prepare(connection)
            report = await verify_evidence(PostgresEvidence(connection), segment_ids, now)
    except SegmentsUnusable as error:
        raise VerifyError(str(error)) from None
    except asyncpg.ReadOnlySQLTransactionError:
        msg = "Membership changes wait to be merged, and this copy is read-only; verify when its origin is idle."
        raise VerifyError(msg) from None
    if segment_ids is None:
        await _note_drift(database, len(report.customer_ids))
    return report


async def _note_drift(database: Database, customers: int) -> None:
    """For /metrics; where the database is a copy that cannot be written to, the report is all there is."""
    with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, SQLAlchemyError, OSError):
        async with database.session() as connection:
            await counters.note(connection, counters.DRIFT_CUSTOMERS, customers)


class PostgresEvidence:
    """app.verify.Evidence on one connection, which must be in one REPEATABLE READ transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._known: Segments = {}

    async def segments(self, segment_ids: Collection[UUID] | None) -> list[KeptSegment]:
        """See Evidence.

        Raises:
            SegmentsUnusable: stored criteria that cannot be read, or that go in a circle.
        """
        self._known = await load_segments(self._connection)
        asked = None if segment_ids is None else list(segment_ids)
        rows = list(await self._connection.execute(text(SEGMENTS), {"segment_ids": asked}))
        whole = with_references(self._known, [row[0] for row in rows])
        found = []
        for segment_id, name, slot, members in rows:
            one = whole[segment_id]
            kept = (one.criteria, one.introduced, one.since, one.is_backfilling, members)
            found.append(KeptSegment(segment_id, name, slot, *kept))
        return found

    async def overdue(self, now: int) -> int:
        """See Evidence."""
        return int((await self._connection.execute(text(OVERDUE), {"now": now})).scalar_one())

    async def profiles(self) -> int:
        """See Evidence."""
        return int((await self._connection.execute(text(PROFILES))).scalar_one())

    async def over_limit(self) -> int:
        """See Evidence."""
        return int((await self._connection.execute(text(OVER_LIMIT))).scalar_one())

    async def membership_drift(self, segments: Sequence[KeptSegment], now: int) -> AsyncIterator[MembershipDrift]:
        """See Evidence."""
        for some in _portions(segments, self._known):
            async for customer_id, external_id, at, found, state in self._stream(
                membership_statement(some, self._known, now)
            ):
                as_of = from_datetime(at)
                held = held_after(state, as_of)
                for segment, marks in zip(some, found, strict=True):
                    # What is held later need not be true yet, but row and count agree at every instant.
                    is_held = segment.slot in held and marks & (STORED | COUNTED) in (0, STORED | COUNTED)
                    if marks not in SOUND and not is_held:
                        verdicts = (bool(marks & mark) for mark in (STORED, COUNTED, TRUE))
                        yield MembershipDrift(segment.segment_id, customer_id, external_id, as_of, *verdicts)

    async def profile_drift(self) -> AsyncIterator[ProfileDrift]:
        """See Evidence."""
        async for row in self._stream(PROFILES_ALONE):
            yield ProfileDrift(*row)
        async for row in self._stream(profile_statement()):
            yield profile_faults(row)
        async for row in self._stream(ORDERS):
            yield order_faults(row)
        async for row in self._stream(NUMBERS):
            yield number_faults(row)
        async for row in self._stream(STATES):
            faults = state_faults(row)
            if faults:
                yield ProfileDrift(row.customer_id, row.external_id or str(row.customer_id), faults)

    async def _stream(self, asked: Statement) -> AsyncIterator[Any]:
        async with self._connection.stream(text(asked.sql), asked.parameters) as rows:
            async for row in rows:
                yield row


def _portions(segments: Sequence[KeptSegment], known: Segments) -> Iterator[list[KeptSegment]]:
    """Some segments at a time; what they refer to is computed with them, once in each portion."""
    portion: list[KeptSegment] = []
    held: set[UUID] = set()
    for segment in segments:
        needed = set(by_dependence(known, [segment.segment_id]))
        if portion and (len(portion) >= SEGMENTS_MAX or _weight(known, held | needed) > PREDICATES_MAX):
            yield portion
            portion, held = [], set()
        portion.append(segment)
        held |= needed
    if portion:
        yield portion


def _weight(known: Segments, segment_ids: Iterable[UUID]) -> int:
    criteria = (known[one].criteria for one in segment_ids)
    return sum(1 for one in criteria if one is not None for _ in predicates(one))
