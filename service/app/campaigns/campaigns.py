"""Campaigns as their use cases know them: what callers give, what goes wrong, and what is asked of a store."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from service.core.campaigns.faults import Fault
from service.core.campaigns.model import Campaign
from service.core.campaigns.states import State

_NOTHING: Mapping[str, Any] = MappingProxyType({})


class CampaignMissing(Exception):
    """There is no such campaign, or it has been deleted."""

    def __init__(self, campaign: str) -> None:
        super().__init__(f"There is no campaign {campaign}")


class StateChange(NamedTuple):
    """One step of a campaign from one state to another.

    Attributes:
        by: the user's id, or the name of the role that made it.
        reason: why, where that is not clear from the states; a campaign that failed keeps it as failure_reason.
        values: columns that change along with it: scheduled_at, started_at, activated_at, sent_at.
    """

    campaign_id: UUID
    before: State
    after: State
    by: str
    reason: str | None = None
    values: Mapping[str, datetime | None] = _NOTHING


class CampaignConflict(Exception):
    """What is asked cannot be done to the campaign as it is; the message says why and what to do first."""


class CampaignRefused(Exception):
    """The campaign says something that cannot be taken, or not be sent."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(f"{fault.path}: {fault.message}" for fault in faults))
        self.faults = tuple(faults)


class CampaignQuery(NamedTuple):
    """Which campaigns of a segment to list; all that are given must hold."""

    segment_id: UUID
    page: int = 1
    limit: int = 20
    states: Collection[State] | None = None
    campaign_type: str | None = None


class CampaignStore(Protocol):
    """The statements of these use cases, all in one transaction."""

    async def get(self, campaign_id: UUID) -> Campaign | None:
        """The campaign unless it has been deleted."""
        ...

    async def lock(self, campaign_id: UUID) -> Campaign | None:
        """The same, and nobody else changes it until the transaction ends."""
        ...

    async def insert(self, campaign: Campaign) -> None:
        """Stores a new campaign; created_at and updated_at are the database's."""
        ...

    async def update(self, campaign: Campaign) -> Campaign:
        """Stores what the campaign says under its next revision, and returns it as it is then; not its state."""
        ...

    async def change_state(self, change: StateChange) -> Campaign | None:
        """Takes the step and notes it; None if the campaign is not in the state it starts from."""
        ...

    async def delete(self, campaign_id: UUID) -> None:
        """Nobody finds it any more; its messages stay for those who look into the past."""
        ...

    async def cancel_messages(self, campaign_id: UUID) -> int:
        """What waits to leave never will (suppressed, campaign_cancelled); returns how many messages."""
        ...

    async def live_of_segment(self, segment_id: UUID) -> Sequence[Campaign]:
        """The segment's campaigns that wait for their time, send or pause."""
        ...

    async def counts(self, campaign_ids: Collection[UUID]) -> dict[UUID, dict[str, int]]:
        """How many messages of each campaign are in which state, in one statement; only states that occur."""
        ...


async def read_campaign(store: CampaignStore, campaign_id: UUID) -> Campaign:
    """One campaign.

    Raises:
        CampaignMissing: no such campaign.
    """
    campaign = await store.get(campaign_id)
    if campaign is None:
        raise CampaignMissing(str(campaign_id))
    return campaign
