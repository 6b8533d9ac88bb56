"""Who pauses or cancels comes before the messages that are decided after, however many dispatchers there are."""

from __future__ import annotations

import asyncio
import time
from uuid import UUID, uuid4

from service.adapters.postgres.campaigns import attempts, messages, triggers
from service.adapters.postgres.campaigns.store import PostgresCampaigns
from service.adapters.postgres.database import Database
from tests.integration.dispatch.support import begin, campaign, now

LAPSED = """
INSERT INTO campaign_messages (customer_id, campaign_id, occasion, message_id, channel, category, priority, state,
    attempt_token, lease_expires_at, occurred_at, due_at, expires_at)
VALUES (gen_random_uuid(), $1, 'once', gen_random_uuid(), 'email', 'marketing', 50, 'leased', gen_random_uuid(), now(),
    now(), now(), now() + interval '1 day')
"""
HELD_SECONDS = 0.3
LASTS_SECONDS = 6.0


async def decide_on(database: Database, campaign_id: UUID, until: float, first: float) -> None:
    """Transactions of a dispatcher one after another, each as long as a large portion takes."""
    await asyncio.sleep(first)
    while time.monotonic() < until:
        async with database.batch() as connection:
            await messages.live_campaign(connection, campaign_id)
            await asyncio.sleep(HELD_SECONDS)


async def journal_on(database: Database, campaign_id: UUID, until: float) -> None:
    """The same of a sender's journal."""
    while time.monotonic() < until:
        async with database.batch() as connection:
            await attempts._share(connection, [campaign_id])
            await asyncio.sleep(HELD_SECONDS)


async def can_be_changed(database: Database, campaign_id: UUID) -> None:
    """Raises TimeoutError where somebody holds the campaign."""
    async with asyncio.timeout(LASTS_SECONDS), database.transaction() as connection:
        assert await PostgresCampaigns(connection).lock(campaign_id) is not None


class TestTurns:
    """Row locks that are shared let one after another in, so that there is a queue before them."""

    async def test_a_pause_is_not_kept_waiting(self, database: Database) -> None:
        """While two dispatchers and a journal hold the campaign in turns, without a gap."""
        campaign_id = await begin(database, campaign(str(uuid4())))
        until = time.monotonic() + LASTS_SECONDS
        busy = [
            asyncio.create_task(decide_on(database, campaign_id, until, 0.0)),
            asyncio.create_task(decide_on(database, campaign_id, until, HELD_SECONDS / 3)),
            asyncio.create_task(journal_on(database, campaign_id, until)),
        ]
        await asyncio.sleep(3 * HELD_SECONDS)
        began = time.monotonic()
        async with database.transaction() as connection:
            found = await PostgresCampaigns(connection).lock(campaign_id)
        waited = time.monotonic() - began
        await asyncio.gather(*busy)
        assert found is not None
        assert waited < 2 * HELD_SECONDS + 0.5

    async def test_joins_keep_nobody_waiting(self, database: Database) -> None:
        """While joins of its segment fire, a campaign can be paused."""
        segment_id = uuid4()
        campaign_id = await begin(database, campaign(str(segment_id)))
        async with database.batch() as firing:
            assert await triggers.listening(firing, [segment_id])
            await can_be_changed(database, campaign_id)

    async def test_lapsed_leases_keep_nobody_waiting(self, database: Database) -> None:
        """Nor while messages of a process that died are taken back."""
        campaign_id = await begin(database, campaign(str(uuid4())))
        async with database.batch() as connection:
            await connection.execute(LAPSED, campaign_id)
        async with database.batch() as reaping:
            assert await attempts.take_back(reaping, now())
            await can_be_changed(database, campaign_id)
