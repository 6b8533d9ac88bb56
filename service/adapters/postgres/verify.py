"""Stored membership against the facts: what app.verify asks of PostgreSQL, in one snapshot.

Nothing here shares code with the hot path: criteria go through criteria_sql, figures through fact_figures.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from service.adapters.postgres.criteria_sql import Statement, criteria_sql, statement
from service.adapters.postgres.database import Database
from service.adapters.postgres.fact_figures import EXISTS, SEEN, Figures, instant_sql
from service.adapters.postgres.verify_profiles import (
    PROFILES_ALONE,
    STATES,
    profile_faults,
    profile_statement,
    state_faults,
)
from service.app import exact_json
from service.app.verify import KeptSegment, MembershipDrift, ProfileDrift, Report, VerifyError
from service.app.verify import verify as verify_evidence
from service.core.criteria.model import predicates
from service.core.criteria.parse import CriteriaError, parse_criteria
from service.core.instants import from_datetime, to_datetime

#: So many segments, and predicates of segments, go into one statement; beyond them another scan is cheaper.
SEGMENTS_MAX: Final = 100
PREDICATES_MAX: Final = 400

#: Verify reads whole tables, on a connection that may be set for look-ups. A nested loop, chosen by a guess of one row
#: where there are a million, would not end.
PREPARE: Final = (
    "SET LOCAL enable_seqscan = on",
    "SET LOCAL enable_hashjoin = on",
    "SET LOCAL enable_mergejoin = on",
    "SET LOCAL enable_nestloop = off",
    "SET LOCAL plan_cache_mode = force_custom_plan",
    "SET LOCAL work_mem = '64MB'",
)

#: Segments whose membership the hot path keeps, with their open memberships counted.
SEGMENTS: Final = """
SELECT id, segment_name, slot, CAST(criteria AS text), introduced, since, backfill_state = 'running',
    (SELECT count(*) FROM customer_segment_memberships m WHERE m.segment_id = s.id AND m.left_at IS NULL)
FROM customer_segments s
WHERE is_kept AND status = 'active' AND NOT is_deleted AND segment_type IN ('dynamic', 'behavioral')
    AND (CAST(:segment_ids AS uuid[]) IS NULL OR id = ANY(CAST(:segment_ids AS uuid[])))
ORDER BY slot
"""
#: Customers whose timer has not fired yet.
OVERDUE: Final = "SELECT count(*) FROM profiles WHERE next_due_at <= :now"
PROFILES: Final = "SELECT count(*) FROM profiles"

#: What a stored membership is made of; a sound one is NONE or ALL.
_TRUE, _STORED, _COUNTED = 1, 2, 4
_SOUND: Final = "ARRAY[0, 7]"


async def verify(database: Database, segment_ids: Collection[UUID] | None, now: int) -> Report:
    """As app.verify, in one snapshot of this database.

    Raises:
        VerifyError: a segment that is asked for is not kept, or its stored criteria cannot be read.
    """
    async with database.snapshot() as connection:
        for setting in PREPARE:
            await connection.execute(text(setting))
        return await verify_evidence(PostgresEvidence(connection), segment_ids, now)


class PostgresEvidence:
    """app.verify.Evidence on one connection, which must be in one REPEATABLE READ transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def segments(self, segment_ids: Collection[UUID] | None) -> list[KeptSegment]:
        """See Evidence."""
        asked = None if segment_ids is None else list(segment_ids)
        found = []
        for row in await self._connection.execute(text(SEGMENTS), {"segment_ids": asked}):
            segment_id, name, slot, criteria, *rest = row
            try:
                parsed = parse_criteria(exact_json.loads(criteria))
            except CriteriaError as error:
                msg = f"The stored criteria of segment {segment_id} cannot be read: {error}"
                raise VerifyError(msg) from None
            found.append(KeptSegment(segment_id, name, slot, parsed, *rest))
        return found

    async def overdue(self, now: int) -> int:
        """See Evidence."""
        return int((await self._connection.execute(text(OVERDUE), {"now": now})).scalar_one())

    async def profiles(self) -> int:
        """See Evidence."""
        return int((await self._connection.execute(text(PROFILES))).scalar_one())

    async def membership_drift(self, segments: Sequence[KeptSegment], now: int) -> AsyncIterator[MembershipDrift]:
        """See Evidence."""
        for some in _portions(segments):
            async for external_id, as_of, found in self._stream(membership_statement(some, now)):
                for segment, marks in zip(some, found, strict=True):
                    if marks not in (0, _TRUE | _STORED | _COUNTED):
                        verdicts = (bool(marks & mark) for mark in (_STORED, _COUNTED, _TRUE))
                        yield MembershipDrift(segment.segment_id, external_id, from_datetime(as_of), *verdicts)

    async def profile_drift(self) -> AsyncIterator[ProfileDrift]:
        """See Evidence."""
        async for row in self._stream(PROFILES_ALONE):
            yield ProfileDrift(*row)
        async for row in self._stream(profile_statement()):
            yield profile_faults(row)
        async for row in self._stream(STATES):
            faults = state_faults(row)
            if faults:
                yield ProfileDrift(row.customer_id, row.external_id or str(row.customer_id), faults)

    async def _stream(self, asked: Statement) -> AsyncIterator[Any]:
        async with self._connection.stream(text(asked.sql), asked.parameters) as rows:
            async for row in rows:
                yield row


