"""The data of events about messages of campaigns: what is asked for, and what is told of it (docs/campaigns.md)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from service.app.engagement.decode import Data, Details
from service.core.campaigns.model import CampaignType, Category, Channel, Trigger

DiscountType = Literal["percentage", "fixed"]


class CampaignPart(Struct):
    """Whose message it is."""

    id: UUID
    name: str
    type: CampaignType


class SegmentPart(Struct):
    """Why the customer gets it."""

    id: UUID
    trigger: Trigger
    occurrence: Annotated[str, Meta(description="once, or which join or leave it was.")]


class CustomerPart(Struct):
    """Whom it is for."""

    id: UUID
    external_id: str | None
    locale: str | None
    timezone: str | None


class RecipientPart(Struct):
    """Where it goes; where the kind is customer_id the receiver knows the address."""

    address: str | None
    kind: Literal["email", "phone", "push_token", "customer_id"]


class ContentPart(Struct):
    """What it says, rendered."""

    subject: str | None
    title: str | None
    text: str
    html: str | None
    sms_segments: int | None


class DiscountPart(Struct):
    """The code in it."""

    code: str
    type: DiscountType | None
    amount: Annotated[str | None, Meta(description="A percentage or money, as a decimal string.")]
    expires_at: datetime | None


class HeadersPart(Struct):
    """What an e-mail carries beside its content."""

    list_unsubscribe: Annotated[str | None, Meta(description="For one-click unsubscribing, RFC 8058.")]
    message_id_header: str | None


class LinkPart(Struct):
    """Where a tracked link of the content leads."""

    index: int
    url: str


class MessageRequested(Struct):
    """The data of `campaign.message.requested`: send this once, and tell what becomes of it."""

    message_id: Annotated[UUID, Meta(description="The same at every attempt; drop what you know.")]
    attempt: Annotated[int, Meta(ge=1)]
    channel: Channel
    category: Category
    priority: int
    campaign: CampaignPart
    segment: SegmentPart
    customer: CustomerPart
    recipient: RecipientPart
    content: ContentPart
    discount: DiscountPart | None
    headers: HeadersPart
    links: list[LinkPart]
    not_before: Annotated[datetime, Meta(tz=True)]
    expires_at: Annotated[datetime, Meta(tz=True, description="Do not send it from then on.")]
    consent_checked_at: Annotated[datetime, Meta(tz=True)]
    test: bool


class MessageCancelled(Struct):
    """The data of `campaign.message.cancelled`: do not send it any more, if it is not too late."""

    message_id: UUID
    reason: str


class DiscountIssued(Struct):
    """The data of `campaign.discount.issued`: a code that is one customer's alone."""

    code: str
    campaign_id: UUID
    customer_id: UUID
    message_id: UUID
    type: DiscountType | None
    amount: Annotated[str | None, Meta(description="A percentage or money, as a decimal string.")]
    expires_at: datetime | None


#: What is asked of downstream services: name -> structure.
MESSAGES: Final[Mapping[str, type[Struct]]] = {
    "campaign.message.requested": MessageRequested,
    "campaign.message.cancelled": MessageCancelled,
    "campaign.discount.issued": DiscountIssued,
}
#: Kind of what is told about a message -> the details that concern it, and what it says.
_DETAILS: Final[Mapping[str, tuple[tuple[str, ...], str]]] = {
    "accepted": ((), "Somebody has taken the message over."),
    "delivered": ((), "It has arrived."),
    "deferred": (("code", "reason"), "It is tried again later by whoever has it."),
    "bounced": (("bounce_type", "code", "reason"), "It came back; hard: the address does not exist."),
    "failed": (("code", "reason", "retryable"), "It was not sent; retryable: it is asked for again after a while."),
    "complained": (("feedback_type",), "The recipient calls it spam."),
    "opened": (("is_machine", "user_agent_class"), "It was opened."),
    "clicked": (("link_index", "url", "is_machine"), "A link in it was followed."),
    "unsubscribed": (("method",), "The recipient wants no more on this channel."),
    "replied": (("text",), "The recipient answered; the text may be left out. Words such as STOP unsubscribe."),
}
_REQUIRED: Final = frozenset({"bounce_type"})


def _engagement(kind: str) -> type[Struct]:
    """The structure of the data of one kind, made of what the consumer reads."""
    names, said = _DETAILS[kind]
    known = {one.name: one.type for one in msgspec.structs.fields(Details)}
    fields: list[Any] = [(one, known[one]) for one in names if one in _REQUIRED]
    fields += [(one, known[one] | UnsetType, UNSET) for one in names if one not in _REQUIRED]
    if "bounce_type" in names:
        fields[0] = ("bounce_type", Literal["hard", "soft"])
    details = msgspec.defstruct(f"{kind.capitalize()}Details", fields)
    is_needed = any(one in _REQUIRED for one in names)
    parts: list[Any] = [
        (one.name, one.type) if one.required else (one.name, one.type | UnsetType, UNSET)
        for one in msgspec.structs.fields(Data)
        if one.name != "details"
    ]
    part: Any = details if is_needed else details | None | UnsetType
    parts.insert(1, ("details", part)) if is_needed else parts.append(("details", part, UNSET))
    doc = f"The data of `campaign.message.{kind}`. {said}"
    return msgspec.defstruct(kind.capitalize(), parts, namespace={"__doc__": doc})


#: What is told about messages, by whoever has them: name -> structure.
ENGAGEMENT: Final[Mapping[str, type[Struct]]] = {f"campaign.message.{kind}": _engagement(kind) for kind in _DETAILS}
