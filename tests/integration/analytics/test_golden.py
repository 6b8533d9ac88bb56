"""The golden example, value for value, through a real database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date, timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from service.adapters.postgres.database import Database
from tests.analytics_oracle import Oracle
from tests.conftest import database_copy
from tests.integration.analytics.golden import AT, CLOCK, EVENTS, ZONE, S, T
from tests.integration.analytics.support import add_segment, comparable, days, told, world


@pytest.fixture(scope="module")
async def made(server_url: str, template: str) -> AsyncIterator[tuple[Database, UUID, UUID]]:
    """The world, with the ids of both segments."""
    async with database_copy(server_url, template) as url:
        database = Database.connect(url, role="tests", pool_size=4)
        await world(database, EVENTS, CLOCK)
        yield database, await add_segment(database, S, "S"), await add_segment(database, T, "T")
        await database.close()


def by_day(values: dict[str, object], start: object) -> dict[str, object]:
    """30 days from 2 March on; a value holds until the next that is named."""
    found = {}
    for place in range(30):
        day = str(date(2026, 3, 2) + timedelta(days=place))
        start = values.get(day, start)
        found[day] = start
    return found


async def test_figures(made: tuple[Database, UUID, UUID]) -> None:
    """Every figure of the example."""
    database, segment_id, _ = made
    found = await told(database, segment_id, AT, ZONE)

    assert (found["total_customers"], found["growth_base"], found["active_customers"]) == (4, 3, 3)
    assert found["growth_rate"] == Decimal("33.33")
    assert found["total_revenue"] == "170.01"
    assert found["average_revenue_per_customer"] == "42.50"
    assert found["revenue_contribution"] == Decimal("23.13")
    assert str(found["average_order_frequency"]) == "1.2500"
    assert found["retention_rate"] == Decimal("66.67")
    assert found["customer_lifetime_value"] == found["historic_clv"] == "42.50"


async def test_trends(made: tuple[Database, UUID, UUID]) -> None:
    """Both trends, over the day on which clocks go forward there."""
    database, segment_id, _ = made
    found = await told(database, segment_id, AT, ZONE)

    counts = {"2026-03-05": 3, "2026-03-09": 4, "2026-03-15": 3, "2026-03-19": 4}
    assert days(found["customer_growth_trend"], "count") == by_day(counts, 2)
    amounts = dict.fromkeys(by_day({}, 0), "0.00") | {
        "2026-03-05": "80.00",
        "2026-03-08": "-80.00",
        "2026-03-09": "50.00",
        "2026-03-11": "-20.00",
        "2026-03-24": "10.01",
        "2026-03-30": "30.00",
    }
    assert days(found["revenue_trend"], "amount") == amounts


@pytest.mark.parametrize("is_at_time", [False, True])
async def test_the_oracle_agrees(made: tuple[Database, UUID, UUID], is_at_time: bool) -> None:
    """The oracle says the same of the example, so that the oracle is right as well."""
    database, segment_id, _ = made
    expected = Oracle(EVENTS, S, AT).analytics(ZONE, is_at_time=is_at_time)

    assert comparable(await told(database, segment_id, AT, ZONE, is_at_time=is_at_time), expected) == expected


async def test_later_facts_change_no_lifetime_figure(made: tuple[Database, UUID, UUID]) -> None:
    """Once nothing happens any more, the figures that look all the way back stay."""
    database, segment_id, _ = made
    last, later = [await told(database, segment_id, at) for at in (CLOCK, CLOCK + 10**12)]

    for name in ("total_customers", "total_revenue", "average_order_value", "revenue_contribution", "historic_clv"):
        assert last[name] == later[name]
