"""What becomes of messages by what is told of them: each kind, and the same whatever the order."""

from __future__ import annotations

import json
import random
from typing import Any
from uuid import UUID, uuid4

import pytest

from service.adapters.postgres.database import Database
from service.core.identity import customer_uuid
from service.core.instants import to_datetime
from tests.integration.analytics.support import event, world
from tests.integration.engagement.support import (
    NOW,
    add_campaign,
    add_messages,
    apply,
    at,
    message,
    outbox,
    rows,
    suppressed,
    sweep_once,
    told,
)

PEOPLE = [f"c{n}" for n in range(1, 6)]


@pytest.fixture
async def sent(database: Database) -> list[UUID]:
    """Five customers who want e-mail, each with a message."""
    await world(database, [_registered(one) for one in PEOPLE], NOW)
    return await add_messages(database, await add_campaign(database), PEOPLE)


def _registered(customer: str) -> dict[str, Any]:
    data = {"email": f"{customer}@example.org", "phone": f"+1 202 {customer}", "email_subscribed": True}
    return event("customer.registered", customer, f"r-{customer}", "2026-01-01T00:00:00Z", data)


async def letters(database: Database) -> list[str]:
    """Reasons of all dead letters, by place."""
    return [row["reason"] for row in await rows(database, 'SELECT reason FROM dead_letters ORDER BY "offset"')]


class TestKinds:
    """Each kind of event."""

    async def test_instants(self, database: Database, sent: list[UUID]) -> None:
        """Each kind leaves its first instant; a machine's opens and clicks stand apart or nowhere."""
        one = sent[0]
        events = [
            told(one, "accepted", at(1)),
            told(one, "delivered", at(2)),
            told(one, "opened", at(9)),
            told(one, "opened", at(5)),
            told(one, "opened", at(3), is_machine=True),
            told(one, "clicked", at(4), is_machine=True, link_index=0),
            told(one, "clicked", at(6), link_index=0, url="https://shop.example.org"),
            told(one, "deferred", at(1), code="450"),
        ]
        applied = await apply(database, events)
        found = await message(database, one)
        assert len(applied.fresh) == len(events)
        names = ("accepted_at", "delivered_at", "opened_at", "machine_opened_at", "clicked_at")
        assert [found[name] for name in names] == [at(1), at(2), at(5), at(3), at(6)]
        assert [found[name] for name in ("bounced_at", "complained_at", "unsubscribed_at")] == [None] * 3
        assert found["state"] == "sent"
        kept = await rows(database, "SELECT kind, details FROM campaign_engagement WHERE message_id = $1", one)
        assert len(kept) == len(events)

    async def test_hard_bounce(self, database: Database, sent: list[UUID]) -> None:
        """The address gets nothing any more; a delivery beside it is kept, too."""
        await apply(database, [told(sent[0], "bounced", bounce_type="hard", code="5.1.1"), told(sent[0], "delivered")])
        found = await message(database, sent[0])
        assert found["bounced_at"] == found["delivered_at"] == at(1)
        assert await suppressed(database, "email", " C1@Example.org ") == "hard_bounce"
        assert await suppressed(database, "email", "c2@example.org") is None

    async def test_the_address_is_the_one_it_went_to(self, database: Database, sent: list[UUID]) -> None:
        """A customer who has another address by now keeps getting mail there."""
        changed = event("customer.updated", "c1", "u1", at(30).isoformat(), {"email": "new@example.org"})
        await world(database, [changed], NOW)
        await apply(database, [told(sent[0], "bounced", at(40), bounce_type="hard")])
        assert await suppressed(database, "email", "c1@example.org") == "hard_bounce"
        assert await suppressed(database, "email", "new@example.org") is None

    async def test_soft_bounces(self, database: Database, sent: list[UUID]) -> None:
        """Three messages in a row; a delivery in between begins anew, whenever it is told."""
        campaign = await add_campaign(database)
        more = [
            (await add_messages(database, campaign, ["c1"], occasion=f"join:{n}", sent_at=at(n)))[0] for n in (2, 4)
        ]
        ids = [sent[0], *more]
        await apply(database, [told(one, "bounced", at(10), bounce_type="soft") for one in ids[:2]])
        assert await suppressed(database, "email", "c1@example.org") is None
        await apply(database, [told(ids[2], "bounced", at(10), bounce_type="soft")], 10)
        assert await suppressed(database, "email", "c1@example.org") == "soft_bounce"
        await apply(database, [told(ids[1], "delivered", at(20))], 20)
        assert await suppressed(database, "email", "c1@example.org") is None

    async def test_complaint(self, database: Database, sent: list[UUID]) -> None:
        """Suppressed for good, and the segments hear that the customer does not want it."""
        await apply(database, [told(sent[0], "complained", feedback_type="abuse")])
        assert await suppressed(database, "email", "c1@example.org") == "complaint"
        (record,) = await outbox(database)
        topic, key, value, headers = record
        assert (topic, key) == ("customers", str(customer_uuid("c1")).encode())
        assert json.loads(value) == {"customer_id": str(customer_uuid("c1")), "email_subscribed": False}
        assert dict(headers)["ce_type"] == b"customer.updated"
        (consent,) = await rows(database, "SELECT method, is_subscribed, message_id FROM campaign_consents")
        assert consent == {"method": "complaint", "is_subscribed": False, "message_id": sent[0]}

    @pytest.mark.parametrize(("text", "is_no"), [("STOP", True), (" Stop. ", True), ("stop that please", False)])
    async def test_replies(self, database: Database, sent: list[UUID], text: str, is_no: bool) -> None:
        """A word that carriers know for it unsubscribes; what people wrote is kept nowhere."""
        await apply(database, [told(sent[0], "replied", text=text)])
        assert (await message(database, sent[0]))["unsubscribed_at"] == (at(1) if is_no else None)
        assert await suppressed(database, "email", "c1@example.org") == ("unsubscribed" if is_no else None)
        (kept,) = await rows(database, "SELECT details::text FROM campaign_engagement")
        assert text not in kept["details"]

    async def test_names_of_the_notes(self, database: Database, sent: list[UUID]) -> None:
        """A prefix and a version are taken, too."""
        one = told(sent[0], "delivered") | {"type": "org.example.campaign.message.delivered.v1"}
        assert len((await apply(database, [one])).fresh) == 1


