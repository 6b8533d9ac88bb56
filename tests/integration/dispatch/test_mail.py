"""Audiences by e-mail, with a real SMTP server: who gets it, once, and what becomes of whom it cannot reach."""

from __future__ import annotations

from uuid import uuid4

import msgspec

from service.adapters.postgres.database import Database
from service.core import instants
from service.core.campaigns.identity import is_held_out
from service.core.identity import customer_uuid
from tests.integration.dispatch.conftest import start
from tests.integration.dispatch.support import Sink, begin, event, mail, now, outcomes, registered, rows, state_of
from tests.topics import topics_now
from tests.world import World, create


class TestAudience:
    """trigger once."""

    async def test_members_get_one_mail_each(self, shop: World, database: Database) -> None:
        """Members with consent get one mail; the control group, who said no, and who was erased get none."""
        segment_id = (await create(database, {"all": {}}, instants.to_text(now())))["all"]
        people = [f"c{number}" for number in range(40)]
        with Sink() as sink:
            shop.env |= {"SEGMENTS_SMTP_URL": sink.url, "SEGMENTS_PUBLIC_URL": "http://shop.example"}
            sink.answers["c7@example.com"] = ["550 5.1.1 no such user"]
            sink.answers["c8@example.com"] = ["451 4.3.0 later"]
            start(shop, dispatchers=2)
            shop.publish([registered(one) for one in people])
            shop.publish([event("customer.updated", "c5", email_subscribed=False), event("customer.deleted", "c6")])
            shop.wait_idle()
            made = mail(segment_id, trigger="once", state="scheduled", options={"holdout_percent": 20})
            while any(is_held_out(made.id, customer_uuid(one), 20) for one in ("c7", "c8")):
                made = msgspec.structs.replace(made, id=uuid4())
            campaign_id = await begin(database, made)
            shop.wait_idle()

            found = {one["external_id"]: one for one in await rows(database, campaign_id)}
            held = {one for one, row in found.items() if is_held_out(campaign_id, row["customer_id"], 20)} - {"c5"}
            states = await outcomes(database, campaign_id)
            assert len(found) == 39
            assert held
            assert {one for one, (state, _) in states.items() if state == "control"} == held
            gone = {"c5", "c6", "c7", "c8", *held}
            assert sink.counts() == {f"{one}@example.com": 1 for one in set(people) - gone}
            assert (states["c5"], states["c7"]) == (("suppressed", "no_consent"), ("failed", "hard_bounce"))
            assert (states["c8"], found["c8"]["attempts"]) == (("pending", None), 1)
            to, first = sink.mails[0]
            assert str(found[to.removesuffix("@example.com")]["message_id"]) in first["Message-ID"]
            assert "http://shop.example/u/" in first["List-Unsubscribe"]
            told = {dict(one.headers)["ce_id"].decode() for one in topics_now(shop.kafka, shop.engagement)}
            sent = {row["message_id"] for row in found.values() if row["state"] == "sent"}
            assert told == {f"{one}:accepted" for one in sent} | {f"{found['c7']['message_id']}:bounced"}
            assert await state_of(database, campaign_id) == ("sending", None)
