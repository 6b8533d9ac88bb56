"""The steps that a campaign makes by itself: its audience is taken, it fails for being late, it ends."""

from __future__ import annotations

from typing import Final

import structlog

from service.adapters.postgres.campaigns import audience, schedule
from service.adapters.postgres.campaigns.rows import CampaignUnknown
from service.adapters.postgres.campaigns.schedule import Standing
from service.app.dispatch.triggers import times_of
from service.bootstrap import Runtime
from service.core.campaigns.model import Campaign
from service.core.campaigns.states import State
from service.core.instants import SECOND, from_datetime, to_datetime
from service.crash import crash_point

log = structlog.get_logger()

MISSED: Final = "missed_window"
SEGMENT_GONE: Final = "segment_gone"
#: Whoever delivers could not, and asks for another attempt.
AGAIN: Final = "retry"
#: Ended campaigns that are seen to at once.
ENDED_MAX: Final = 20


class Scheduler:
    """Makes steps; each is one transaction, and who comes second finds it made."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._told: set[str] = set()

    async def look(self, standing: Standing) -> bool:
        """Makes the next step of a campaign, if there is one now; whether it did."""
        campaign = standing.campaign
        state, now = State(campaign.state), self._runtime.clock()
        if standing.is_segment_gone and (state is State.SCHEDULED or campaign.is_triggered):
            return await self._lose_segment(campaign)
        if standing.is_segment_filling and state in (State.SCHEDULED, State.ACTIVE):
            return False  # an audience taken now would leave out who is found later
        if state is State.SCHEDULED and campaign.scheduled_at and from_datetime(campaign.scheduled_at) <= now:
            return await self._begin(campaign, now)
        if state is State.ACTIVE and campaign.options.include_existing and not standing.is_audience_taken:
            return await self._take_existing(campaign, now)
        if state is State.SENDING and not standing.has_unsettled:
            return await self._end(campaign, now)
        return False

    def tell(self, error: CampaignUnknown) -> None:
        """Logs, once, that a campaign is left to a newer release."""
        if str(error) not in self._told:
            self._told.add(str(error))
            log.error("campaign passed over", why=str(error))

    async def tidy(self) -> bool:
        """Sees to messages that wait though their campaign has ended; whether there are more.

        The rest of what was cancelled never leaves. What whoever delivers asks for again is sent again: its campaign
        goes on.
        """
        async with self._runtime.database.session() as connection:
            found = await schedule.left_behind(connection, ENDED_MAX, self.tell)
        counts = [await self._tidy(one) for one in found]
        return len(found) == ENDED_MAX or schedule.SLICE in counts

    async def _tidy(self, campaign: Campaign) -> int:
        async with self._runtime.database.batch() as connection:
            if campaign.is_deleted or campaign.state != State.SENT:
                return await schedule.cancel_messages(connection, campaign.id)
            found = await schedule.lock(connection, campaign.id, State.SENT)
            if found is not None and await schedule.has_unsettled(connection, campaign.id):
                await schedule.step(connection, found[0], State.SENDING, reason=AGAIN)
        return 0

    async def _begin(self, campaign: Campaign, now: int) -> bool:
        """At its time: those who are members now get it, as one look finds them."""
        async with self._runtime.database.batch() as connection:
            found = await schedule.lock(connection, campaign.id, State.SCHEDULED)
            if found is None:
                return False
            campaign = found[0]
            planned = now if campaign.scheduled_at is None else from_datetime(campaign.scheduled_at)
            if now - planned > campaign.options.lateness_seconds_max * SECOND:
                await schedule.step(connection, campaign, State.FAILED, reason=MISSED)
                return True
            count = await self._take(connection, campaign, now)
            instant = to_datetime(now)
            values = {"started_at": instant, "audience_taken_at": instant}
            await schedule.step(connection, campaign, State.SENDING, values=values)
            crash_point("audience-written")
        crash_point("audience-committed")
        log.info("audience taken", campaign_id=str(campaign.id), members=count)
        return True

    async def _take_existing(self, campaign: Campaign, now: int) -> bool:
        """Those who were members when a triggered campaign began get it, too; once."""
        async with self._runtime.database.batch() as connection:
            found = await schedule.lock(connection, campaign.id, State.ACTIVE)
            if found is None or found[1] or await audience.is_unsettled(connection, found[0]):
                return False
            count = await self._take(connection, found[0], now)
            await schedule.note_audience(connection, campaign.id, now)
        log.info("members of before taken", campaign_id=str(campaign.id), members=count)
        return True

    async def _take(self, connection: object, campaign: Campaign, now: int) -> int:
        _, expires_at = times_of(campaign, now)
        return await audience.take(connection, campaign, occurred_at=now, due_at=now, expires_at=expires_at)

    async def _end(self, campaign: Campaign, now: int) -> bool:
        async with self._runtime.database.batch() as connection:
            found = await schedule.lock(connection, campaign.id, State.SENDING)
            if found is None or await schedule.has_unsettled(connection, campaign.id):
                return False
            await schedule.step(connection, found[0], State.SENT, values={"sent_at": to_datetime(now)})
        crash_point("campaign-ended")
        return True

    async def _lose_segment(self, campaign: Campaign) -> bool:
        """Nobody is to join or leave any more, or there is nobody to send it to."""
        async with self._runtime.database.batch() as connection:
            found = await schedule.lock(connection, campaign.id, campaign.state)
            if found is None:
                return False
            is_waiting = campaign.state == State.SCHEDULED
            after = State.FAILED if is_waiting else State.CANCELLED
            await schedule.step(connection, found[0], after, reason=SEGMENT_GONE)
            await schedule.cancel_messages(connection, campaign.id)
        log.warning("campaign ended: its segment is gone", campaign_id=str(campaign.id), state=after)
        return True
