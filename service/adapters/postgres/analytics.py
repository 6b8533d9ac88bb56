"""What app.analytics asks of PostgreSQL, all in one snapshot."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from service.adapters.postgres import analytics_facts as facts
from service.adapters.postgres import analytics_live as live
from service.adapters.postgres.database import Database
from service.adapters.postgres.limited import limited_snapshot
from service.adapters.postgres.stays_sql import FLOW, RETURNED
from service.app.analytics import FREQUENCY_DAYS, Figures, Flow, Question
from service.core.identity import GUEST
from service.core.instants import to_datetime

#: Joins of whole tables: in parts that fit into the processor's cache they take half as long as in one piece, which
#: measured 4 MB against 64 MB. Folds of all facts want room instead.
_LIVE_SETTINGS: Final = (
    "SET LOCAL work_mem = '4MB'",
    "SET LOCAL hash_mem_multiplier = 1",
    "SET LOCAL plan_cache_mode = force_custom_plan",
)
_FACTS_SETTINGS: Final = (
    "SET LOCAL work_mem = '64MB'",
    "SET LOCAL enable_nestloop = off",
    "SET LOCAL plan_cache_mode = force_custom_plan",
)


@asynccontextmanager
async def analytics_store(
    database: Database, seconds_max: float, setting: str, *, is_live: bool
) -> AsyncIterator[PostgresAnalytics]:
    """The reads of one answer.

    Args:
        database: an ordinary pool, not one that is set for look-ups.
        seconds_max: after which PostgreSQL stops a statement.
        setting: the name of what says so, for the message.
        is_live: asks the tables that batches maintain, not all facts.

    Raises:
        TooSlow: a statement was stopped.
    """
    async with limited_snapshot(database, seconds_max, setting) as connection:
        for statement in _LIVE_SETTINGS if is_live else _FACTS_SETTINGS:
            await connection.execute(text(statement))
        yield PostgresAnalytics(connection)


class PostgresAnalytics:
    """app.analytics.AnalyticsStore on one connection, which must be in one REPEATABLE READ transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection

    async def flow(self, segment_id: UUID, moments: Sequence[int]) -> Flow:
        """See AnalyticsStore."""
        instants = [to_datetime(one) for one in moments]
        values = {"segment_id": segment_id, "moments": instants, "first": instants[0], "as_of": instants[-1]}
        rows = await self.connection.execute(text(FLOW), values)
        return Flow(moments, {(joined, left): count for joined, left, count in rows})

    async def returned(self, question: Question) -> int:
        """See AnalyticsStore."""
        values = {
            "segment_id": question.segment_id,
            "window_ago": to_datetime(question.ago(question.window_days)),
            "as_of": to_datetime(question.as_of),
        }
        return int((await self.connection.execute(text(RETURNED), values)).scalar_one())

    async def figures(self, question: Question) -> Figures:
        """See AnalyticsStore."""
        values = _values(question)
        if question.is_live and not question.is_at_time:
            return await self._live_figures(values)
        return await self._figures(values, is_at_time=question.is_at_time)

    async def _live_figures(self, values: dict[str, Any]) -> Figures:
        is_everybody = (await self._run(live.IS_EVERYBODY, values)).scalar_one()
        sums = (await self._run(live.LIFETIME[is_everybody], values)).one()
        guests = (await self._run(live.GUESTS, values)).scalar_one()
        before, again = (await self._run(live.BUYERS[is_everybody], values)).one()
        trend = {row.place: int(row.amount) for row in await self._run(live.TREND[is_everybody], values)}
        return Figures(
            revenue=int(sums.revenue),
            orders=int(sums.orders),
            revenue_of_members=int(sums.revenue),
            business=int(sums.business) + int(guests),
            active=sums.active,
            orders_in_year=sums.orders_in_year,
            buyers_in_year=sums.buyers_in_year,
            buyers_before=before,
            buyers_again=again,
            revenue_by_day=trend,
        )

    async def _figures(self, values: dict[str, Any], *, is_at_time: bool) -> Figures:
        counts = (await self._run(facts.FIGURES, values)).one()
        days = (await self._run(facts.REVENUE, values)).all()
        asked = 3 if is_at_time else 2
        return Figures(
            revenue=sum(int(row[asked]) for row in days),
            orders=int(counts.orders_at_time if is_at_time else counts.orders),
            revenue_of_members=sum(int(row[2]) for row in days),
            business=sum(int(row[1]) for row in days),
            active=counts.active,
            orders_in_year=int(counts.orders_in_year),
            buyers_in_year=counts.buyers_in_year,
            buyers_before=counts.buyers_before,
            buyers_again=counts.buyers_again,
            revenue_by_day={row[0] - 1: int(row[asked]) for row in days if row[0]},
        )

    async def _run(self, statement: str, values: dict[str, Any]) -> Any:
        return await self.connection.execute(text(statement), values)


def _values(question: Question) -> dict[str, Any]:
    """Parameters of all statements."""
    days = question.days
    return {
        "segment_id": question.segment_id,
        "guest": GUEST,
        "as_of": to_datetime(question.as_of),
        "year_ago": to_datetime(question.ago(FREQUENCY_DAYS)),
        "active_since": to_datetime(question.ago(question.active_days)),
        "window_ago": to_datetime(question.ago(question.window_days)),
        "two_windows_ago": to_datetime(question.ago(2 * question.window_days)),
        "trend_start": to_datetime(days[0].start),
        "starts": [to_datetime(day.start) for day in days],
    }