class TestFailures:
    """Messages that a provider could not deliver."""

    async def test_for_good(self, database: Database, sent: list[UUID]) -> None:
        """It has failed, and says why."""
        await apply(database, [told(sent[0], "failed", code="30006", reason="landline")])
        found = await message(database, sent[0])
        assert (found["state"], found["reason"], found["error"]) == ("failed", "provider", "30006 landline")

    async def test_again(self, database: Database, sent: list[UUID]) -> None:
        """It waits for another attempt, in real time, as long as there are any left."""
        one = await add_messages(database, await add_campaign(database), ["c2"], attempts=6)
        await apply(database, [told(key, "failed", retryable=True) for key in (sent[0], one[0])])
        found = await message(database, sent[0])
        assert (found["state"], found["attempts"]) == ("pending", 1)
        (wait,) = await rows(
            database, "SELECT retry_at - now() AS wait FROM campaign_messages WHERE message_id = $1", sent[0]
        )
        assert 20 < wait["wait"].total_seconds() <= 36
        assert (await message(database, one[0]))["state"] == "dead"

    @pytest.mark.parametrize("is_reversed", [False, True])
    async def test_it_arrived_after_all(self, database: Database, sent: list[UUID], is_reversed: bool) -> None:
        """What was delivered has not failed and does not go again, whichever was told first."""
        for failed in (told(sent[0], "failed", retryable=True), told(sent[1], "failed", retryable=False)):
            pair = [failed, told(failed["data"]["message_id"], "delivered", at(2))]
            for place, one in enumerate(reversed(pair) if is_reversed else pair):
                await apply(database, [one], 10 * place + (100 if failed is pair[0] else 0))
        assert {(await message(database, one))["state"] for one in sent[:2]} == {"sent"}


class TestOrder:
    """Shuffled, doubled, replayed."""

    async def test_the_same_whatever_the_order(self, database: Database, sent: list[UUID]) -> None:
        """Random events in random batches, some of them twice, leave what they leave in order."""
        world_random = random.Random(7)
        campaign = await add_campaign(database)
        ids = [*sent, *(await add_messages(database, campaign, PEOPLE, sent_at=at(3)))]
        events = [_random_event(world_random, ids) for _ in range(120)]
        found = []
        for turn in range(4):
            shuffled = events * (1 + turn % 2)
            if turn:
                world_random.shuffle(shuffled)
            place = 0
            while shuffled:
                size = world_random.randint(1, 40)
                await apply(database, shuffled[:size], 1_000 * turn + place)
                shuffled, place = shuffled[size:], place + size
            found.append(await _state(database))
            await _reset(database)
        assert found[0] == found[1] == found[2] == found[3]
        assert found[0]["suppressions"]

    async def test_a_repeat_changes_nothing(self, database: Database, sent: list[UUID]) -> None:
        """The same source and id again, even with other content, and the same records again."""
        events = [told(sent[0], "opened", at(5), "x"), told(sent[0], "opened", at(2), "x")]
        first = await apply(database, events)
        again = await apply(database, events)
        assert (len(first.fresh), first.duplicates) == (1, 1)
        assert (len(again.fresh), again.duplicates) == (0, 2)
        assert (await message(database, sent[0]))["opened_at"] == at(5)
        other = await apply(database, [told(sent[0], "opened", at(2), "x", source="/other")], 10)
        assert len(other.fresh) == 1
        assert (await message(database, sent[0]))["opened_at"] == at(2)


