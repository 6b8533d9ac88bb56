"""Use cases that change what a campaign says: create, change, delete. Only a draft can be changed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

import msgspec

from service.app.campaigns.actions import Action, check_possible, lock_campaign
from service.app.campaigns.campaigns import CampaignStore, read_campaign
from service.app.campaigns.checks import check_draft
from service.app.segments import Author, RevisionMismatch, SegmentStore, read_segment
from service.core.campaigns.model import Campaign, Channel, Options

_DISCOUNT: Final = "discount"
_DEFAULT_CHANNEL: Final[Channel] = "email"


@dataclass(frozen=True)
class CampaignChange:
    """What a caller gives: of the campaign, and of its options; what is not in them stays."""

    said: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether there is anything in it."""
        return bool(self.said or self.options)


def new_campaign(campaign_id: UUID, segment_id: UUID, author: Author, change: CampaignChange) -> Campaign:
    """The draft that a caller describes; `said` has at least campaign_name and campaign_type."""
    blank = Campaign(
        id=campaign_id,
        segment_id=segment_id,
        campaign_name="",
        campaign_type="email",
        channel=_DEFAULT_CHANNEL,
        created_by=author.id,
    )
    return changed(blank, change)


def changed(before: Campaign, change: CampaignChange) -> Campaign:
    """The campaign as it would be. The channel is that of the type, unless another is given."""
    said = dict(change.said)
    kind = said.get("campaign_type", before.campaign_type)
    if said.get("channel") is None:
        said.pop("channel", None)
        if kind != _DISCOUNT:
            said["channel"] = kind
        elif before.campaign_type != _DISCOUNT:
            said["channel"] = _DEFAULT_CHANNEL
    options: Options = msgspec.structs.replace(before.options, **change.options)
    return msgspec.structs.replace(before, **said, options=options)


async def create_campaign(
    store: CampaignStore, segments: SegmentStore, author: Author, campaign: Campaign
) -> tuple[Campaign, bool]:
    """Stores a new draft, and tells whether it is new: one with the same id was created by the same request.

    Raises:
        SegmentMissing: no such segment.
        CampaignRefused: with every fault.
    """
    await read_segment(segments, campaign.segment_id)
    check_draft(campaign)
    if (found := await store.get(campaign.id)) is not None:
        return found, False
    await segments.note_author(author)
    await store.insert(campaign)
    return await read_campaign(store, campaign.id), True


async def update_campaign(store: CampaignStore, campaign: Campaign, change: CampaignChange) -> Campaign:
    """Changes a draft, which is locked. No change at all leaves no trace.

    Raises:
        CampaignConflict: it is no draft any more.
        CampaignRefused: with every fault.
    """
    after = changed(campaign, change)
    if after == campaign:
        return campaign
    check_possible(campaign, Action.UPDATE)
    check_draft(after)
    return await store.update(after)


async def delete_campaign(store: CampaignStore, campaign_id: UUID, expected: Collection[str] | None) -> Campaign:
    """Deletes what does not send: nobody finds it any more.

    Raises:
        CampaignMissing: no such campaign.
        RevisionMismatch: it has changed since.
        CampaignConflict: it is sending, active or paused.
    """
    campaign = await expected_campaign(store, campaign_id, expected)
    check_possible(campaign, Action.DELETE)
    await store.delete(campaign_id)
    return msgspec.structs.replace(campaign, is_deleted=True, revision=campaign.revision + 1)


async def expected_campaign(store: CampaignStore, campaign_id: UUID, expected: Collection[str] | None) -> Campaign:
    """The campaign, locked, if the caller knows it as it is.

    Raises:
        CampaignMissing: no such campaign.
        RevisionMismatch: it has changed since.
    """
    campaign = await lock_campaign(store, campaign_id)
    if expected is not None and str(campaign.revision) not in expected:
        raise RevisionMismatch(campaign.revision, "campaign")
    return campaign
