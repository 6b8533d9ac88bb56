"""Messages whose process died while it sent them: who takes them twice decides what becomes of them."""

from __future__ import annotations

from uuid import uuid4

import pytest

from service.adapters.postgres.campaigns.attempts import take_back
from service.adapters.postgres.database import Database
from service.core.campaigns.model import Campaign
from tests.integration.engagement.support import NOW, add_campaign, add_messages, at, message

CHANNELS = [("email", True), ("sms", False), ("notification", False)]


@pytest.mark.parametrize(("channel", "is_held"), CHANNELS)
async def test_a_lease_that_ran_out(database: Database, channel: str, is_held: bool) -> None:
    """Marketing by SMTP is held; a webhook gets the message again under its id, as docs/delivery.md promises."""
    campaign_id = await add_campaign(database, channel=channel, campaign_type=channel)
    begun = {"attempt_began_at": at(), "attempt_token": uuid4(), "lease_expires_at": at(1), "sent_at": None}
    (of,) = await add_messages(database, campaign_id, ["c1"], channel=channel, state="leased", **begun)

    async with database.batch() as connection:
        found = await take_back(connection, NOW)

    expected = "uncertain" if is_held else "pending"
    assert found == [(channel, expected)]
    row = await message(database, of)
    assert (row["state"], row["attempts"]) == (expected, 2)


@pytest.mark.parametrize(("channel", "is_held"), CHANNELS)
def test_an_answer_that_got_lost(channel: str, is_held: bool) -> None:
    """The same while the process lives."""
    made = Campaign(
        id=uuid4(),
        segment_id=uuid4(),
        campaign_name="News",
        campaign_type=channel,
        channel=channel,  # type: ignore[arg-type]
    )
    assert made.holds_uncertain is is_held
