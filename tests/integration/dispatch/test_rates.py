"""How fast messages leave by the topic: only what leaves counts."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

from service.adapters.postgres.database import Database
from service.core import instants
from tests.integration.dispatch.conftest import start
from tests.integration.dispatch.support import begin, campaign, now, outcomes, registered
from tests.world import World, create

PEOPLE = [f"c{number}" for number in range(60)]
SECONDS_MAX = 12.0


async def test_what_does_not_leave_uses_up_nothing(shop: World, database: Database) -> None:
    """At 2 a second, 60 people of whom 3 want it are done within seconds, not half a minute."""
    segment_id = (await create(database, {"all": {}}, instants.to_text(now())))["all"]
    shop.env["SEGMENTS_SMS_PER_SECOND_MAX"] = "2"
    start(shop)
    await asyncio.to_thread(shop.publish, [registered(one, sms_subscribed=one in PEOPLE[:3]) for one in PEOPLE])
    await asyncio.to_thread(shop.wait_idle)
    begun = time.monotonic()
    campaign_id = await begin(database, campaign(segment_id, trigger="once", state="scheduled"))
    expected = Counter({("sent", None): 3, ("suppressed", "no_consent"): 57})
    while Counter((await outcomes(database, campaign_id)).values()) != expected:
        assert time.monotonic() < begun + SECONDS_MAX, Counter((await outcomes(database, campaign_id)).values())
        await asyncio.sleep(0.2)
