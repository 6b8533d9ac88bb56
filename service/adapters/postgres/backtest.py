"""Whom criteria would have had at several instants, by the facts: what app.backtest asks of PostgreSQL."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from service.adapters.postgres.criteria_sql import Statement, criteria_sql, prepare, statement
from service.adapters.postgres.database import Database
from service.adapters.postgres.fact_figures import EXISTS, SEEN, Figures
from service.adapters.postgres.known_segments import Segments, load_segments
from service.adapters.postgres.preview import stopped_after
from service.app.backtest import Step
from service.app.preview import TooSlow
from service.core.criteria.model import Criteria
from service.core.instants import to_datetime

#: Customers times instants of one statement, about; more of them are divided, so that none needs more room.
PAIRS_MAX: Final = 4_000_000
INSTANTS_MAX: Final = 100

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
        size = max(1, min(INSTANTS_MAX, PAIRS_MAX // max(1, customers) - 1))
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
            row[0]: row for row in await self.connection.execute(text(asked.sql), asked.parameters)
        }
        steps = []
        left = 0
        for place, at in enumerate(moments, start=1):
            _, count, joined, leaving, members = found.get(place, (place, 0, 0, 0, []))
            steps.append(Step(at, count, joined, left, members if has_members else None))
            left = leaving
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
    """For each of these instants that has members: (place from 1 on, how many, how many new, how many go, ids).

    New is who was no member at the instant before, going is who is none at the next; before the first and after the
    last nobody is. The ids are external ones by code point, or NULL where nobody asks for them.

    Raises:
        SegmentsUnusable: a segment that the criteria name refers to itself.
    """
    figures = Figures(segments, has_pins_as_of=True)
    instants = figures.bind([to_datetime(one) for one in moments], "timestamptz[]")
    test = criteria_sql(criteria, figures)
    subjects = f"""subjects AS (
    SELECT customer_id, as_of FROM seen CROSS JOIN unnest({instants}) AS moments (as_of) WHERE {EXISTS}
)"""  # noqa: S608 - built from constants and parameters
    members = f"""members AS (
    SELECT customer_id, place
    FROM {figures.source()} JOIN unnest({instants}) WITH ORDINALITY AS moments (as_of, place) USING (as_of)
    WHERE {test}
)"""  # noqa: S608 - as above
    compared = """compared AS (
    SELECT customer_id, place,
        coalesce(lag(place) OVER own = place - 1, false) AS was,
        coalesce(lead(place) OVER own = place + 1, false) AS stays
    FROM members
    WINDOW own AS (PARTITION BY customer_id ORDER BY place)
)"""
    listed, origin = "NULL", "compared"
    if has_members:
        external_id = 'coalesce(external_id, CAST(customer_id AS text)) COLLATE "C"'
        listed = f"array_agg({external_id} ORDER BY {external_id})"
        origin = "compared LEFT JOIN customers USING (customer_id)"
    query = f"""SELECT place, count(*), count(*) FILTER (WHERE NOT was), count(*) FILTER (WHERE NOT stays), {listed}
FROM {origin}
GROUP BY place"""  # noqa: S608 - as above
    tables = [SEEN, subjects, *figures.tables(), members, compared]
    return statement("backtest", "Whom criteria would have had at several instants.", tables, query, figures.parameters)
