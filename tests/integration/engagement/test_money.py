"""What a campaign cost and earned, by hand."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

from service.adapters.postgres.campaigns.performance import PostgresPerformance
from service.adapters.postgres.campaigns.store import PostgresCampaigns
from service.adapters.postgres.database import Database
from service.app.campaigns.campaigns import read_campaign
from service.app.campaigns.performance import performance
from service.core.instants import DAY, HOUR, to_datetime, to_text
from tests.integration.analytics.support import order, world
from tests.integration.engagement.support import END, START, add_campaign, add_code, add_messages, apply, told


class TestMoney:
    """Cost, discounts and what is left, by hand."""

    async def _found(self, database: Database, campaign_id: UUID) -> dict[str, Any]:
        async with database.snapshot() as connection:
            campaign = await read_campaign(PostgresCampaigns(connection), campaign_id)
            return await performance(PostgresPerformance(connection), campaign, END)

    async def test_roi(self, database: Database) -> None:
        """100 * (90 * 0.5 - 0.30 - 20) / (0.30 + 20 + 10): three parts of SMS, one order of 90 after 10 off."""
        campaign_id = await add_campaign(
            database,
            channel="sms",
            discount_code="TEN",
            discount_type="fixed",
            discount_amount=Decimal(10),
            options={"cost_per_message": "0.10", "fixed_cost": "20", "gross_margin": "0.5"},
        )
        when = to_datetime(START)
        await add_messages(database, campaign_id, ["c1"], channel="sms", sms_segments=2, sent_at=when)
        await add_messages(database, campaign_id, ["c2"], channel="sms", sent_at=when)
        codes = [{"code": "ten"}]
        await world(database, [order("c1", "o1", to_text(START + DAY), "90", discount_codes=codes)], END)
        found = await self._found(database, campaign_id)
        assert (found["cost"], found["discount_given"]) == ("30.30", "10.00")
        assert (found["attributed_revenue"], found["redeemed_count"], found["converted_count"]) == ("90.00", 1, 1)
        assert (found["roi"], found["roi_defined"]) == (Decimal("81.52"), True)
        assert found["delivered"] == 0

    async def test_an_amount_that_is_none(self, database: Database) -> None:
        """What the order says of a code may be no amount; its lines count then as if it said nothing."""
        campaign_id = await add_campaign(
            database, discount_code="PART", discount_type="percentage", discount_amount=Decimal(15)
        )
        await add_messages(database, campaign_id, ["c1"], sent_at=to_datetime(START))
        items = [{"product_id": "p", "quantity": 2, "unit_price": "50.00"}]
        codes = [{"code": "PART", "amount": "free"}]
        await world(database, [order("c1", "o1", to_text(START + DAY), "85", discount_codes=codes, items=items)], END)
        assert (await self._found(database, campaign_id))["discount_given"] == "15.00"

    async def test_a_percentage_of_the_lines(self, database: Database) -> None:
        """Where the order does not say what the code took off, its lines do, else its total."""
        campaign_id = await add_campaign(
            database, discount_code="PART", discount_type="percentage", discount_amount=Decimal(15)
        )
        await add_messages(database, campaign_id, ["c1"], sent_at=to_datetime(START))
        items = [{"product_id": "p", "quantity": 3, "unit_price": "33.35"}]
        codes = [{"code": "PART"}]
        events = [
            order("c1", "o1", to_text(START + DAY), "85.04", discount_codes=codes, items=items),
            order("c1", "o2", to_text(START + DAY), "10.10", discount_codes=codes),
        ]
        await world(database, events, END)
        found = await self._found(database, campaign_id)
        assert found["discount_given"] == "16.53"  # 15.0075 and 1.515, each rounded

    async def test_codes_of_one(self, database: Database) -> None:
        """Used again: said. Used by another, or by a guest: revenue, but nobody converted."""
        campaign_id = await add_campaign(database, discount_type="fixed", discount_amount=Decimal(5))
        (one,) = await add_messages(database, campaign_id, ["c1"], sent_at=to_datetime(START))
        await add_code(database, campaign_id, "c1", one, "ABC")
        codes = [{"code": " abc ", "amount": "5.00"}]
        people = [("c1", "o1"), ("c1", "o2"), ("c9", "o3"), (None, "o4")]
        events = [order(customer, name, to_text(START + DAY), "20", discount_codes=codes) for customer, name in people]
        await world(database, events, END)
        found = await self._found(database, campaign_id)
        names = ("converted_count", "attributed_orders", "redeemed_by_other", "redeemed_again", "attributed_revenue")
        assert [found[name] for name in names] == [1, 4, 2, 3, "80.00"]

    async def test_bounces(self, database: Database) -> None:
        """By our own SMTP all is delivered that did not bounce, as it was handed over or later; others must say so."""
        campaign_id = await add_campaign(database)
        when = to_datetime(START)
        own = await add_messages(database, campaign_id, ["c1", "c2", "c3"], sent_at=when, attempt_began_at=when)
        others = await add_messages(database, campaign_id, ["c4", "c5"], sent_at=when)
        refused = await add_messages(
            database, campaign_id, ["c6"], sent_at=None, attempt_began_at=when, state="failed", reason="hard_bounce"
        )
        moment = to_datetime(START + HOUR)
        hard = [told(key, "bounced", moment, bounce_type="hard") for key in (own[0], refused[0])]
        await apply(database, [*hard, told(others[0], "delivered", moment)])
        found = await self._found(database, campaign_id)
        names = ("recipients_count", "delivered", "bounced_count", "delivery_rate", "bounce_rate")
        assert [float(found[name]) for name in names] == [6.0, 3.0, 2.0, 50.0, 33.33]
