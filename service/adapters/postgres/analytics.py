"""What app.analytics asks of PostgreSQL, all in one snapshot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any, Final, TypeVar
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from service.adapters.postgres import analytics_facts as facts
from service.adapters.postgres import analytics_live as live
from service.adapters.postgres.analytics_trend import TREND
from service.adapters.postgres.campaigns.performance import campaigns_sent
from service.adapters.postgres.database import Database
from service.adapters.postgres.limited import limited_snapshot, same_snapshot
from service.adapters.postgres.stays_sql import FLOW, RETURNED
from service.app.analytics import FREQUENCY_DAYS, Campaigns, Figures, Flow, Question
from service.app.campaigns.performance import mean_rates
from service.core.identity import GUEST
from service.core.instants import to_datetime

Beside = Callable[[], AbstractAsyncContextManager[AsyncConnection]]
_One = TypeVar("_One")
_Other = TypeVar("_Other")

#: Joins of whole tables: in parts that fit into the processor's cache they take half as long as in one piece, which
#: measured 2 and 4 MB against 64 MB. Folds of all facts want room instead. Two connections share the work, so that none
#: needs helpers of its own: these cost more CPU.
_LIVE_SETTINGS: Final = (
    "SET LOCAL work_mem = '2MB'",
    "SET LOCAL hash_mem_multiplier = 1",
    "SET LOCAL enable_nestloop = off",
    "SET LOCAL plan_cache_mode = force_custom_plan",
    "SET LOCAL max_parallel_workers_per_gather = 0",
)
_FACTS_SETTINGS: Final = (
    "SET LOCAL work_mem = '64MB'",
    "SET LOCAL enable_nestloop = off",
    "SET LOCAL plan_cache_mode = force_custom_plan",
)
#: The people of a campaign are looked up; what is made of their orders wants room.
_CAMPAIGN_SETTINGS: Final = ("SET LOCAL enable_nestloop = on", "SET LOCAL work_mem = '64MB'")


@asynccontextmanager
async def analytics_store(
    database: Database, seconds_max: float, setting: str, *, is_live: bool
) -> AsyncIterator[PostgresAnalytics]:
    """The reads of one answer; those of now take a second connection for a while.

    Args:
        database: an ordinary pool of two connections or more, not one that is set for look-ups.
        seconds_max: after which PostgreSQL stops a statement.
        setting: the name of what says so, for the message.
        is_live: asks the tables that batches maintain, not all facts.

    Raises:
        TooSlow: a statement was stopped.
    """
    settings = _LIVE_SETTINGS if is_live else _FACTS_SETTINGS
    async with limited_snapshot(database, seconds_max, setting) as connection:
        await _set(connection, settings)
        yield PostgresAnalytics(connection, partial(_beside, database, connection, seconds_max, settings))


@asynccontextmanager
async def _beside(
    database: Database, connection: AsyncConnection, seconds_max: float, settings: Sequence[str]
) -> AsyncIterator[AsyncConnection]:
    async with same_snapshot(database, connection, seconds_max) as other:
        await _set(other, settings)
        yield other


async def _set(connection: AsyncConnection, settings: Sequence[str]) -> None:
    for statement in settings:
        await connection.execute(text(statement))


class PostgresAnalytics:
    """app.analytics.AnalyticsStore on a connection, which must be in one REPEATABLE READ transaction.

    Args:
        connection: does what needs no other.
        beside: lends another connection in the same snapshot, so that two statements may run at once.
    """

    def __init__(self, connection: AsyncConnection, beside: Beside) -> None:
        self.connection = connection
        self._beside = beside

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

    async def figures(self, question: Question, members: int) -> Figures:
        """See AnalyticsStore."""
        values = _values(question) | {"members": members}
        if question.is_live and not question.is_at_time:
            return await self._live_figures(values)
        return await self._figures(values, is_at_time=question.is_at_time)

    async def campaigns(self, question: Question) -> Campaigns:
        """See AnalyticsStore."""
        await _set(self.connection, _CAMPAIGN_SETTINGS)
        found = await campaigns_sent(self.connection, question.segment_id, question.as_of)
        return Campaigns(len(found), *mean_rates(found))

    async def _live_figures(self, values: dict[str, Any]) -> Figures:
        is_everybody = bool((await self._run(live.IS_EVERYBODY, values)).scalar_one())
        async with self._beside() as other:
            (sums, guests), (orders_in_year, trend) = await _at_once(
                _customers(self.connection, values, is_everybody=is_everybody),
                _orders(other, values, is_everybody=is_everybody),
            )
        return Figures(
            revenue=int(sums.revenue),
            orders=int(sums.orders),
            revenue_of_members=int(sums.revenue),
            business=int(sums.business) + guests,
            active=sums.active,
            orders_in_year=orders_in_year,
            buyers_in_year=sums.buyers_in_year,
            buyers_before=sums.buyers_before,
            buyers_again=sums.buyers_again,
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


async def _customers(connection: AsyncConnection, values: dict[str, Any], *, is_everybody: bool) -> tuple[Any, int]:
    """Sums over customers, and revenue of those who are none."""
    sums = (await connection.execute(text(live.CUSTOMERS[is_everybody]), values)).one()
    return sums, int((await connection.execute(text(live.GUESTS), values)).scalar_one())


async def _orders(
    connection: AsyncConnection, values: dict[str, Any], *, is_everybody: bool
) -> tuple[int, dict[int, int]]:
    """How many in a year, and revenue by place of the day."""
    count = (await connection.execute(text(live.ORDERS[is_everybody]), values)).scalar_one()
    days = await connection.execute(text(TREND[is_everybody]), values)
    return int(count), {row.place: int(row.amount) for row in days}


async def _at_once(one: Coroutine[Any, Any, _One], other: Coroutine[Any, Any, _Other]) -> tuple[_One, _Other]:
    """The results of both; where one fails the other has been stopped before the failure goes on."""
    tasks = (asyncio.create_task(one), asyncio.create_task(other))
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


def _values(question: Question) -> dict[str, Any]:
    """Parameters of all statements but :members."""
    days = question.days
    year_ago, active_since = question.ago(FREQUENCY_DAYS), question.ago(question.active_days)
    return {
        "segment_id": question.segment_id,
        "guest": GUEST,
        "as_of": to_datetime(question.as_of),
        "year_ago": to_datetime(year_ago),
        "year_ago_us": year_ago,
        "active_since": to_datetime(active_since),
        "active_since_us": active_since,
        "window_ago": to_datetime(question.ago(question.window_days)),
        "two_windows_ago": to_datetime(question.ago(2 * question.window_days)),
        "trend_start": to_datetime(days[0].start),
        "starts": [to_datetime(day.start) for day in days],
    }
