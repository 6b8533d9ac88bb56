"""What the dispatcher reads of messages and customers, and what it writes of messages; instants are microseconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID


class Waiting(NamedTuple):
    """A message that is due, claimed by this transaction.

    Attributes:
        attempts: that were made before.
        discount_code: that of an earlier attempt.
    """

    customer_id: UUID
    occasion: str
    message_id: UUID
    occurred_at: int
    due_at: int
    expires_at: int
    attempts: int
    discount_code: str | None
    traceparent: str | None


class Recalled(NamedTuple):
    """A message that was requested and is not to be sent any more.

    Attributes:
        traceparent: of what caused it.
    """

    customer_id: UUID
    occasion: str
    message_id: UUID
    traceparent: str | None


class Person(NamedTuple):
    """A customer as a message needs them; None where missing.

    Attributes:
        total_spent: minor units.
        last_order_at: microseconds.
        joined_at: since when they are a member of the campaign's segment, microseconds; None if they are not.
    """

    customer_id: UUID
    external_id: str | None
    name: str | None
    first_name: str | None
    email: str | None
    phone: str | None
    locale: str | None
    timezone: str | None
    country: str | None
    city: str | None
    email_subscribed: bool | None
    sms_subscribed: bool | None
    push_subscribed: bool | None
    total_orders: int
    total_spent: int
    last_order_at: int | None
    is_erased: bool
    joined_at: int | None


@dataclass(frozen=True)
class Settled:
    """What becomes of one message in this transaction: the values of its row.

    Attributes:
        due_at: of a deferred one; None leaves it as it is.
        assigned_at: set once.
        attempts_more: that this transaction uses up.
        attempt_token: of a lease.
    """

    waiting: Waiting
    state: str
    reason: str | None = None
    due_at: int | None = None
    assigned_at: int | None = None
    sent_at: int | None = None
    attempts_more: int = 0
    attempt_token: UUID | None = None
    error: str | None = None
    discount_code: str | None = None
    links: Sequence[str] | None = None
    sms_segments: int | None = None
