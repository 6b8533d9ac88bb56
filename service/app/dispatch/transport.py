"""What leaves through a transport of our own (SMTP, webhook), and what the transport says became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol
from uuid import UUID


@dataclass(frozen=True)
class Outbound:
    """One message, rendered, on its way to one address. Never logged: it is personal.

    Attributes:
        message_id: names it at every attempt: Message-ID, webhook-id, id of the CloudEvent.
        attempt: from 1.
        address: e-mail address, phone number or push token; None where only the customer's id may leave.
        subject: without line breaks; None where the channel has none.
        html: None where the text is all.
        unsubscribe_url: for RFC 8058; None for transactional messages.
        is_tagged_test: somebody tries out the campaign.
        data: the `data` of campaign.message.requested (notes on campaigns, C1), what a webhook gets.
    """

    message_id: UUID
    attempt: int
    channel: str
    address: str | None
    subject: str | None
    text: str
    html: str | None = None
    unsubscribe_url: str | None = None
    is_tagged_test: bool = False
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Accepted:
    """The other side has taken it over; `reference` is what it calls the message."""

    reference: str | None = None


@dataclass(frozen=True)
class TryLater:
    """It has not left, and may another time; `after_seconds` where the other side says when.

    Attributes:
        is_outage: the transport as a whole does not work, and the message is not at fault: no attempt is used up.
    """

    reason: str
    after_seconds: float | None = None
    is_outage: bool = False


@dataclass(frozen=True)
class Rejected:
    """It has not left and never will; a `hard` bounce says that the address does not exist."""

    reason: str
    bounce: Literal["hard", "soft"] | None = None


@dataclass(frozen=True)
class Unknown:
    """The connection was lost after all had been handed over: it may have left or not."""

    reason: str


Outcome = Accepted | TryLater | Rejected | Unknown


class Transport(Protocol):
    """One way out; safe to call as often at once as its `concurrency` says."""

    concurrency: int

    async def send(self, message: Outbound) -> Outcome:
        """Hands one message over. Does not raise for anything that the other side does."""
        ...

    async def close(self) -> None:
        """Lets go of connections."""
        ...
