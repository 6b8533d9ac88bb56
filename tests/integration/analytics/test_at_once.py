"""Answers as of now: two connections that see one instant, the business with its guests, and a statement stopped."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

import pytest
from sqlalchemy import text

from service.adapters.postgres.analytics import analytics_store
from service.adapters.postgres.database import Database
from service.app.analytics import Question, analytics, analytics_data
from service.app.preview import TooSlow
from service.core.instants import to_text
from tests.analytics_oracle import DAY, Oracle
from tests.integration.analytics.random_world import CLOCK, CUSTOMERS, events, stays
from tests.integration.analytics.support import add_segment, order, told, world

#: More connections than one answer takes: each of the pool must be whole afterwards.
POOL = 8


@pytest.mark.parametrize("seed", range(20, 28))
async def test_the_business_is_what_the_facts_say(database: Database, seed: int) -> None:
    """To the cent, guests included: theirs are cancelled, tests, named anew, and refunded in part and in full."""
    happened = events(seed)
    await world(database, happened, CLOCK)
    segment_id = await add_segment(database, stays(seed))
    found = []
    for is_live in (True, False):
        question = Question(segment_id, CLOCK, is_live)
        async with analytics_store(database, 60, "TESTS", is_live=is_live) as store:
            found.append(await store.figures(question, 0))
    oracle = Oracle(happened, [], CLOCK)

    assert found[0].business == found[1].business == 100 * oracle.revenue(oracle.purses, CLOCK)
    taken = [{place: amount for place, amount in one.revenue_by_day.items() if amount} for one in found]
    assert replace(found[0], revenue_by_day=taken[0]) == replace(found[1], revenue_by_day=taken[1])


async def test_both_connections_see_one_instant(database: Database) -> None:
    """An order that comes while an answer is being read is in none of its figures, whichever connection reads them."""
    made = await world(database, events(3), CLOCK)
    segment_id = await add_segment(database, [(one, CLOCK - 40 * DAY, None) for one in CUSTOMERS])
    before = await told(database, segment_id, CLOCK, is_live=True)
    at = to_text(CLOCK - DAY)
    new = [order(one, "new", at, 1_000) for one in (CUSTOMERS[0], None)]
    question = Question(segment_id, CLOCK, True)
    async with analytics_store(database, 60, "TESTS", is_live=True) as store:
        took = store.flow

        async def flow_and_then_orders(*asked: object) -> object:
            found = await took(*asked)  # type: ignore[arg-type]
            await made.take([json.dumps(one).encode() for one in new], CLOCK)
            return found

        store.flow = flow_and_then_orders  # type: ignore[method-assign, assignment]
        assert analytics_data(await analytics(store, question)) == before

    after = await told(database, segment_id, CLOCK, is_live=True)
    assert after["average_order_frequency"] > before["average_order_frequency"]
    assert after["revenue_trend"] != before["revenue_trend"]


async def test_one_that_is_stopped_stops_the_other(database: Database) -> None:
    """PostgreSQL stops a statement that waits: the answer says so, and both connections are whole afterwards."""
    await world(database, events(4), CLOCK)
    segment_id = await add_segment(database, stays(4))
    ask = partial(told, database, segment_id, CLOCK, is_live=True)
    before = await ask()
    question = Question(segment_id, CLOCK, True)
    async with database.transaction() as other:
        await other.execute(text("LOCK refunds IN ACCESS EXCLUSIVE MODE"))
        with pytest.raises(TooSlow, match="TESTS"):
            async with analytics_store(database, 0.3, "TESTS", is_live=True) as store:
                await analytics(store, question)

    for _ in range(POOL):
        assert await ask() == before