def _portions(segments: Sequence[KeptSegment]) -> Iterator[list[KeptSegment]]:
    portion: list[KeptSegment] = []
    size = 0
    for segment in segments:
        weight = sum(1 for _ in predicates(segment.criteria))
        if portion and (len(portion) >= SEGMENTS_MAX or size + weight > PREDICATES_MAX):
            yield portion
            portion, size = [], 0
        portion.append(segment)
        size += weight
    if portion:
        yield portion


def membership_statement(segments: Sequence[KeptSegment], now: int) -> Statement:
    """Customers with drift in any of these segments: (external id, as_of, marks by segment).

    The instant of a customer and segment is one at which what is stored must hold:

    - now, since every change that time alone brings has been made by then;
    - where that is not so (a timer has not fired, or the service's clock was ahead of this one) the latest instant at
      which the customer was evaluated: nothing changes between it and the timer;
    - not before the definition's own instant where the customer was there before the definition: it was evaluated at
      that instant, and holds from then on.
    """
    figures = Figures()
    now_at = figures.bind(to_datetime(now), "timestamptz")
    now_us = figures.bind(now, "bigint")
    known = f"""known AS (
    SELECT customer_id, first_at, ended_at, born, mark, ordinals, segment_ids,
        CASE WHEN next_due_at <= {now_us} OR evaluated_to > {now_us} THEN {instant_sql("evaluated_to")}
            ELSE {now_at} END AS settled_at
    FROM seen FULL JOIN profiles USING (customer_id) FULL JOIN live USING (customer_id)
)"""  # noqa: S608 - built from constants and parameters
    marks = ",\n    ".join(_marks(segment, figures) for segment in segments)
    query = f"""SELECT coalesce(external_id, CAST(customer_id AS text)), as_of, marks
FROM (
    SELECT customer_id, as_of, ARRAY[{marks}] AS marks
    FROM {figures.source()} JOIN known USING (customer_id)
) AS judged LEFT JOIN customers USING (customer_id)
WHERE NOT marks <@ {_SOUND}"""  # noqa: S608 - built from constants and parameters
    tables = [SEEN, _live(segments, figures), known, _subjects(segments, figures), *figures.tables()]
    sentence = "Customers whose stored membership is not what the facts say."
    return statement("verify_memberships", sentence, tables, query, figures.parameters)


def _live(segments: Sequence[KeptSegment], figures: Figures) -> str:
    listed = figures.bind([segment.segment_id for segment in segments], "uuid[]")
    return f"""live AS (
    SELECT customer_id, array_agg(segment_id) AS segment_ids
    FROM customer_segment_memberships
    WHERE left_at IS NULL AND segment_id = ANY({listed})
    GROUP BY customer_id
)"""  # noqa: S608 - built from constants and parameters


def _subjects(segments: Sequence[KeptSegment], figures: Figures) -> str:
    """Each customer at the instant that holds for most segments, and at later ones of definitions, mostly none."""
    floors = sorted({(segment.introduced, segment.since) for segment in segments})
    introduced = figures.bind([floor[0] for floor in floors], "bigint[]")
    since = figures.bind([to_datetime(floor[1]) for floor in floors], "timestamptz[]")
    latest = figures.bind(to_datetime(max(floor[1] for floor in floors)), "timestamptz")
    return f"""subjects AS (
    SELECT customer_id, settled_at AS as_of FROM known
    UNION
    SELECT customer_id, since
    FROM (SELECT * FROM known WHERE settled_at < {latest}) AS early
        JOIN unnest({introduced}, {since}) AS floors (introduced, since) ON born < introduced AND settled_at < since
)"""  # noqa: S608 - built from constants and parameters


def _marks(segment: KeptSegment, figures: Figures) -> str:
    """The sum of what says member: the facts, the open membership, an odd count; 0 at other segments' instants."""
    introduced = figures.bind(segment.introduced, "bigint")
    since = figures.bind(to_datetime(segment.since), "timestamptz")
    own = f"as_of = CASE WHEN born < {introduced} THEN greatest(settled_at, {since}) ELSE settled_at END"
    if segment.is_backfilling:
        own += f" AND coalesce(mark >= {introduced}, true)"
    place = figures.bind(segment.slot * 4, "integer")
    is_true = f"CAST({EXISTS} AND {criteria_sql(segment.criteria, figures)} AS integer)"
    is_stored = f"CAST({figures.bind(segment.segment_id, 'uuid')} = ANY(segment_ids) AS integer)"
    # Counts are little-endian, four bytes each; the last bit stands in the first byte.
    is_odd = f"CASE WHEN octet_length(ordinals) > {place} THEN get_byte(ordinals, {place}) & 1 ELSE 0 END"
    summed = f"{_TRUE} * {is_true} + {_STORED} * coalesce({is_stored}, 0) + {_COUNTED} * {is_odd}"
    return f"CASE WHEN {own} THEN {summed} ELSE 0 END"
