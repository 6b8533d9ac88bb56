"""What waits though its campaign has ended, and campaigns that cannot be worked on."""

from __future__ import annotations

import asyncio
import json
import time
from uuid import UUID, uuid4

from aiokafka import AIOKafkaProducer

from service.adapters.postgres.campaigns import schedule
from service.adapters.postgres.campaigns.store import PostgresCampaigns
from service.adapters.postgres.database import Database
from service.app.campaigns.actions import cancel_campaign, lock_campaign
from service.core import instants
from service.core.campaigns.identity import message_id
from service.core.identity import customer_uuid
from tests.integration.dispatch.conftest import start
from tests.integration.dispatch.support import (
    begin,
    campaign,
    now,
    outcomes,
    registered,
    requested,
    rows,
    state_of,
    until_state,
)
from tests.world import World, create

RETRY_NOW = "UPDATE campaign_messages SET retry_at = now() WHERE campaign_id = $1 AND state = 'pending'"
WAITING = """
INSERT INTO campaign_messages (customer_id, campaign_id, occasion, message_id, channel, category, priority, state,
    occurred_at, due_at, expires_at)
SELECT k.customer_id, $1, 'once', gen_random_uuid(), 'sms', 'marketing', 50, 'pending', now(), now(),
    now() + interval '1 day'
FROM (SELECT gen_random_uuid() AS customer_id FROM generate_series(1, $2)) k
"""
STATES = "SELECT state, reason, count(*) FROM campaign_messages WHERE campaign_id = $1 GROUP BY 1, 2 ORDER BY 1"
BREAK = "ALTER TABLE campaign_messages ADD CONSTRAINT broken CHECK (campaign_id <> '{}' OR state = 'pending')"
#: A triggered campaign's: three of each customer.
REQUESTED = """
INSERT INTO campaign_messages (customer_id, campaign_id, occasion, message_id, channel, category, priority, state,
    sent_at, occurred_at, due_at, expires_at)
SELECT k.customer_id, $1, 'join:' || n, gen_random_uuid(), 'sms', 'marketing', 50, 'sent', now(), now(), now(),
    now() + interval '1 day'
FROM (SELECT gen_random_uuid() AS customer_id FROM generate_series(1, $2)) k CROSS JOIN generate_series(1, 3) n
"""
EXPIRE = """
UPDATE campaign_messages SET expires_at = now() - interval '1 second'
WHERE message_id IN (SELECT message_id FROM campaign_messages WHERE campaign_id = $1 LIMIT 3)
"""
PEOPLE = ("ann", "bob", "eve")


def told(kind: str, message: object, **details: object) -> dict:
    """What a provider tells of a message."""
    moment = instants.to_text(now())
    data = {"message_id": str(message), "occurred_at": moment, "details": details}
    head = {"specversion": "1.0", "id": uuid4().hex, "source": "/provider", "time": moment}
    return head | {"type": f"campaign.message.{kind}", "data": data}


class TestOver:
    """Messages of campaigns that have ended."""

    async def test_who_asks_again_gets_it_again(self, shop: World, database: Database) -> None:
        """A failure that may pass is told when all has left: the campaign goes on until that message is settled."""
        segment_id = (await create(database, {"all": {}}, instants.to_text(now())))["all"]
        start(shop)
        shop.publish([registered(one) for one in PEOPLE])
        shop.wait_idle()
        made = await begin(database, campaign(segment_id, trigger="once", state="scheduled"))
        shop.wait_idle()
        assert await state_of(database, made) == ("sent", None)

        ann = message_id(made, customer_uuid("ann"), "once")
        await _tell(shop, told("failed", ann, retryable=True, code="busy"))
        await until_state(database, made, "sending")
        async with database.session() as connection:
            await connection.execute(RETRY_NOW, made)
        await until_state(database, made, "sent")
        shop.wait_idle()
        attempts = [one.data["attempt"] for one in requested(shop) if one.event_id == str(ann)]
        assert attempts == [1, 2]
        assert {one["external_id"]: one["attempts"] for one in await rows(database, made)}["ann"] == 2

    async def test_cancelled_by_slices(self, shop: World, database: Database) -> None:
        """The answer settles one slice and counts them all; the dispatcher sees to the rest, and nothing leaves."""
        count = schedule.SLICE * 2 + 7
        segment_id = (await create(database, {"all": {}}, instants.to_text(now())))["all"]
        made = await begin(database, campaign(segment_id, trigger="once", state="paused"))
        async with database.session() as connection:
            await connection.execute(WAITING, made, count)
        async with database.transaction() as connection:
            store = PostgresCampaigns(connection)
            _, waited = await cancel_campaign(store, await lock_campaign(store, made), "tester")
        async with database.session() as connection:
            left = [tuple(row) for row in await connection.fetch(STATES, made)]
        assert waited == count
        assert left == [("pending", None, count - schedule.SLICE), ("suppressed", "campaign_cancelled", schedule.SLICE)]

        start(shop)
        shop.wait_idle()
        async with database.session() as connection:
            left = [tuple(row) for row in await connection.fetch(STATES, made)]
        assert left == [("suppressed", "campaign_cancelled", count)]
        assert not requested(shop)


