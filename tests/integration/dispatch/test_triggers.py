"""Joined and left become messages on the topic, each exactly once, through real Kafka and PostgreSQL."""

from __future__ import annotations

import asyncio
from collections import Counter
from uuid import UUID

from service.adapters.kafka.groups import move_offsets
from service.adapters.kafka.offsets import OffsetReader
from service.adapters.postgres.database import Database
from service.core import instants
from service.core.campaigns.identity import message_id
from service.settings import Settings, load_settings
from tests.integration.dispatch.conftest import start
from tests.integration.dispatch.support import begin, campaign, now, registered, requested, rows, traits
from tests.world import World, change, create

GOLD = {"traits": {"gold": {"operator": "eq", "value": "yes"}}}
RICH = {"traits": {"rich": {"operator": "eq", "value": "yes"}}}
NO_CAPS = {"frequency_caps": ()}
JOINED_AT = """
SELECT joined_at FROM customer_segment_memberships JOIN customers USING (customer_id) WHERE external_id = $1
"""


async def gold(database: Database) -> str:
    """A segment that customers join and leave by a trait."""
    return (await create(database, {"gold": GOLD}, instants.to_text(now())))["gold"]


async def occasions(database: Database, campaign_id: UUID) -> Counter[tuple[str, str]]:
    """How many messages of the campaign there are by occasion and state."""
    return Counter((row["occasion"], row["state"]) for row in await rows(database, campaign_id))


async def to_the_beginning(shop: World) -> Settings:
    """The dispatchers' group reads the whole membership topic again."""
    group = shop.env["SEGMENTS_CONSUMER_GROUP"] + "-dispatch"
    settings = load_settings(
        kafka_bootstrap=shop.kafka,
        membership_topic=shop.membership,
        consumer_group=group,
        database_url=shop.database_url,
    )
    async with OffsetReader(settings) as reader:
        begins = await reader.begins(shop.membership)
    await asyncio.sleep(8)  # the sessions of who was killed must have run out
    await move_offsets(settings, begins)
    return settings


class TestJoined:
    """on_joined."""

    async def test_who_joins_gets_one_message_as_the_contract_writes_it(self, shop: World, database: Database) -> None:
        """A join becomes one record with the message's id, key, address, text and traceparent's headers."""
        segment_id = await gold(database)
        campaign_id = await begin(database, campaign(segment_id))
        start(shop)
        shop.publish([registered("ann"), registered("bob", sms_subscribed=False), traits("ann", gold="yes")])
        shop.publish([traits("bob", gold="yes")])
        shop.wait_idle()

        (one,) = requested(shop)
        (ann, bob) = await rows(database, campaign_id)
        assert one.event_id == str(message_id(campaign_id, ann["customer_id"], "once")) == one.data["message_id"]
        assert one.key == one.headers["ce_subject"] == str(ann["customer_id"])
        assert one.data["recipient"] == {"address": "+12025550123", "kind": "phone"}
        assert one.data["content"]["text"].startswith("Hi Ann Miller")
        assert one.data["segment"] == {"id": segment_id, "trigger": "on_joined", "occurrence": "once"}
        assert (ann["state"], bob["state"], bob["reason"]) == ("sent", "suppressed", "no_consent")

    async def test_every_kind_of_occasion_and_a_replay_with_two_dispatchers(
        self, shop: World, database: Database
    ) -> None:
        """First only, every time, with a gap, with a delay, and leaves; the whole topic read again changes nothing."""
        segment_id = await gold(database)
        every = {"reentry": "every_time", **NO_CAPS}
        made = {
            "first": campaign(segment_id, options=NO_CAPS),
            "every": campaign(segment_id, options=every),
            "gap": campaign(segment_id, options=every | {"min_gap_seconds": 3_600}),
            "delay": campaign(segment_id, options=NO_CAPS | {"delay_seconds": 86_400}),
            "left": campaign(segment_id, trigger="on_left", options=every),
        }
        for one in made.values():
            await begin(database, one)
        start(shop, dispatchers=2)
        people = [f"c{number}" for number in range(20)]
        shop.publish([registered(one) for one in people])
        for value in ("yes", "no", "yes"):
            shop.publish([traits(one, gold=value) for one in people])
        shop.wait_idle()
        expected = {
            "first": {("once", "sent"): 20},
            "every": {("join:1", "sent"): 20, ("join:3", "sent"): 20},
            "gap": {("join:1", "sent"): 20},
            "delay": {("once", "pending"): 20},
            "left": {("left:2", "sent"): 20},
        }
        assert {name: await occasions(database, one.id) for name, one in made.items()} == expected
        before = Counter(one.event_id for one in requested(shop))
        assert len(before) == 100
        assert set(before.values()) == {1}

        for slot in range(2):
            shop.kill("dispatch", slot)
        await to_the_beginning(shop)
        for slot in range(2):
            shop.start("dispatch", slot)
        shop.publish([registered("late"), traits("late", gold="yes")])
        shop.wait_idle()

        assert {one.event_id for one in requested(shop)} - set(before) == {
            str((await rows(database, made[name].id))[-1]["message_id"]) for name in ("first", "every", "gap")
        }
        assert Counter(one.event_id for one in requested(shop)).most_common(1)[0][1] == 1

    async def test_a_new_definition_fires_only_who_asks_for_it(self, shop: World, database: Database) -> None:
        """Who joins because the segment is defined anew gets nothing, unless the campaign names that cause."""
        segment_id = await gold(database)
        quiet = await begin(database, campaign(segment_id))
        asked = await begin(database, campaign(segment_id, options={"fire_on": ("definition",)}))
        start(shop)
        shop.publish([registered("ann"), traits("ann", rich="yes")])
        shop.wait_idle()
        await change(database, segment_id, instants.to_text(now()), criteria=RICH)
        shop.wait_idle()

        assert not await rows(database, quiet)
        assert await occasions(database, asked) == {("once", "sent"): 1}

    async def test_what_was_before_the_campaign_never_fires(self, shop: World, database: Database) -> None:
        """Joins that lie on the topic when a campaign begins are no occasion; present members get it if it says so."""
        segment_id = await gold(database)
        shop.start_all()
        shop.publish([registered("ann"), traits("ann", gold="yes")])
        shop.wait_idle()
        only_new = await begin(database, campaign(segment_id, options=NO_CAPS))
        existing = NO_CAPS | {"include_existing": True}
        said = "Since {{ segment.joined_at }}"
        all_there = await begin(database, campaign(segment_id, options=existing, content=said))
        shop.publish([registered("bob"), traits("bob", gold="yes")])
        for slot in range(2):
            shop.start("dispatch", slot)
        shop.wait_idle()

        assert [row["external_id"] for row in await rows(database, only_new)] == ["bob"]
        assert [row["external_id"] for row in await rows(database, all_there)] == ["ann", "bob"]
        assert len(requested(shop)) == 3
        texts = {one.data["customer"]["external_id"]: one.data["content"]["text"] for one in requested(shop)}
        assert texts["ann"] == f"Since {instants.to_text(await _joined_at(database, 'ann'))}"


async def _joined_at(database: Database, customer: str) -> int:
    async with database.session() as connection:
        return instants.from_datetime(await connection.fetchval(JOINED_AT, customer))
