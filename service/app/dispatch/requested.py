"""What the topic of messages says (docs/campaigns.md): `campaign.message.requested` and `.cancelled`, and
`campaign.discount.issued`.
"""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

import msgspec

from service.app.campaigns.templates import Rendered
from service.app.dispatch.model import Person, Recalled, Waiting
from service.app.outgoing import OutgoingRecord
from service.core import instants
from service.core.campaigns.identity import message_id
from service.core.campaigns.model import Campaign
from service.core.campaigns.sms_text import segments

REQUESTED: Final = "campaign.message.requested"
CANCELLED: Final = "campaign.message.cancelled"
ISSUED: Final = "campaign.discount.issued"
#: What sort of address a channel has; a notification's is known downstream by the customer's id.
_KINDS: Final = {"email": "email", "sms": "phone"}
_BY_ID: Final = "customer_id"

_encoder: Final = msgspec.json.Encoder(decimal_format="string")


def address_of(campaign: Campaign, person: Person) -> str | None:
    """Where the campaign reaches the customer: of notifications, whose tokens are known downstream, the id."""
    if campaign.channel == "email":
        return person.email
    return person.phone if campaign.channel == "sms" else str(person.customer_id)


def requested_data(
    campaign: Campaign,
    waiting: Waiting,
    person: Person,
    content: Rendered,
    *,
    code: str | None,
    unsubscribe_url: str | None,
    now: int,
    has_address: bool,
) -> dict[str, Any]:
    """`data` of campaign.message.requested.

    Args:
        campaign: whose message.
        waiting: the message.
        person: whom to.
        content: rendered for them.
        code: their discount code.
        unsubscribe_url: for the header List-Unsubscribe.
        now: when consent was looked at, microseconds.
        has_address: addresses may leave with messages.
    """
    kind = _KINDS.get(campaign.channel, _BY_ID)
    is_named = has_address and kind != _BY_ID
    return {
        "message_id": str(waiting.message_id),
        "attempt": waiting.attempts + 1,
        "channel": campaign.channel,
        "category": campaign.category,
        "priority": campaign.options.priority,
        "campaign": {"id": str(campaign.id), "name": campaign.campaign_name, "type": campaign.campaign_type},
        "segment": {"id": str(campaign.segment_id), "trigger": campaign.trigger, "occurrence": waiting.occasion},
        "customer": {
            "id": str(person.customer_id),
            "external_id": person.external_id,
            "locale": person.locale,
            "timezone": person.timezone,
        },
        "recipient": {
            "address": address_of(campaign, person) if is_named else None,
            "kind": kind if is_named else _BY_ID,
        },
        "content": {
            "subject": content.subject,
            "title": content.title,
            "text": content.text,
            "html": content.html,
            "sms_segments": segments(content.text) if campaign.channel == "sms" else None,
        },
        "discount": None if code is None else _discount(campaign, code),
        "headers": {"list_unsubscribe": unsubscribe_url, "message_id_header": None},
        "links": [{"index": index, "url": url} for index, url in enumerate(content.links)],
        "not_before": instants.to_text(waiting.due_at),
        "expires_at": instants.to_text(waiting.expires_at),
        "consent_checked_at": instants.to_text(now),
        "test": False,
    }


def _discount(campaign: Campaign, code: str) -> dict[str, Any]:
    return {"code": code, "type": campaign.discount_type, "amount": campaign.discount_amount, "expires_at": None}


def requested_record(
    topic: str, campaign: Campaign, waiting: Waiting, data: dict[str, Any], now: int
) -> OutgoingRecord:
    """The request that downstream services send by; its id is the message's."""
    return _record(topic, REQUESTED, str(waiting.message_id), campaign.id, waiting, data, now)


def cancelled_record(topic: str, campaign_id: UUID, message: Recalled, now: int) -> OutgoingRecord:
    """What was requested need not be sent any more, for its campaign was cancelled."""
    data = {"message_id": str(message.message_id), "reason": "campaign_cancelled"}
    event_id = str(message_id(campaign_id, message.customer_id, f"{message.occasion}:cancelled"))
    return _record(topic, CANCELLED, event_id, campaign_id, message, data, now)


def issued_record(topic: str, campaign: Campaign, waiting: Waiting, code: str, now: int) -> OutgoingRecord:
    """A discount code that is the recipient's alone, so that the shop can take it."""
    data = {
        "code": code,
        "campaign_id": str(campaign.id),
        "customer_id": str(waiting.customer_id),
        "message_id": str(waiting.message_id),
        "type": campaign.discount_type,
        "amount": campaign.discount_amount,
        "expires_at": None,
    }
    event_id = str(message_id(campaign.id, waiting.customer_id, f"{waiting.occasion}:code"))
    return _record(topic, ISSUED, event_id, campaign.id, waiting, data, now)


def _record(
    topic: str, kind: str, event_id: str, campaign_id: UUID, message: Waiting | Recalled, data: dict[str, Any], now: int
) -> OutgoingRecord:
    key = str(message.customer_id).encode()
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", event_id.encode()),
        ("ce_source", f"/campaigns/{campaign_id}".encode()),
        ("ce_type", kind.encode()),
        ("ce_subject", key),
        ("ce_time", instants.to_text(now).encode()),
        ("ce_partitionkey", key),
        ("content-type", b"application/json"),
    ]
    if message.traceparent is not None:
        headers.append(("traceparent", message.traceparent.encode()))
    return topic, key, _encoder.encode(data), headers
