"""What events say of one message: the first instant of each kind, and the state that follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final
from uuid import UUID

from service.app.engagement.decode import Told
from service.core import instants
from service.core.campaigns.backoff import seconds_after
from service.core.campaigns.states import Message

#: Clocks differ: an event may seem to be so much older than its message.
EARLY_TOLERANCE: Final = 5 * instants.MINUTE
#: Columns of campaign_messages, each the earliest event of a kind.
MINIMA: Final = (
    *("accepted_at", "delivered_at", "bounced_at", "complained_at", "unsubscribed_at"),
    *("opened_at", "machine_opened_at", "clicked_at"),
)
#: Why a message failed, as its reason, where whoever delivers it said so.
BY_PROVIDER: Final = "provider"
_ATTEMPTED: Final = (Message.PENDING, Message.DEFERRED)
#: May turn out to have failed after all.
_DOUBTED: Final = (Message.SENT, Message.UNCERTAIN)


class BadTime(ValueError):
    """The event cannot be of the message: it lies before it."""


@dataclass(frozen=True)
class MessageRow:
    """A message, locked; of the minima those that are known."""

    customer_id: UUID
    campaign_id: UUID
    occasion: str
    message_id: UUID
    channel: str
    state: str
    reason: str | None
    attempts: int
    sent_at: datetime | None
    minima: dict[str, datetime | None] = field(default_factory=dict)

    def check_time(self, told: Told) -> None:
        """An event of a message comes after the message.

        Raises:
            BadTime: it lies more than 5 minutes before.
        """
        if self.sent_at is not None and told.at < instants.from_datetime(self.sent_at) - EARLY_TOLERANCE:
            said = f"{instants.to_text(told.at)} is more than 5 minutes before the message left"
            msg = f"occurred_at: {said}, at {instants.to_text(instants.from_datetime(self.sent_at))}."
            raise BadTime(msg)


@dataclass(frozen=True)
class Change:
    """What to write for a message.

    Attributes:
        minima: of MINIMA those that events name.
        state: None where it stays.
        retry_after: seconds of real time, where another attempt is made.
    """

    row: MessageRow
    minima: dict[str, datetime]
    state: str | None = None
    reason: str | None = None
    error: str | None = None
    retry_after: float | None = None


def change_of(row: MessageRow, told: Sequence[Told], chance: float) -> Change:
    """What these events change; `chance`, 0 to 1, spreads retries."""
    minima: dict[str, datetime] = {}
    for one in told:
        name = _column(one)
        if name is not None:
            at = instants.to_datetime(one.at)
            minima[name] = min(at, minima.get(name, at))
    change = Change(row, minima)
    if _has_left(row, minima):
        return replace(change, state=_state_of_left(row))
    final = next((one for one in told if one.kind == "failed" and not one.is_retryable), None)
    if final is not None and (row.state in _DOUBTED or _is_put_back(row) or _is_given_up(row)):
        return replace(change, state=Message.FAILED, reason=BY_PROVIDER, error=_error(final))
    passing = next((one for one in told if one.is_retryable), None)
    if passing is not None and row.state == Message.SENT:
        return _again(change, passing, chance)
    return change


def _column(one: Told) -> str | None:
    if one.is_unsubscribe:
        return "unsubscribed_at"
    if one.kind == "opened":
        return "machine_opened_at" if one.is_machine else "opened_at"
    if one.kind == "clicked" and one.is_machine:
        return None
    name = f"{one.kind}_at"
    return name if name in MINIMA else None


def _has_left(row: MessageRow, minima: dict[str, datetime]) -> bool:
    """Whether somebody out there has dealt with it, so that it cannot have failed, nor go again."""
    return any(name in minima or row.minima.get(name) is not None for name in MINIMA if name != "accepted_at")


def _state_of_left(row: MessageRow) -> str | None:
    """Sent it is, whatever was said before; who is at it at this moment writes its own outcome."""
    return Message.SENT if _is_given_up(row) or row.state == Message.UNCERTAIN or _is_put_back(row) else None


def _is_given_up(row: MessageRow) -> bool:
    """Whether it counts as failed because a provider said so."""
    return row.state in (Message.FAILED, Message.DEAD) and row.reason == BY_PROVIDER


def _is_put_back(row: MessageRow) -> bool:
    """Whether it waits for another attempt, though the one before may have left after all."""
    return row.state in _ATTEMPTED and row.attempts > 0


def _again(change: Change, failed: Told, chance: float) -> Change:
    seconds = seconds_after("kafka", max(change.row.attempts, 1), chance)
    error = _error(failed)
    if seconds is None:
        return replace(change, state=Message.DEAD, reason=BY_PROVIDER, error=error)
    return replace(change, state=Message.PENDING, reason=BY_PROVIDER, error=error, retry_after=seconds)


def _error(failed: Told) -> str:
    said = " ".join(str(failed.details[name]) for name in ("code", "reason") if name in failed.details)
    return said[:500] or "failed"