class TestRecalled:
    """What a cancelled campaign has asked of others."""

    async def test_called_back_once(self, shop: World, database: Database) -> None:
        """After its request, with the same key; but for what arrived, and whatever happens afterwards."""
        segment_id = (await create(database, {"all": {}}, instants.to_text(now())))["all"]
        made = await begin(database, campaign(segment_id))
        other = await begin(database, campaign(segment_id, options={"frequency_caps": ()}))
        start(shop)
        shop.publish([registered(one) for one in PEOPLE])
        shop.wait_idle()
        eve = message_id(made, customer_uuid("eve"), await _occasion(database, made, "eve"))
        await _tell(shop, told("delivered", eve))
        shop.wait_idle()
        await _cancel(database, made)
        shop.wait_idle()
        shop.kill("dispatch")
        shop.start("dispatch")
        shop.wait_idle()

        asked = {one.event_id: one for one in requested(shop)}
        back = requested(shop, "campaign.message.cancelled")
        assert sorted(asked[one.data["message_id"]].key for one in back) == sorted(
            str(customer_uuid(one)) for one in ("ann", "bob")
        )
        assert all(one.key == asked[one.data["message_id"]].key for one in back)
        assert {one.data["reason"] for one in back} == {"campaign_cancelled"}
        assert len({one.event_id for one in back} | set(asked)) == len(back) + len(asked)
        assert await outcomes(database, made) == {
            "ann": ("sent", "recalled"),
            "bob": ("sent", "recalled"),
            "eve": ("sent", None),
        }
        assert set((await outcomes(database, other)).values()) == {("sent", None)}

    async def test_by_slices(self, shop: World, database: Database) -> None:
        """A million requests are called back in many transactions, each request once; the expired are left.

        Customers have three requests each, so that slices end in the middle of one.
        """
        count = schedule.SLICE * 2 + 1
        segment_id = (await create(database, {"all": {}}, instants.to_text(now())))["all"]
        made = await begin(database, campaign(segment_id, trigger="once", state="paused"))
        async with database.session() as connection:
            await connection.execute(REQUESTED, made, (count + 3) // 3)
            await connection.execute(EXPIRE, made)
        await _cancel(database, made)
        start(shop)
        shop.wait_idle()
        back = [one.data["message_id"] for one in requested(shop, "campaign.message.cancelled")]
        assert len(back) == len(set(back)) == count


class TestAlone:
    """A fault of one campaign is no fault of the others."""

    async def test_a_campaign_that_fails_holds_up_no_other(self, shop: World, database: Database) -> None:
        """Though it has the higher priority, and is tried again and again."""
        segment_id = (await create(database, {"all": {}}, instants.to_text(now())))["all"]
        no_caps = {"frequency_caps": ()}
        broken = await begin(database, campaign(segment_id, options=no_caps | {"priority": 100}))
        sound = await begin(database, campaign(segment_id, options=no_caps))
        async with database.session() as connection:
            await connection.execute(BREAK.format(broken))
        start(shop)
        shop.publish([registered(one) for one in PEOPLE])
        async with database.session() as connection:
            give_up = time.monotonic() + 30
            while await connection.fetchval("SELECT count(*) FROM campaign_messages WHERE state = 'sent'") < 3:
                assert time.monotonic() < give_up, shop.logs()
                await _nap()
        assert await outcomes(database, sound) == dict.fromkeys(PEOPLE, ("sent", None))
        assert {state for state, _ in (await outcomes(database, broken)).values()} == {"pending"}


async def _cancel(database: Database, campaign_id: UUID) -> None:
    async with database.transaction() as connection:
        store = PostgresCampaigns(connection)
        await cancel_campaign(store, await lock_campaign(store, campaign_id), "tester")


async def _occasion(database: Database, campaign_id: UUID, customer: str) -> str:
    return next(row["occasion"] for row in await rows(database, campaign_id) if row["external_id"] == customer)


async def _nap() -> None:
    await asyncio.sleep(0.1)


async def _tell(shop: World, event: dict) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=shop.kafka)
    await producer.start()
    try:
        await producer.send_and_wait(shop.engagement, json.dumps(event).encode(), key=b"ann")
    finally:
        await producer.stop()
