"""Who gets it and when: consent at the last moment, caps, pauses, codes, templates that do not fit, late beginnings."""

from __future__ import annotations

import asyncio
from collections import Counter
from decimal import Decimal

from service.adapters.postgres.campaigns.store import PostgresCampaigns
from service.adapters.postgres.database import Database
from service.app.campaigns.actions import cancel_campaign, lock_campaign
from service.core import instants
from service.core.campaigns.model import CodeGenerator, FrequencyCap
from tests.integration.dispatch.conftest import start
from tests.integration.dispatch.support import (
    begin,
    campaign,
    event,
    later,
    now,
    outcomes,
    registered,
    requested,
    rows,
    set_state,
    state_of,
)
from tests.world import World, create

EVERYBODY = {"all": {}}
NO_CAPS = {"frequency_caps": ()}
ARCHIVE = "UPDATE customer_segments SET status = 'archived' WHERE id = $1"
PEOPLE = [f"c{number}" for number in range(20)]


async def everybody(database: Database) -> str:
    """A segment that all customers join as they come."""
    return (await create(database, EVERYBODY, instants.to_text(now())))["all"]


class TestPolicy:
    """Campaigns that joins fire."""

    async def test_two_campaigns_and_two_workers_for_one_slot(self, shop: World, database: Database) -> None:
        """With a cap of one, of two campaigns that the same join fires one leaves and the other waits for room."""
        segment_id = await everybody(database)
        cap = {"frequency_caps": (FrequencyCap(1, 3_600),)}
        made = [await begin(database, campaign(segment_id, options=cap)) for _ in range(2)]
        start(shop, dispatchers=2)
        shop.publish([registered(one) for one in PEOPLE])
        shop.wait_idle()

        found = [await outcomes(database, one) for one in made]
        for person in PEOPLE:
            assert sorted(one[person] for one in found) == [("deferred", "frequency_cap"), ("sent", None)]
        assert Counter(one.key for one in requested(shop)).most_common(1)[0][1] == 1

    async def test_consent_is_asked_for_when_it_leaves(self, shop: World, database: Database) -> None:
        """Who says no or is erased between the join and the message gets none."""
        segment_id = await everybody(database)
        made = await begin(database, campaign(segment_id, state="paused"))
        start(shop)
        shop.publish([registered(one) for one in ("ann", "bob", "eve")])
        shop.publish([event("customer.updated", "bob", sms_subscribed=False), event("customer.deleted", "eve")])
        shop.wait_idle()
        assert [row["state"] for row in await rows(database, made)] == ["pending"] * 3
        await set_state(database, made, "active")
        shop.wait_idle()

        found = [(row["external_id"], row["state"], row["reason"]) for row in await rows(database, made)]
        assert sorted(found, key=str) == [
            ("ann", "sent", None),
            ("bob", "suppressed", "no_consent"),
            (None, "suppressed", "erased"),
        ]
        assert len(requested(shop)) == 1
        assert shop.stop("dispatch") == 0

    async def test_paused_and_cancelled(self, shop: World, database: Database) -> None:
        """While paused messages gather and none leaves; resumed they leave; cancelled they never do."""
        segment_id = await everybody(database)
        goes_on = await begin(database, campaign(segment_id, state="paused", options=NO_CAPS))
        ends = await begin(database, campaign(segment_id, state="paused", options=NO_CAPS))
        start(shop)
        shop.publish([registered(one) for one in PEOPLE])
        shop.wait_idle()
        assert not requested(shop)
        assert {state for state, _ in (await outcomes(database, goes_on)).values()} == {"pending"}

        await set_state(database, goes_on, "active")
        async with database.transaction() as connection:
            store = PostgresCampaigns(connection)
            _, waited = await cancel_campaign(store, await lock_campaign(store, ends), "tester")
        await asyncio.sleep(1)
        shop.wait_idle()
        assert waited == len(PEOPLE)
        assert set((await outcomes(database, goes_on)).values()) == {("sent", None)}
        assert set((await outcomes(database, ends)).values()) == {("suppressed", "campaign_cancelled")}
        assert {one.data["campaign"]["id"] for one in requested(shop)} == {str(goes_on)}

    async def test_codes_and_templates(self, shop: World, database: Database) -> None:
        """Each gets a code of their own, which the shop is told; a template that fits too few pauses its campaign."""
        segment_id = await everybody(database)
        discount = {
            "campaign_type": "discount",
            "discount_type": "percentage",
            "discount_amount": Decimal(15),
            "content": "Take {{ discount.code }}",
        }
        coded = await begin(
            database, campaign(segment_id, **discount, options=NO_CAPS | {"code_generator": CodeGenerator("K7-")})
        )
        unfit = await begin(database, campaign(segment_id, content="{{ customer.city }}", options=NO_CAPS))
        start(shop, dispatchers=2)
        shop.publish([registered(one) for one in PEOPLE])
        shop.wait_idle()

        codes = {row["external_id"]: row["discount_code"] for row in await rows(database, coded)}
        assert len(set(codes.values())) == len(PEOPLE)
        sent = [one for one in requested(shop) if one.data["campaign"]["id"] == str(coded)]
        assert {one.data["content"]["text"].split("\n")[0] for one in sent} == {f"Take {one}" for one in codes.values()}
        issued = [one.data["code"] for one in requested(shop, "campaign.discount.issued")]
        assert sorted(issued) == sorted(codes.values())
        assert all(one.startswith("K7-") for one in issued)
        assert (await state_of(database, unfit))[0] == "paused"
        assert ("failed", "render_error") in (await outcomes(database, unfit)).values()


