"""The instant from which joins fire a campaign."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from service.adapters.postgres.campaigns.triggers import listening
from tests.api.campaigns.support import JOINED, Campaigns

ACTIVATED = "SELECT activated_at FROM customer_segment_campaigns WHERE id = $1"


async def test_it_comes_after_joins_that_are_being_looked_at(campaigns: Campaigns) -> None:
    """Joins recorded from then on are looked at by who can see the campaign: none falls in between."""
    made = (await campaigns.create(**JOINED))["id"]
    async with campaigns.api.database.batch() as connection:
        await listening(connection, [])
        sending = asyncio.create_task(campaigns.act(made, "send"))
        await asyncio.sleep(0.5)
        assert not sending.done()
        looked_at = datetime.now(UTC)
    assert (await sending).status_code == 200
    async with campaigns.api.database.session() as connection:
        assert await connection.fetchval(ACTIVATED, made) > looked_at
