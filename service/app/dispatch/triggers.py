"""Which joins and leaves fire which campaigns, and the messages that come of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple
from uuid import UUID

from service.app.dispatch.changes import Change
from service.core.campaigns.identity import ONCE, message_id
from service.core.campaigns.model import Campaign
from service.core.instants import INSTANT_MAX, SECOND, from_datetime

#: (customer, campaign)
Pair = tuple[UUID, UUID]

_DEFINITION: Final = "definition"


class NewMessage(NamedTuple):
    """A message that is to be, as its row says it; instants are microseconds."""

    customer_id: UUID
    campaign_id: UUID
    occasion: str
    message_id: UUID
    channel: str
    category: str
    priority: int
    occurred_at: int
    due_at: int
    expires_at: int
    traceparent: str | None


def fires(campaign: Campaign, change: Change) -> bool:
    """Whether this join or leave is one that the campaign listens for.

    What was recorded before the campaign began never fires, however often the topic is read again.
    """
    if campaign.trigger != ("on_joined" if change.has_joined else "on_left"):
        return False
    fire_on = campaign.options.fire_on
    if change.reason not in fire_on or (change.is_backfill and _DEFINITION not in fire_on):
        return False
    return campaign.activated_at is not None and change.recorded_at >= from_datetime(campaign.activated_at)


def occasion_of(campaign: Campaign, change: Change) -> str:
    """What tells this customer's messages of the campaign apart."""
    if campaign.options.reentry == "first_only":
        return ONCE
    return f"{'join' if change.has_joined else 'left'}:{change.sequence}"


def times_of(campaign: Campaign, occurred_at: int) -> tuple[int, int]:
    """When a message is due, and when it expires."""
    options = campaign.options
    due_at = min(occurred_at + options.delay_seconds * SECOND, INSTANT_MAX)
    if options.expires_at is not None:
        return due_at, from_datetime(options.expires_at)
    return due_at, min(due_at + options.expires_after_seconds * SECOND, INSTANT_MAX)


def messages_of(
    changes: Sequence[Change], campaigns: Iterable[Campaign], latest: Mapping[Pair, int]
) -> list[NewMessage]:
    """The messages that these changes fire, in their order; some may be there already.

    Args:
        changes: in order per customer.
        campaigns: triggered ones that listen.
        latest: when what these customers got last of campaigns with a minimal gap had occurred.
    """
    by_segment: dict[UUID, list[Campaign]] = {}
    for campaign in campaigns:
        by_segment.setdefault(campaign.segment_id, []).append(campaign)
    times = dict(latest)
    found: dict[tuple[UUID, UUID, str], NewMessage] = {}
    for change in changes:
        for campaign in by_segment.get(change.segment_id, ()):
            if not fires(campaign, change) or not _is_apart(campaign, change, times):
                continue
            made = _message(campaign, change)
            found.setdefault((made.customer_id, made.campaign_id, made.occasion), made)
    return list(found.values())


def _is_apart(campaign: Campaign, change: Change, times: dict[Pair, int]) -> bool:
    """Whether the customer's latest message of the campaign is long enough ago; notes this one if so."""
    if not needs_gap(campaign):
        return True
    pair = (change.customer_id, campaign.id)
    before = times.get(pair)
    if before is not None and change.effective_at - before < campaign.options.min_gap_seconds * SECOND:
        return False
    times[pair] = change.effective_at
    return True


def needs_gap(campaign: Campaign) -> bool:
    """Whether it matters when the customer got the campaign's last message."""
    return campaign.options.reentry == "every_time" and campaign.options.min_gap_seconds > 0


def _message(campaign: Campaign, change: Change) -> NewMessage:
    occasion = occasion_of(campaign, change)
    due_at, expires_at = times_of(campaign, change.effective_at)
    return NewMessage(
        change.customer_id,
        campaign.id,
        occasion,
        message_id(campaign.id, change.customer_id, occasion),
        campaign.channel,
        campaign.category,
        campaign.options.priority,
        change.effective_at,
        due_at,
        expires_at,
        change.traceparent,
    )
