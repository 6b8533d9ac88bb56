"""Whether a message leaves now: the checks in the order of the notes on campaigns, B5; the first hit decides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from typing import Final, Literal
from uuid import UUID

from service.core.campaigns import caps as frequency
from service.core.campaigns.caps import Sent, caps_of, room_from
from service.core.campaigns.identity import is_held_out
from service.core.campaigns.model import Campaign, Channel, FrequencyCap
from service.core.campaigns.quiet_hours import end_of_quiet, quiet_hours_of

SuppressionReason = Literal["unsubscribed", "hard_bounce", "soft_bounce", "complaint", "manual"]
Reason = Literal[
    "erased", "no_address", "no_consent", SuppressionReason, "expired", "left_segment", "frequency_cap", "render_error"
]

#: Who has unsubscribed still hears of an order; an address that bounced, complained or was barred by hand gets nothing.
_TRANSACTIONAL_MAY_IGNORE: Final = "unsubscribed"


@dataclass(frozen=True)
class Recipient:
    """What is known of a customer when a message to them may leave.

    Attributes:
        exists: they are known and were not erased.
        addresses: by channel; a channel without one is absent, None or empty.
        consents: by channel, as the customer's facts say it; None or absent where they say nothing.
        suppression: why the address of the campaign's channel is on the suppression list; None if it is not.
        is_member: of the campaign's segment; only asked where the campaign rechecks it.
        sent: marketing messages that were sent to them lately, in any order: those within `caps.look_back`.
        zone: theirs, else that of the settings.
    """

    customer_id: UUID
    exists: bool = True
    addresses: Mapping[Channel, str | None] = field(default_factory=dict)
    consents: Mapping[Channel, bool | None] = field(default_factory=dict)
    suppression: SuppressionReason | None = None
    is_member: bool = True
    sent: Sequence[Sent] = ()
    zone: tzinfo = UTC


@dataclass(frozen=True)
class Send:
    """It may leave now."""


@dataclass(frozen=True)
class Control:
    """The customer belongs to the control group: nothing is sent."""


@dataclass(frozen=True)
class Suppressed:
    """It is not sent, now or later."""

    reason: Reason


@dataclass(frozen=True)
class Defer:
    """It waits until an instant (microseconds), and is decided anew then."""

    until: int
    reason: Literal["quiet_hours", "frequency_cap"]


Decision = Send | Control | Suppressed | Defer


def decide(
    campaign: Campaign,
    recipient: Recipient,
    *,
    expires_at: int,
    now: int,
    default_caps: tuple[FrequencyCap, ...] = frequency.DEFAULTS,
) -> Decision:
    """What becomes of a message at `now`; `expires_at` is the message's. Both are microseconds."""
    barred = _barred(campaign, recipient)
    if barred is not None:
        return Suppressed(barred)
    if campaign.is_marketing and is_held_out(campaign.id, recipient.customer_id, campaign.options.holdout_percent):
        return Control()
    if now >= expires_at:
        return Suppressed("expired")
    if campaign.rechecks_membership and not recipient.is_member:
        return Suppressed("left_segment")
    if not campaign.is_marketing:
        return Send()
    hours = quiet_hours_of(campaign)
    quiet_until = end_of_quiet(now, hours, recipient.zone) if hours else None
    if quiet_until is not None:
        return Defer(quiet_until, "quiet_hours")
    return _within_caps(room_from(caps_of(campaign, default_caps), recipient.sent, now), now, expires_at)


def consents(channel: Channel, flag: bool | None) -> bool:
    """Whether a flag of the customer's facts lets us write: e-mail and SMS need a yes, notifications no no."""
    return flag is not False if channel == "notification" else flag is True


def _barred(campaign: Campaign, recipient: Recipient) -> Reason | None:
    """Steps 1 to 4: why this customer may not be written to at all."""
    channel = campaign.channel
    if not recipient.exists:
        return "erased"
    if not recipient.addresses.get(channel):
        return "no_address"
    if campaign.is_marketing:
        if not consents(channel, recipient.consents.get(channel)):
            return "no_consent"
        return recipient.suppression
    return None if recipient.suppression == _TRANSACTIONAL_MAY_IGNORE else recipient.suppression


def _within_caps(room_from: int, now: int, expires_at: int) -> Decision:
    if room_from <= now:
        return Send()
    if room_from <= now + frequency.WAIT_MAX and room_from < expires_at:
        return Defer(room_from, "frequency_cap")
    return Suppressed("frequency_cap")
