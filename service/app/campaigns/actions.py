"""What people do to a campaign, and in which of its states: from a draft to its end, with the ways back there are.

Every step is one update of the row as long as it is in the state that the step starts from, and a row that says who
made it. The dispatcher makes the other steps: from scheduled to sending, and to the end.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final
from uuid import UUID

from service.app.campaigns.campaigns import (
    CampaignConflict,
    CampaignMissing,
    CampaignStore,
    StateChange,
)
from service.core.campaigns.model import Campaign
from service.core.campaigns.states import NEXT, State

UNSCHEDULED: Final = "unscheduled"


class Action(StrEnum):
    """What people ask for."""

    UPDATE = "update"
    DELETE = "delete"
    SCHEDULE = "schedule"
    UNSCHEDULE = "unschedule"
    SEND = "send"
    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"


#: The states that an action is possible in; in all others it is a conflict.
POSSIBLE_IN: Final[Mapping[Action, frozenset[State]]] = MappingProxyType(
    {
        Action.UPDATE: frozenset({State.DRAFT}),
        Action.DELETE: frozenset({State.DRAFT, State.SCHEDULED, State.SENT, State.CANCELLED, State.FAILED}),
        Action.SCHEDULE: frozenset({State.DRAFT}),
        Action.UNSCHEDULE: frozenset({State.SCHEDULED}),
        Action.SEND: frozenset({State.DRAFT}),
        Action.PAUSE: frozenset({State.SENDING, State.ACTIVE}),
        Action.RESUME: frozenset({State.PAUSED}),
        Action.CANCEL: frozenset({State.DRAFT, State.SCHEDULED, State.SENDING, State.ACTIVE, State.PAUSED}),
    }
)
#: What to do instead, by the state that stands in the way.
_INSTEAD: Final[Mapping[State, str]] = {
    State.DRAFT: "it has not begun; POST .../schedule or POST .../send begins it",
    State.SCHEDULED: 'it waits for its time; PUT {"status": "draft"} takes it back, POST .../cancel ends it',
    State.SENDING: "its messages are going out; POST .../pause or POST .../cancel stops them",
    State.ACTIVE: "it sends as customers join or leave; POST .../pause or POST .../cancel stops it",
    State.PAUSED: "it stands still; POST .../resume goes on with it, POST .../cancel ends it",
    State.SENT: "it has ended; create a new campaign to send again",
    State.CANCELLED: "it has ended; create a new campaign to send again",
    State.FAILED: "it has ended; create a new campaign to send again",
}


def check_possible(campaign: Campaign, action: Action) -> None:
    """Refuses an action that the campaign's state does not allow.

    Raises:
        CampaignConflict: with what to do instead.
    """
    state = State(campaign.state)
    if state not in POSSIBLE_IN[action]:
        raise _conflict(campaign, action)


async def lock_campaign(store: CampaignStore, campaign_id: UUID) -> Campaign:
    """The campaign, which nobody else changes until the transaction ends.

    Raises:
        CampaignMissing: no such campaign.
    """
    campaign = await store.lock(campaign_id)
    if campaign is None:
        raise CampaignMissing(str(campaign_id))
    return campaign


async def pause_campaign(store: CampaignStore, campaign: Campaign, by: str) -> Campaign:
    """Nothing leaves any more until it is resumed; what joins or leaves fire meanwhile waits. `campaign` is locked.

    Raises:
        CampaignConflict: it is neither sending nor active.
    """
    check_possible(campaign, Action.PAUSE)
    return await step(store, campaign, Action.PAUSE, State.PAUSED, by)


async def resume_campaign(store: CampaignStore, campaign: Campaign, by: str) -> Campaign:
    """Goes on where it was paused. `campaign` is locked.

    Raises:
        CampaignConflict: it is not paused.
    """
    check_possible(campaign, Action.RESUME)
    origin = State.ACTIVE if campaign.is_triggered else State.SENDING
    return await step(store, campaign, Action.RESUME, origin, by)


async def cancel_campaign(store: CampaignStore, campaign: Campaign, by: str) -> tuple[Campaign, int]:
    """Ends it: what has left has left, what waits never will. Also gives how many messages waited.

    `campaign` is locked.

    Raises:
        CampaignConflict: it has ended already.
    """
    check_possible(campaign, Action.CANCEL)
    ended = await step(store, campaign, Action.CANCEL, State.CANCELLED, by)
    return ended, await store.cancel_messages(campaign.id)


async def unschedule_campaign(store: CampaignStore, campaign: Campaign, by: str) -> Campaign:
    """A scheduled campaign is a draft again; it keeps its scheduled_at. `campaign` is locked.

    Raises:
        CampaignConflict: it is not scheduled.
    """
    check_possible(campaign, Action.UNSCHEDULE)
    return await step(store, campaign, Action.UNSCHEDULE, State.DRAFT, by, reason=UNSCHEDULED)


async def step(
    store: CampaignStore,
    campaign: Campaign,
    action: Action,
    after: State,
    by: str,
    *,
    reason: str | None = None,
    values: Mapping[str, datetime | None] = MappingProxyType({}),
) -> Campaign:
    """Takes one step that the states allow.

    Raises:
        CampaignConflict: the campaign is in another state by now.
    """
    before = State(campaign.state)
    assert after in NEXT[before]  # noqa: S101 - POSSIBLE_IN lets no other step through
    changed = await store.change_state(StateChange(campaign.id, before, after, by, reason, values))
    if changed is None:
        raise _conflict(campaign, action)
    return changed


def _conflict(campaign: Campaign, action: Action) -> CampaignConflict:
    said = f'The campaign "{campaign.campaign_name}" is {campaign.state}, so that it cannot be {_DONE[action]}'
    return CampaignConflict(f"{said}: {_INSTEAD[State(campaign.state)]}")


_DONE: Final[Mapping[Action, str]] = {
    Action.UPDATE: "changed",
    Action.DELETE: "deleted",
    Action.SCHEDULE: "scheduled",
    Action.UNSCHEDULE: "taken back to a draft",
    Action.SEND: "sent",
    Action.PAUSE: "paused",
    Action.RESUME: "resumed",
    Action.CANCEL: "cancelled",
}
