"""The golden example of attribution (notes on campaigns, G3), value for value, through the consumer and a database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from service.adapters.postgres.campaigns.performance import PostgresPerformance, counts_of
from service.adapters.postgres.campaigns.store import PostgresCampaigns
from service.adapters.postgres.database import Database
from service.app.campaigns.campaigns import read_campaign
from service.app.campaigns.performance import performance
from service.core.instants import parse, to_datetime
from tests.conftest import database_copy
from tests.integration.analytics.golden import AT, CLOCK, EVENTS, S
from tests.integration.analytics.support import add_segment, world
from tests.integration.analytics.support import told as analytics_told
from tests.integration.engagement.support import add_campaign, add_messages, apply, told

YEAR = "2026-03-"


def _moment(text: str) -> int:
    return parse(YEAR + (text if "T" in text else f"{text}T00:00:00Z"))


#: Message: campaign, customer, sent at; contact: kind, at, by a machine.
SENT = [
    ("k1", "c1", "08", "clicked", "08T10:00:00Z", False),
    ("k2", "c1", "09", "opened", "09T09:00:00Z", False),
    ("k1", "c3", "24", "opened", "24T01:00:00Z", True),
    ("k1", "c2", "10", "clicked", "14", False),
    ("k1", "c8", "14T23:00:00Z", "clicked", "15", False),
]


@pytest.fixture(scope="module")
async def made(server_url: str, template: str) -> AsyncIterator[tuple[Database, UUID, dict[str, UUID]]]:
    """The world of analytics' example, with two campaigns of its segment."""
    async with database_copy(server_url, template) as url:
        database = Database.connect(url, role="tests", pool_size=4)
        await world(database, EVENTS, CLOCK)
        segment_id = await add_segment(database, S)
        ended = to_datetime(_moment("25"))
        ids = {name: await add_campaign(database, segment_id, state="sent", sent_at=ended) for name in ("k1", "k2")}
        events = []
        for name, customer, sent_at, kind, when, is_machine in SENT:
            moment = to_datetime(_moment(sent_at))
            (one,) = await add_messages(database, ids[name], [customer], sent_at=moment, attempt_began_at=moment)
            events.append(told(one, kind, to_datetime(_moment(when)), is_machine=is_machine))
        await apply(database, events)
        yield database, segment_id, ids
        await database.close()


async def figures(database: Database, campaign_id: UUID, at: int) -> dict[str, object]:
    """What the API shows."""
    async with database.snapshot() as connection:
        campaign = await read_campaign(PostgresCampaigns(connection), campaign_id)
        return await performance(PostgresPerformance(connection), campaign, at)


async def test_attribution(made: tuple[Database, UUID, dict[str, UUID]]) -> None:
    """Who earned what: the last touch by a person, within its window, net of the refund."""
    database, _, ids = made
    first, second = [await figures(database, ids[name], AT) for name in ("k1", "k2")]
    names = ("converted_count", "attributed_orders", "attributed_revenue")
    assert [first[name] for name in names] == [1, 1, "40.00"]
    assert [second[name] for name in names] == [1, 1, "30.00"]


async def test_rates(made: tuple[Database, UUID, dict[str, UUID]]) -> None:
    """Four went out; a machine's open is shown beside, and counts for nothing."""
    database, _, ids = made
    found = await figures(database, ids["k1"], AT)
    assert [found[name] for name in ("recipients_count", "delivered", "opened_count", "clicked_count")] == [4, 4, 0, 3]
    assert found["opened_incl_machine"] == 1
    assert [float(found[name]) for name in ("open_rate", "click_rate", "conversion_rate", "click_to_open")] == [  # type: ignore[arg-type]
        *(0.0, 75.0, 25.0, 0.0)
    ]
    assert (found["roi"], found["roi_defined"], found["cost"]) == (0, False, "0.00")


async def test_at_other_instants(made: tuple[Database, UUID, dict[str, UUID]]) -> None:
    """Before the refund the order was worth more, and before the order nothing."""
    database, _, ids = made
    worth = {
        day: (await figures(database, ids["k2"], _moment(day)))["attributed_revenue"] for day in ("09", "11", "12")
    }
    assert worth == {"09": "0.00", "11": "50.00", "12": "30.00"}


async def test_counts_for_lists(made: tuple[Database, UUID, dict[str, UUID]]) -> None:
    """The same, for several campaigns at once; one that is not there has zeros."""
    database, segment_id, ids = made
    async with database.snapshot() as connection:
        found = await counts_of(connection, [*ids.values(), segment_id])
    assert [(found[ids[name]].recipients, found[ids[name]].converted) for name in ("k1", "k2")] == [(4, 1), (1, 1)]
    assert found[segment_id].recipients == 0


@pytest.mark.parametrize("is_live", [False, True])
async def test_analytics_of_the_segment(made: tuple[Database, UUID, dict[str, UUID]], is_live: bool) -> None:
    """Means over both campaigns, each alike: opens (0 + 100) / 2, clicks (75 + 0) / 2, conversions (25 + 100) / 2."""
    database, segment_id, _ = made
    found = await analytics_told(database, segment_id, AT, is_live=is_live)
    names = ("campaigns_sent", "average_open_rate", "average_click_rate", "average_conversion_rate")
    assert [float(found[name]) for name in names] == [2.0, 50.0, 37.5, 62.5]
    before = await analytics_told(database, segment_id, _moment("24"))
    assert before["campaigns_sent"] == 0
