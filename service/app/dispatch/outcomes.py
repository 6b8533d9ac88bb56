"""What becomes of a message by what its transport says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from service.app.dispatch.transport import Accepted, Outbound, Outcome, Rejected, TryLater, Unknown
from service.core.campaigns.backoff import Way, seconds_after
from service.core.campaigns.states import Message
from service.core.instants import SECOND

#: While a transport as a whole does not work, its messages come again after so long.
OUTAGE_SECONDS: Final = 5.0
REASON_CHARACTERS_MAX: Final = 500


@dataclass(frozen=True)
class Lease:
    """A message that this process may send for now.

    Attributes:
        attempts: that were made before.
        expires_at: after which it is not sent any more; microseconds of the service's clock.
        holds_uncertain: see Campaign.
        way: how it leaves.
        due_at: since when it could have left, microseconds.
    """

    campaign_id: UUID
    customer_id: UUID
    token: UUID
    outbound: Outbound
    attempts: int
    due_at: int
    expires_at: int
    holds_uncertain: bool
    way: Way


@dataclass(frozen=True)
class Finished:
    """The end of an attempt.

    Attributes:
        retry_seconds: in real time; for messages that wait again.
        told: what is told on the engagement topic, if anything: the kind and its details.
    """

    state: Message
    reason: str | None = None
    sent_at: int | None = None
    attempts_more: int = 1
    retry_seconds: float | None = None
    error: str | None = None
    told: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


def finished(lease: Lease, outcome: Outcome, now: int, chance: float) -> Finished:
    """What an outcome means for the message.

    Args:
        lease: under which it was sent.
        outcome: of the transport.
        now: the service's clock.
        chance: 0 to 1, spreads retries.
    """
    if isinstance(outcome, Accepted):
        details = {} if outcome.reference is None else {"provider_message_id": outcome.reference}
        return Finished(Message.SENT, sent_at=now, told="accepted", details=details)
    error = outcome.reason[:REASON_CHARACTERS_MAX]
    if isinstance(outcome, Rejected):
        return _rejected(outcome, error)
    if isinstance(outcome, TryLater) and outcome.is_outage:
        wait = OUTAGE_SECONDS if outcome.after_seconds is None else outcome.after_seconds
        return Finished(Message.PENDING, attempts_more=0, retry_seconds=wait, error=error)
    if isinstance(outcome, Unknown) and lease.holds_uncertain:
        return Finished(Message.UNCERTAIN, "connection_lost", sent_at=now, error=error)
    return _again(lease, outcome, error, now, chance)


def _rejected(outcome: Rejected, error: str) -> Finished:
    if outcome.bounce is None:
        return Finished(Message.FAILED, "rejected", error=error)
    details = {"bounce_type": outcome.bounce, "reason": error}
    return Finished(Message.FAILED, f"{outcome.bounce}_bounce", error=error, told="bounced", details=details)


def _again(lease: Lease, outcome: TryLater | Unknown, error: str, now: int, chance: float) -> Finished:
    wait = seconds_after(lease.way, lease.attempts + 1, chance)
    if wait is None:
        return Finished(Message.DEAD, "attempts_exhausted", error=error)
    if isinstance(outcome, TryLater) and outcome.after_seconds is not None:
        wait = max(wait, outcome.after_seconds)
    if now + wait * SECOND >= lease.expires_at:
        return Finished(Message.DEAD, "expired", error=error)
    return Finished(Message.PENDING, retry_seconds=wait, error=error)
