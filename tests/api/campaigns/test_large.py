"""Campaigns of which there is much to count."""

from __future__ import annotations

import asyncio
import time

import pytest
from sqlalchemy import text

from tests.api.campaigns.support import Campaigns, ago


@pytest.mark.parametrize(("action", "after"), [("pause", "paused"), ("cancel", "cancelled")])
async def test_it_holds_before_it_is_counted(campaigns: Campaigns, action: str, after: str) -> None:
    """The change is committed, and the campaign's lock given back, while the answer still counts."""
    made = (await campaigns.create())["id"]
    await campaigns.force(made, "sending")
    await campaigns.add_message(made, state="sent", sent_at=ago(hours=1), opened_at=ago(hours=1))
    async with campaigns.api.database.transaction() as counting:
        await counting.execute(text("LOCK TABLE campaign_codes IN ACCESS EXCLUSIVE MODE"))
        asked = asyncio.create_task(campaigns.act(made, action))
        give_up = time.monotonic() + 5
        while await _state(campaigns, made) != after:
            assert time.monotonic() < give_up, f"{action} waits for the counting"
            await asyncio.sleep(0.05)
        assert not asked.done()
    assert (await asked).json()["data"]["state"] == after


async def _state(campaigns: Campaigns, campaign: str) -> str:
    found = text("SELECT state FROM customer_segment_campaigns WHERE id = CAST(:id AS uuid)").bindparams(id=campaign)
    state: str = (await campaigns.api.rows(found))[0].state
    return state
