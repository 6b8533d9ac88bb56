"""A campaign begins: it is scheduled, sent at once, or listens from now on. Here it must be whole."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

from service.app.campaigns.actions import Action, check_possible, step
from service.app.campaigns.campaigns import CampaignConflict, CampaignStore
from service.app.campaigns.checks import check_whole
from service.app.campaigns.templates import Templates
from service.app.segments import ARCHIVED, SegmentStore
from service.core import instants
from service.core.campaigns.faults import Fault
from service.core.campaigns.model import Campaign
from service.core.campaigns.states import State

#: What a preview's token is asked for under.
TOKEN: Final = "preview_token"  # noqa: S105 - a field's name


@dataclass(frozen=True)
class Confirmation:
    """What lets a campaign go to many.

    Attributes:
        members: of the segment, now.
        unconfirmed_max: to more than so many nothing goes unseen.
        is_seen: the caller has shown the token of a preview of this very revision.
    """

    members: int
    unconfirmed_max: int
    is_seen: bool


@dataclass(frozen=True)
class Launch:
    """What beginning a campaign goes by.

    Attributes:
        now: by the service's clock, microseconds.
        real_now: the same in real time, which joins and leaves are recorded in.
        by: the user's id.
    """

    now: int
    real_now: datetime
    by: str
    templates: Templates
    confirmation: Confirmation


async def schedule_campaign(
    store: CampaignStore, segments: SegmentStore, launch: Launch, campaign: Campaign, scheduled_at: datetime | None
) -> Campaign:
    """It goes to whoever is a member at `scheduled_at` (None: its own). One that joins or leaves fire begins at once.

    Args:
        store, segments: the transaction's statements.
        launch: what it goes by.
        campaign: locked.
        scheduled_at: not before now.

    Raises:
        CampaignConflict: it is no draft, or its segment is gone or archived.
        CampaignRefused: with every fault.
    """
    check_possible(campaign, Action.SCHEDULE)
    at = scheduled_at or campaign.scheduled_at
    planned = msgspec.structs.replace(campaign, scheduled_at=at)
    if campaign.is_triggered:
        return await send_campaign(store, segments, launch, planned, Action.SCHEDULE)
    await _check(segments, launch, planned, [] if at is not None else [_NO_TIME])
    return await step(store, campaign, Action.SCHEDULE, State.SCHEDULED, launch.by, values={"scheduled_at": at})


async def send_campaign(
    store: CampaignStore, segments: SegmentStore, launch: Launch, campaign: Campaign, action: Action = Action.SEND
) -> Campaign:
    """It goes to whoever is a member now; one that joins or leaves fire listens from now on.

    The audience itself is the dispatcher's to take: such a campaign is scheduled for now.

    Raises:
        CampaignConflict: it is no draft, or its segment is gone or archived.
        CampaignRefused: with every fault.
    """
    check_possible(campaign, action)
    now = instants.to_datetime(launch.now)
    after = State.ACTIVE if campaign.is_triggered else State.SCHEDULED
    begun, values = msgspec.structs.replace(campaign, scheduled_at=now), {"scheduled_at": now}
    if campaign.is_triggered:
        begun, values = campaign, {"started_at": now, "activated_at": launch.real_now}
    await _check(segments, launch, begun, [])
    return await step(store, campaign, action, after, launch.by, values=values)


async def _check(segments: SegmentStore, launch: Launch, campaign: Campaign, faults: list[Fault]) -> None:
    segment = await segments.get(campaign.segment_id)
    if segment is None or segment.status == ARCHIVED:
        state = "has been deleted" if segment is None else "is archived"
        msg = f"The segment of this campaign {state}, so that there is nobody to send it to"
        raise CampaignConflict(msg)
    confirmation = launch.confirmation
    has_audience = not campaign.is_triggered or campaign.options.include_existing
    if has_audience and confirmation.members > confirmation.unconfirmed_max and not confirmation.is_seen:
        faults.append(_unseen(confirmation))
    await asyncio.to_thread(check_whole, campaign, launch.now, launch.templates, faults)


def _unseen(confirmation: Confirmation) -> Fault:
    message = (
        f"is needed, for the segment has {confirmation.members} members and a campaign to more than"
        f" {confirmation.unconfirmed_max} is looked at before it goes: POST .../preview answers one, which holds for"
        " 15 minutes and until the campaign is changed"
    )
    return Fault(TOKEN, message, "preview_needed")


_NO_TIME: Final = Fault("scheduled_at", "is needed: an instant such as 2024-02-29T12:00:00Z", "missing")
