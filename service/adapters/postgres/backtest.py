"""Whom criteria would have had at several instants, by the facts: what app.backtest asks of PostgreSQL."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from service.adapters.postgres.criteria_sql import Statement, criteria_sql, prepare, statement
from service.adapters.postgres.database import Database
from service.adapters.postgres.fact_figures import EXISTS, SEEN, Figures
from service.adapters.postgres.known_segments import Segments, by_dependence, load_segments
from service.adapters.postgres.limited import stopped_after
from service.app.backtest import Step
from service.app.preview import TooSlow
from service.core.criteria.fields import Instant
from service.core.criteria.model import (
    ActivityPredicate,
    AgePredicate,
    AttributePredicate,
    Criteria,
    DatePredicate,
    MemberPredicate,
    Predicate,
    SequencePredicate,
    predicates,
    references,
)
from service.core.instants import to_datetime

#: Customers times instants of one statement at most, about; more are divided, so that none needs more room.
PAIRS_MAX: Final = 8_000_000

CUSTOMERS: Final = "SELECT count(*) FROM profiles"


@asynccontextmanager
async def backtest_store(
    database: Database, seconds_max: float | None = None, setting: str = ""
) -> AsyncIterator[PostgresBacktests]:
    """The reads of a backtest, all in one snapshot.

    Args:
        database: an ordinary pool, not one that is set for look-ups.
        seconds_max: how long all its statements together may take; None: as long as they need.
        setting: the name of what says so, for the message.

    Raises:
        TooSlow: they took longer.
    """
    with stopped_after(seconds_max or 0, setting):
        async with database.snapshot() as connection:
            await prepare(connection)
            store = PostgresBacktests(connection, seconds_max, setting)
            await store.limit_statements()
            yield store


class PostgresBacktests:
    """app.backtest.BacktestStore on one connection, which must be in one REPEATABLE READ transaction."""

    def __init__(self, connection: AsyncConnection, seconds_max: float | None = None, setting: str = "") -> None:
        self.connection = connection
        self._seconds_max, self._setting = seconds_max, setting
        self._deadline = None if seconds_max is None else time.monotonic() + seconds_max

    async def steps(self, criteria: Criteria, moments: Sequence[int], *, has_members: bool) -> AsyncGenerator[Step]:
        """See BacktestStore."""
        segments = await load_segments(self.connection)
        customers = (await self.connection.execute(text(CUSTOMERS))).scalar_one()
        size = max(1, PAIRS_MAX // max(1, customers) - 1)
        for start in range(0, len(moments), size):
            # From the last instant of the portion before, so that nothing need be kept of who the members were.
            first = max(0, start - 1)
            some = moments[first : start + size]
            asked = backtest_statement(criteria, some, segments, has_members=has_members)
            for step in (await self._run(asked, some, has_members=has_members))[start - first :]:
                yield step

    async def _run(self, asked: Statement, moments: Sequence[int], *, has_members: bool) -> list[Step]:
        """Steps of one statement; the first counts against nobody."""
        await self.limit_statements()
        found: dict[int, Any] = {
            row[0]: row[1:] for row in await self.connection.execute(text(asked.sql), asked.parameters)
        }
        steps = []
        count = 0
        for place, at in enumerate(moments, start=1):
            joined, left, members = found.get(place, (0, 0, None))
            count += joined - left
            steps.append(Step(at, count, joined, left, (members or []) if has_members else None))
        return steps

    async def limit_statements(self) -> None:
        """Gives the statements that follow, each of them, what is left of the time.

        Raises:
            TooSlow: nothing is left.
        """
        if self._deadline is None or self._seconds_max is None:
            return
        rest_ms = round((self._deadline - time.monotonic()) * 1_000)
        if rest_ms <= 0:
            raise TooSlow(self._seconds_max, self._setting)
        await self.connection.execute(text(f"SET LOCAL statement_timeout = {rest_ms}"))


def backtest_statement(
    criteria: Criteria, moments: Sequence[int], segments: Segments, *, has_members: bool
) -> Statement:
    """For each of these ascending instants at which somebody is or was: (place from 1 on, joined, left, ids).

    A customer is looked at only where the answer can have changed since the instant before: after an own fact, and
    where one came to be as old as a span of the criteria. In between the answer stands. Before the first instant nobody
    is a member. The ids are external ones by code point, or NULL where nobody asks for them.

    Raises:
        SegmentsUnusable: a segment that the criteria name refers to itself.
    """
    figures = Figures(segments, has_pins_as_of=True)
    test = criteria_sql(criteria, figures)
    instants = figures.bind([to_datetime(one) for one in moments], "timestamptz[]")
    turns = f"""turns AS (
    SELECT customer_id, place, is_in, coalesce(lag(is_in) OVER own, false) AS was_in,
        coalesce(lead(place) OVER own, {figures.bind(len(moments) + 1, "integer")}) AS until
    FROM (SELECT customer_id, place, is_there AND {test} AS is_in FROM {figures.source()}) AS judged
    WINDOW own AS (PARTITION BY customer_id ORDER BY place)
)"""  # noqa: S608 - built from constants and parameters
    tables = [SEEN, *_subjects(figures, _edges(criteria, segments), instants), *figures.tables(), turns, _COUNTED]
    query = "SELECT place, joined, gone, NULL FROM counted"
    if has_members:
        tables.append(_LISTED)
        query = "SELECT place, coalesce(joined, 0), coalesce(gone, 0), ids FROM counted FULL JOIN listed USING (place)"
    return statement("backtest", "Whom criteria would have had at several instants.", tables, query, figures.parameters)


def _subjects(figures: Figures, edges: Mapping[str, set[int]], instants: str) -> list[str]:
    """The tables up to `subjects`: customers at the instants where they must be looked at."""
    moved = ["SELECT customer_id, first_at AS at FROM seen", "SELECT customer_id, ended_at FROM seen"]
    moved += [
        f"SELECT customer_id, {_TIMES[table]} + span * interval '1 microsecond'"  # noqa: S608 - built from constants
        f" FROM {table} CROSS JOIN unnest({figures.bind(sorted(spans), 'bigint[]')}) AS spans (span)"
        for table, spans in edges.items()
    ]
    listed = "\n        UNION ALL ".join(moved)
    return [
        f"""looks AS (
    SELECT DISTINCT customer_id, 1 + width_bucket(at - interval '1 microsecond', {instants}) AS place
    FROM (
        {listed}
    ) AS moved
    WHERE at <= ({instants})[cardinality({instants})]
)""",  # noqa: S608 - built from constants and parameters
        f"""subjects AS (
    SELECT customer_id, as_of, place, {EXISTS} AS is_there
    FROM (SELECT customer_id, place, ({instants})[place] AS as_of FROM looks) AS placed JOIN seen USING (customer_id)
)""",  # noqa: S608 - as above
    ]


def _edges(criteria: Criteria, segments: Segments) -> dict[str, set[int]]:
    """The facts that an answer may depend on, by table, and how long after one it may change, microseconds.

    0 is the fact itself; the others are what time alone changes. Pins hold from their instants on.
    """
    found: dict[str, set[int]] = {}
    others = (segments[one].criteria for one in by_dependence(segments, references(criteria)))
    for one in (criteria, *others):
        for predicate in predicates(one) if one is not None else ():
            tables, span = _edge(predicate)
            for table in tables:
                found.setdefault(table, {0}).add(span)
    return found


def _edge(predicate: Predicate) -> tuple[Sequence[str], int]:
    """The tables of facts that a condition asks, and its span; 0 without one."""
    if isinstance(predicate, AttributePredicate):
        return _LIVES, 0
    if isinstance(predicate, DatePredicate | AgePredicate):
        tables = _ORDERS if predicate.field is Instant.LAST_ORDER_DATE else _LIVES
        return tables, predicate.span if isinstance(predicate, AgePredicate) else 0
    if isinstance(predicate, ActivityPredicate):
        return _ACTIVITIES, predicate.window or 0
    if isinstance(predicate, SequencePredicate):
        return _ORDERS + _ACTIVITIES, predicate.within
    if isinstance(predicate, MemberPredicate):
        return _PINS, 0
    return _ORDERS, predicate.window or 0


_ORDERS: Final = ("order_facts", "refunds")
_ACTIVITIES: Final = ("activities",)
_LIVES: Final = ("customer_facts",)
_PINS: Final = ("pins",)
#: The instant of a row.
_TIMES: Final = {**dict.fromkeys((*_ORDERS, *_ACTIVITIES, *_LIVES), "time"), "pins": "created_at"}

_COUNTED: Final = """counted AS (
    SELECT place, count(*) FILTER (WHERE is_in AND NOT was_in) AS joined,
        count(*) FILTER (WHERE was_in AND NOT is_in) AS gone
    FROM turns
    GROUP BY place
)"""
_LISTED: Final = """listed AS (
    SELECT place, array_agg(external_id ORDER BY external_id) AS ids
    FROM (
        SELECT step AS place, coalesce(external_id, CAST(customer_id AS text)) COLLATE "C" AS external_id
        FROM turns CROSS JOIN LATERAL generate_series(place, until - 1) AS step LEFT JOIN customers USING (customer_id)
        WHERE is_in
    ) AS members
    GROUP BY place
)"""
