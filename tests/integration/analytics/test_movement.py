"""Overlap, flows and cohorts: the golden example, and random worlds against the oracle."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import delete, insert

from service.adapters.postgres import tables
from service.adapters.postgres.analytics import analytics_store
from service.adapters.postgres.cohorts import PostgresCohorts
from service.adapters.postgres.database import Database
from service.adapters.postgres.flows import PostgresFlows
from service.adapters.postgres.overlap import PostgresOverlap
from service.app.analytics import Question
from service.app.cohorts import CohortQuestion, Kind, cohorts
from service.app.flows import flows
from service.app.overlap import shared_counts
from service.core import instants
from service.core.instants import MISSING
from service.core.ratios import ratio
from tests.analytics_oracle import EPOCH, Oracle, days_of
from tests.api.support import profile
from tests.conftest import database_copy
from tests.integration.analytics import golden, random_world
from tests.integration.analytics.support import add_segment, days, world

NEW_YORK = ZoneInfo(golden.ZONE)


@pytest.fixture(scope="module")
async def made(server_url: str, template: str) -> AsyncIterator[tuple[Database, UUID, UUID]]:
    """The golden world, with the ids of both segments."""
    async with database_copy(server_url, template) as url:
        database = Database.connect(url, role="tests", pool_size=4)
        await world(database, golden.EVENTS, golden.CLOCK)
        yield database, await add_segment(database, golden.S, "S"), await add_segment(database, golden.T, "T")
        await database.close()


async def flows_of(database: Database, segment_id: UUID, at: int, zone: ZoneInfo, count: int = 30) -> dict[str, Any]:
    """What the service says of movement."""
    question = Question(segment_id, at, False, trend_days=count, zone=zone, zone_name=zone.key)
    async with analytics_store(database, 60, "TESTS", is_live=True) as store:
        return await flows(PostgresFlows(store), question)


async def cohorts_of(database: Database, question: CohortQuestion) -> dict[str, tuple[int, list[int], list[Decimal]]]:
    """Cohort -> size, counts, percentages."""
    async with analytics_store(database, 60, "TESTS", is_live=question.is_live) as store:
        found = await cohorts(PostgresCohorts(store.connection), question)
    return {
        one["cohort"]: (one["size"], [c["count"] for c in one["cells"]], [c["percent"] for c in one["cells"]])
        for one in found["cohorts"]
    }


async def test_golden_overlap(made: tuple[Database, UUID, UUID]) -> None:
    """4 and 3 members, 2 of them in both."""
    database, first, second = made
    async with analytics_store(database, 60, "TESTS", is_live=False) as store:
        found = await PostgresOverlap(store.connection).overlap([first, second], golden.AT)

    assert shared_counts(2, found.sets) == [[4, 2], [2, 3]]
    assert str(ratio(2, 4 + 3 - 2)) == "0.4000"
    assert found.customers == 8
    assert str(ratio(2 * found.customers, 4 * 3)) == "1.3333"


async def test_who_is_on_a_list_alone_is_no_customer(made: tuple[Database, UUID, UUID]) -> None:
    """An id that no event has named yet does not count among everybody."""
    database, first, second = made
    async with database.transaction() as connection:
        values = profile(uuid4(), first_seen_at=MISSING, evaluated_to=MISSING)
        await connection.execute(insert(tables.profiles).values(**values))
    async with analytics_store(database, 60, "TESTS", is_live=False) as store:
        found = await PostgresOverlap(store.connection).overlap([first, second], golden.AT)
    async with database.transaction() as connection:
        await connection.execute(delete(tables.profiles).where(tables.profiles.c.customer_id == values["customer_id"]))

    assert found.customers == 8


async def test_golden_flows(made: tuple[Database, UUID, UUID]) -> None:
    """Joins on four days, leaves on two; two who joined, and nobody who left, were in T."""
    database, first, second = made
    found = await flows_of(database, first, golden.AT, NEW_YORK)

    came = {day: count for day, count in days(found["days"], "inflow").items() if count}
    went = {day: count for day, count in days(found["days"], "outflow").items() if count}
    assert came == dict.fromkeys(("2026-03-05", "2026-03-09", "2026-03-19", "2026-03-31"), 1)
    assert went == dict.fromkeys(("2026-03-15", "2026-03-31"), 1)
    assert (found["unique_in"], found["unique_out"], found["destinations"]) == (4, 2, [])
    expected = {"segment_id": str(second), "segment_name": "T", "count": 1, "share": Decimal("0.2500")}
    assert found["sources"] == [expected]


async def test_golden_cohorts(made: tuple[Database, UUID, UUID]) -> None:
    """The whole business by purchases."""
    database, *_ = made
    question = CohortQuestion(Kind.PURCHASE, None, golden.AT, False, 12, NEW_YORK, golden.ZONE)

    found = await cohorts_of(database, question)
    assert {name: (size, [int(one) for one in shares]) for name, (size, _, shares) in found.items()} == {
        "2025-05": (1, [100, *[0] * 9, 100]),
        "2026-01": (1, [100, 0, 0]),
        "2026-03": (3, [100]),
    }


def month_of(at: int, zone: ZoneInfo) -> str:
    """YYYY-MM there."""
    return (EPOCH + timedelta(microseconds=at)).astimezone(zone).strftime("%Y-%m")


def expected_cohorts(oracle: Oracle, question: CohortQuestion) -> dict[str, tuple[int, list[int]]]:
    """Size and counts of each cohort within the months asked for, by the oracle."""
    zone = ZoneInfo(question.zone_name)
    ends: dict[str, int] = {}
    for _, _, end in days_of(oracle.at, 31 * question.months, question.zone_name):
        last = min(end - 1, oracle.at)
        ends[month_of(last, zone)] = last
    ends = {month: ends[month] for month in sorted(ends)[-question.months :]}
    begun: dict[str, str] = {}
    there: dict[str, set[str]] = {month: set() for month in ends}
    if question.kind is Kind.PURCHASE:
        now = oracle.members(oracle.at) if question.segment_id else {one for one in oracle.purses if one is not None}
        for customer in now:
            months = sorted(month_of(at, zone) for at in oracle.purse(customer).placed(oracle.at).values())
            if months:
                begun[customer] = months[0]
            for month in months:
                there.setdefault(month, set()).add(customer)
    else:
        real = [one for one in oracle.stays if one[1] != one[2]]
        begun = {one: month_of(min(s[1] for s in real if s[0] == one), zone) for one in {s[0] for s in real}}
        there = {month: oracle.members(end) for month, end in ends.items()}
    found = {}
    for month in ends:
        mine = {one for one, first in begun.items() if first == month}
        if mine:
            found[month] = (len(mine), [len(mine & there[later]) for later in ends if later >= month])
    return found


@pytest.mark.parametrize("seed", range(3))
async def test_random_cohorts(database: Database, seed: int) -> None:
    """Both kinds, of a segment and of everybody, now and then, in two zones."""
    happened, held = random_world.events(seed), random_world.stays(seed)
    await world(database, happened, random_world.CLOCK)
    segment_id = await add_segment(database, held)
    for at in random_world.moments(seed):
        oracle = Oracle(happened, held, at)
        for name in ("UTC", "America/New_York"):
            for kind, whose in ((Kind.PURCHASE, None), (Kind.PURCHASE, segment_id), (Kind.MEMBERSHIP, segment_id)):
                for is_live in {False, at == random_world.CLOCK}:
                    question = CohortQuestion(kind, whose, at, is_live, 7, ZoneInfo(name), name)
                    found = await cohorts_of(database, question)
                    expected = expected_cohorts(oracle, question)
                    assert {month: (size, counts) for month, (size, counts, _) in found.items()} == expected


@pytest.mark.parametrize("seed", range(4))
async def test_counts_follow_from_flows(database: Database, seed: int) -> None:
    """Each day's count is the one before plus what came and less what went; stays folded one by one say the same."""
    held = random_world.stays(seed)
    await world(database, random_world.events(seed, 40), random_world.CLOCK)
    segment_id = await add_segment(database, held)
    for at in random_world.moments(seed):
        oracle = Oracle([], held, at)
        found = await flows_of(database, segment_id, at, NEW_YORK, 100)
        real = [one for one in oracle.stays if one[1] != one[2]]
        before = len(oracle.members(days_of(at, 100, golden.ZONE)[0][1] - 1))
        for told, (day, start, end) in zip(found["days"], days_of(at, 100, golden.ZONE), strict=True):
            last = min(end - 1, at)
            assert told["date"] == day
            assert told["inflow"] == sum(1 for one in real if start <= one[1] <= last)
            assert told["outflow"] == sum(1 for one in real if one[2] is not None and start <= one[2] <= last)
            assert told["count"] == before + told["net"] == len(oracle.members(last))
            before = told["count"]


def test_days_have_no_gaps() -> None:
    """The days of a zone follow one another, whatever its clocks do."""
    at = instants.parse("2012-01-03T00:00:00Z")
    for zone in ("Pacific/Apia", "America/Havana", "Africa/Cairo", "Asia/Kathmandu"):
        found = Question(UUID(int=1), at, False, trend_days=366, zone=ZoneInfo(zone)).days
        assert all(one.end == other.start for one, other in pairwise(found))
        assert [(str(one.date), one.start, one.end) for one in found] == days_of(at, 366, zone)