def _random_event(chance: random.Random, ids: list[UUID]) -> dict[str, Any]:
    kind = chance.choice(["accepted", "delivered", "bounced", "complained", "opened", "clicked", "unsubscribed"])
    kind = kind if kind not in ("complained", "unsubscribed", "bounced") or chance.random() < 0.3 else "opened"
    details: dict[str, Any] = {"bounced": {"bounce_type": chance.choice(["hard", "soft", "soft"])}}.get(kind, {})
    if kind in ("opened", "clicked"):
        details = {"is_machine": chance.random() < 0.3}
    moment = at(chance.randint(4, 50))
    return told(chance.choice(ids), kind, moment, f"{kind}-{chance.randint(0, 10_000)}", **details)


async def _state(database: Database) -> dict[str, Any]:
    """All that follows from events; of consent what holds in the end."""
    columns = (
        "state, accepted_at, delivered_at, bounced_at, complained_at, unsubscribed_at, opened_at, machine_opened_at"
    )
    return {
        "messages": await rows(database, f"SELECT {columns}, clicked_at FROM campaign_messages ORDER BY message_id"),  # noqa: S608
        "suppressions": await rows(
            database, "SELECT channel, address_hash, reason, at FROM campaign_suppressions ORDER BY 1, 2"
        ),
        "consents": await rows(database, "SELECT DISTINCT customer_id, channel FROM campaign_consents ORDER BY 1, 2"),
    }


async def _reset(database: Database) -> None:
    """Everything as if nothing had been told."""
    async with database.session() as connection:
        await connection.execute(
            """
            UPDATE campaign_messages SET state = 'sent', reason = NULL, retry_at = NULL, accepted_at = NULL,
                delivered_at = NULL, bounced_at = NULL, complained_at = NULL, unsubscribed_at = NULL, opened_at = NULL,
                machine_opened_at = NULL, clicked_at = NULL;
            TRUNCATE campaign_engagement, campaign_suppressions, campaign_consents, dead_letters, outbox
            """
        )


class TestUnknown:
    """Events that cannot be applied, or not yet."""

    async def test_a_message_that_comes_later(self, database: Database) -> None:
        """The event waits, and counts once the message is there; read again it is known."""
        await world(database, [_registered("c1")], NOW)
        campaign = await add_campaign(database)
        from service.core.campaigns.identity import message_id

        one = message_id(campaign, customer_uuid("c1"), "once")
        assert (await apply(database, [told(one, "delivered", at(2))])).parked == 1
        assert (await sweep_once(database)).fresh == []
        await add_messages(database, campaign, ["c1"])
        assert len((await sweep_once(database)).fresh) == 1
        assert (await message(database, one))["delivered_at"] == at(2)
        assert (await apply(database, [told(one, "delivered", at(2))])).duplicates == 1
        assert await rows(database, "SELECT * FROM campaign_engagement_waiting") == []

    async def test_a_message_that_never_comes(self, database: Database) -> None:
        """A day later the event is a dead letter with its bytes, once, and stays one when it is read again."""
        one = told(uuid4(), "delivered")
        await apply(database, [one])
        await apply(database, [one])
        async with database.session() as connection:
            await connection.execute("UPDATE campaign_engagement_waiting SET received_at = now() - interval '86401 s'")
        assert [letter.reason for letter in (await sweep_once(database)).letters] == ["unknown_message"]
        again = await apply(database, [one])
        assert (again.parked, again.duplicates) == (0, 1)
        ((topic, key, value, headers),) = await outbox(database)
        assert (topic, key, json.loads(value)) == ("dead", b"k", one)
        assert dict(headers)["x-reason"] == b"unknown_message"
        assert dict(headers)["x-original-topic"] == b"campaign-engagement"

    async def test_times(self, database: Database, sent: list[UUID]) -> None:
        """Long before the message, or later than now: dead letters; clocks may differ by 5 minutes."""
        now = to_datetime(NOW)
        moments = [at(-4.9), at(-5.1), now + (at(4.9) - at()), now + (at(5.1) - at())]
        await apply(database, [told(sent[0], "opened", one) for one in moments])
        assert await letters(database) == ["bad_time", "bad_time"]
        assert len(await rows(database, "SELECT * FROM campaign_engagement")) == 2

    async def test_garbage(self, database: Database, sent: list[UUID]) -> None:
        """Each bad record is one dead letter; its neighbours count; tests are nobody's messages."""
        good = told(sent[0], "delivered")
        bad = [
            (b"{broken", "invalid_json"),
            (b"[]", "invalid_data"),
            ({**good, "type": "campaign.message.vanished", "id": "1"}, "unknown_type"),
            ({**good, "type": "order.placed", "id": "2"}, "unknown_type"),
            ({name: one for name, one in good.items() if name != "source"}, "invalid_data"),
            ({**good, "id": "3", "data": {"message_id": "m1"}}, "invalid_data"),
            (told(sent[0], "bounced"), "invalid_data"),
            (told(sent[0], "opened") | {"id": "a\0b"}, "invalid_data"),
        ]
        ignored = told(uuid4(), "delivered")
        ignored["data"]["test"] = True
        applied = await apply(database, [*(one for one, _ in bad), ignored, good])
        assert await letters(database) == [reason for _, reason in bad]
        assert (applied.ignored, len(applied.fresh)) == (1, 1)
        assert await rows(database, "SELECT * FROM campaign_engagement_waiting") == []