class TestBeginning:
    """Campaigns at their time."""

    async def test_late_without_a_segment_and_without_members(self, shop: World, database: Database) -> None:
        """Too late fails, a segment that is gone fails or cancels, and an audience of nobody is sent."""
        ids = await create(
            database,
            {"all": {}, "gone": {}, "empty": {"traits": {"a": {"operator": "exists"}}}},
            instants.to_text(now()),
        )
        late = campaign(
            ids["all"],
            trigger="once",
            state="scheduled",
            scheduled_at=later(-7_200),
            options={"lateness_seconds_max": 3_600},
        )
        in_time = campaign(ids["empty"], trigger="once", state="scheduled", scheduled_at=later(-1_800))
        without = campaign(ids["gone"], trigger="once", state="scheduled", scheduled_at=later(3_600))
        listening = campaign(ids["gone"])
        for one in (late, in_time, without, listening):
            await begin(database, one)
        start(shop)
        shop.publish([registered("ann")])
        shop.wait_idle()
        assert await state_of(database, late.id) == ("failed", "missed_window")
        assert await state_of(database, in_time.id) == ("sent", None)
        assert await outcomes(database, listening.id) == {"ann": ("sent", None)}

        async with database.session() as connection:  # which the API refuses while campaigns are under way
            await connection.execute(ARCHIVE, ids["gone"])
        await asyncio.sleep(2)
        shop.wait_idle()
        assert await state_of(database, without.id) == ("failed", "segment_gone")
        assert await state_of(database, listening.id) == ("cancelled", "segment_gone")
        assert not await rows(database, late.id)

    async def test_an_audience_waits_until_its_segment_is_filled(self, shop: World, database: Database) -> None:
        """A campaign that is sent right after its segment was made goes to all members, not to those found so far."""
        shop.start("consume")
        shop.start("relay")
        shop.start("dispatch")
        shop.publish([registered(one) for one in PEOPLE])
        shop.wait_idle()
        made = campaign(await everybody(database), trigger="once", state="scheduled")
        await begin(database, made)
        await asyncio.sleep(2)
        assert await state_of(database, made.id) == ("scheduled", None)

        shop.start("timers")
        shop.wait_idle()
        assert await outcomes(database, made.id) == dict.fromkeys(PEOPLE, ("sent", None))
        assert await state_of(database, made.id) == ("sent", None)
