"""Random worlds: the service says what the oracle says, as of now and of any instant, however events arrived."""

from __future__ import annotations

import json
import random
from decimal import Decimal

import pytest
from sqlalchemy import text

from service.adapters.postgres.database import Database
from service.core.identity import customer_uuid
from tests.analytics_oracle import DAY, Oracle, days_of
from tests.integration.analytics.random_world import CLOCK, CUSTOMERS, events, moments, stays
from tests.integration.analytics.support import add_segment, comparable, event, told, world

ZONES = ("UTC", "America/New_York", "Pacific/Apia", "Australia/Lord_Howe")
SPENT = text("""
SELECT coalesce(sum(total_spent), 0) FROM profiles JOIN customer_segment_memberships USING (customer_id)
WHERE segment_id = :segment_id AND left_at IS NULL
""")


@pytest.mark.parametrize("seed", range(6))
async def test_the_oracle_agrees(database: Database, seed: int) -> None:
    """Live answers, answers from the facts and the oracle are one, in all zones, spans and populations."""
    chance = random.Random(seed)
    happened, held = events(seed), stays(seed)
    await world(database, happened, CLOCK)
    segment_id = await add_segment(database, held)
    for at in moments(seed):
        oracle = Oracle(happened, held, at)
        for zone in chance.sample(ZONES, 2):
            spans = {"window": chance.choice([1, 7, 30, 366]), "trend": chance.choice([1, 30, 366])}
            spans["active"] = chance.choice([1, 90])
            asked = {"window_days": spans["window"], "trend_days": spans["trend"], "active_days": spans["active"]}
            for is_live, is_at_time in [(False, False), (False, True), *([(True, False)] if at == CLOCK else [])]:
                expected = oracle.analytics(zone, **spans, is_at_time=is_at_time)
                found = await told(database, segment_id, at, zone, is_live=is_live, is_at_time=is_at_time, **asked)

                assert comparable(found, expected) == expected, (at, zone, asked, is_live, is_at_time)


@pytest.mark.parametrize("segment_type", ["static", "dynamic"])
async def test_everybody(database: Database, segment_type: str) -> None:
    """Where everybody is a member, which is answered without looking anybody up, the figures are those of everybody.

    A list may have as many members as there are customers, and one of them is no customer: they are looked up.
    """
    happened = events(11)
    await world(database, happened, CLOCK)
    known = sorted({one["data"]["customer_id"] for one in happened} - {None})
    everybody = known if segment_type == "dynamic" else [*known[1:], "a stranger"]
    held = [(one, CLOCK - 40 * DAY, None) for one in everybody]
    segment_id = await add_segment(database, held, segment_type=segment_type)
    expected = Oracle(happened, held, CLOCK).analytics()

    assert comparable(await told(database, segment_id, CLOCK, is_live=True), expected) == expected


@pytest.mark.parametrize("seed", range(3))
async def test_invariants(database: Database, seed: int) -> None:
    """Revenue now is the sum of the members' total_spent; that of days adds up; parts of the business add up."""
    held = stays(seed)
    await world(database, events(seed), CLOCK)
    segment_id = await add_segment(database, held)
    async with database.snapshot() as connection:
        spent = (await connection.execute(SPENT, {"segment_id": segment_id})).scalar_one()
    found = await told(database, segment_id, CLOCK, is_live=True)

    assert Decimal(found["total_revenue"]) * 100 == spent
    assert found["growth_absolute"] == found["total_customers"] - found["growth_base"]

    since = CLOCK - 10**15
    some, others = CUSTOMERS[:5], CUSTOMERS[5:]
    parts = [await add_segment(database, [(one, since, None) for one in part]) for part in (some, others)]
    everybody = await add_segment(database, [(one, since, None) for one in CUSTOMERS])
    totals = [Decimal((await told(database, one, CLOCK, is_live=True))["total_revenue"]) for one in (*parts, everybody)]
    assert totals[0] + totals[1] == totals[2]
    whole = await told(database, everybody, CLOCK, is_live=True, trend_days=366)
    oracle = Oracle(events(seed), [], CLOCK)
    before = oracle.revenue(CUSTOMERS, days_of(CLOCK, 366, "UTC")[0][1] - 1)
    days = sum((Decimal(one["amount"]) for one in whole["revenue_trend"]), Decimal(0))
    assert days == totals[2] - before


async def test_late_and_erased(database: Database) -> None:
    """What arrives late changes the past; who is erased is gone from it."""
    happened, held = events(7), stays(7)
    chance = random.Random(7)
    chance.shuffle(happened)
    made = await world(database, happened[:150], CLOCK)
    segment_id = await add_segment(database, held)
    await told(database, segment_id, CLOCK, is_live=True)
    await made.take([json.dumps(one).encode() for one in happened[150:]], CLOCK, size=7)
    for at in moments(7):
        expected = Oracle(happened, held, at).analytics()
        assert comparable(await told(database, segment_id, at), expected) == expected

    gone = event("customer.deleted", "c01", "gone", "2026-04-04T00:00:00Z", {})
    await made.take([json.dumps(gone).encode()], CLOCK)
    rest = [one for one in happened if one["data"]["customer_id"] != "c01"]
    expected = Oracle(rest, [one for one in held if one[0] != "c01"], CLOCK).analytics()
    for is_live in (False, True):
        assert comparable(await told(database, segment_id, CLOCK, is_live=is_live), expected) == expected
    async with database.snapshot() as connection:
        rows = await connection.execute(
            text("SELECT count(*) FROM customer_segment_memberships WHERE customer_id = :one"),
            {"one": customer_uuid("c01")},
        )
    assert rows.scalar_one() == 0
