"""Campaigns that a newer release has written: their joins wait for it, and no other campaign does."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from consumers.failures import Verdict, verdict_of
from service.adapters.postgres.campaigns import schedule, triggers
from service.adapters.postgres.campaigns.rows import CampaignUnknown
from service.adapters.postgres.database import Database
from tests.integration.dispatch.support import begin, campaign, now

REWRITE = """
UPDATE customer_segment_campaigns SET options = options || '{"on_uncertain": "ask_somebody"}' WHERE id = $1
"""


async def made(database: Database, segment_id: UUID, *, is_newer: bool) -> UUID:
    """A campaign that listens to the segment."""
    campaign_id = await begin(database, campaign(str(segment_id)))
    if is_newer:
        async with database.session() as connection:
            await connection.execute(REWRITE, campaign_id)
    return campaign_id


class TestNewer:
    """An option with a value that this release does not know."""

    async def test_joins_wait_for_the_release(self, database: Database) -> None:
        """Passed over they would be lost, for their offset is committed with those of the others."""
        segment_id = uuid4()
        newer = await made(database, segment_id, is_newer=True)
        async with database.batch() as connection:
            with pytest.raises(CampaignUnknown, match=f"options of campaign {newer}: .*run that release") as found:
                await triggers.listening(connection, [segment_id])
        assert verdict_of(found.value) is Verdict.RETRY

    async def test_other_segments_go_on(self, database: Database) -> None:
        """A look passes over it, and tells so."""
        await made(database, uuid4(), is_newer=True)
        other = uuid4()
        sound = await made(database, other, is_newer=False)
        told: list[CampaignUnknown] = []
        async with database.batch() as connection:
            assert [one.id for one in await triggers.listening(connection, [other])] == [sound]
            standing = await schedule.standing(connection, now(), told.append)
        assert [one.campaign.id for one in standing] == [sound]
        assert len(told) == 1
