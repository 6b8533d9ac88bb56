"""The AsyncAPI 3.0 document: which topics there are, and what lies on them; from the schemas of the events alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from service.app.event_schemas import OUTBOUND, Schema, data_schema, envelope_schema, letter_schema
from service.app.message_schemas import ENGAGEMENT, MESSAGES
from service.core.events import model

#: How a schema refers to a part that the document keeps.
PARTS: Final = "#/components/schemas/{name}"
LETTER: Final = "dead-letter"

_IN: Final = (
    "CloudEvents 1.0 in structured mode, or in binary mode (`ce_*` headers, data as the value). Either input topic "
    "takes any type; key: the customer's id. Segment-spec calls and Shopify webhooks are taken too. "
    "What cannot be used becomes a dead letter."
)
_ASKED: Final = (
    "CloudEvents in binary mode, keyed by customer_id, at least once: keep each `id` for 7 days, drop what you know. "
    "Send nothing before not_before or after expires_at, and tell every outcome on the topic of engagement."
)
_TOLD: Final = (
    "CloudEvents 1.0 in either mode, by whoever delivers messages, and by this service. Order does not matter, and a "
    "repeat of source and id changes nothing. What cannot be used becomes a dead letter; what names a message that is "
    "not known does so after a day."
)
_CUSTOMER: Final[Mapping[str, Any]] = {"customer_id": "C-1"}
_ORDER: Final[Mapping[str, Any]] = {"order_id": "1001", **_CUSTOMER}
#: One event of each type.
EXAMPLES: Final[Mapping[str, Mapping[str, Any]]] = {
    "customer.registered": {
        **_CUSTOMER,
        "name": "Ada Lovelace",
        "email": "ada@example.com",
        "customer_type": "individual",
        "location": {"country": "GB", "city": "London"},
        "email_subscribed": True,
        "traits": {"plan": "premium", "age": 36},
    },
    "customer.updated": {**_CUSTOMER, "phone": None, "traits": {"plan": "basic"}},
    "customer.logged_in": _CUSTOMER,
    "customer.deleted": _CUSTOMER,
    "customer.activity": {**_CUSTOMER, "name": "product_viewed", "properties": {"price": 19.99}},
    "order.placed": {
        **_ORDER,
        "currency": "USD",
        "total": "99.90",
        "items": [{"product_id": "P-1", "category": "Games", "quantity": 2, "unit_price": "49.95"}],
        "discount_codes": [{"code": "SPRING", "amount": "5.00"}],
    },
    "order.updated": {**_ORDER, "total": "89.90", "status": "shipped"},
    "order.cancelled": _ORDER,
    "order.refunded": {**_ORDER, "refund_id": "R-1", "currency": "USD", "amount": "10.00"},
}
_TRANSITION: Final[Mapping[str, Any]] = {
    "customer_id": "6d6d8a8a-7d4a-5d0e-9d5e-0d4f1f8f4f10",
    "external_id": "C-1",
    "segment_id": "018f3c5e-8a64-7000-8000-000000000001",
    "segment_name": "Big spenders",
    "segment_version": 1,
    "sequence": 1,
    "effective_at": "2024-02-29T12:00:00Z",
    "recorded_at": "2024-02-29T12:00:00.250000Z",
    "reason": "event",
    "backfill": False,
    "cause_event_id": "order-1001-placed",
}


_MESSAGE_ID: Final = "f1d4c431-da3d-5b76-879b-acb27b5ac45e"
_CAMPAIGN_ID: Final = "3f0c1d7e-9a52-4c1e-8f37-2b6f0a9d4e11"
_CUSTOMER_ID: Final = _TRANSITION["customer_id"]
#: Data of what is asked of downstream services.
MESSAGE_EXAMPLES: Final[Mapping[str, Mapping[str, Any]]] = {
    "campaign.message.requested": {
        "message_id": _MESSAGE_ID,
        "attempt": 1,
        "channel": "sms",
        "category": "marketing",
        "priority": 50,
        "campaign": {"id": _CAMPAIGN_ID, "name": "Win back", "type": "discount"},
        "segment": {"id": _TRANSITION["segment_id"], "trigger": "on_joined", "occurrence": "once"},
        "customer": {"id": _CUSTOMER_ID, "external_id": "C-1", "locale": "en-GB", "timezone": "Europe/London"},
        "recipient": {"address": "+447700900123", "kind": "phone"},
        "content": {
            "subject": None,
            "title": None,
            "text": "Hi Ada, 15% off with K7-3FJ9QWZ2MD",
            "html": None,
            "sms_segments": 1,
        },
        "discount": {"code": "K7-3FJ9QWZ2MD", "type": "percentage", "amount": "15.00", "expires_at": None},
        "headers": {"list_unsubscribe": None, "message_id_header": None},
        "links": [{"index": 0, "url": "https://shop.example.org/sale"}],
        "not_before": "2024-02-29T13:00:00Z",
        "expires_at": "2024-03-03T13:00:00Z",
        "consent_checked_at": "2024-02-29T13:00:00.250000Z",
        "test": False,
    },
    "campaign.message.cancelled": {"message_id": _MESSAGE_ID, "reason": "campaign_cancelled"},
    "campaign.discount.issued": {
        "code": "K7-3FJ9QWZ2MD",
        "campaign_id": _CAMPAIGN_ID,
        "customer_id": _CUSTOMER_ID,
        "message_id": _MESSAGE_ID,
        "type": "percentage",
        "amount": "15.00",
        "expires_at": None,
    },
}
#: Details of what is told about messages; those of the other kinds are empty.
_DETAIL_EXAMPLES: Final[Mapping[str, Mapping[str, Any]]] = {
    "deferred": {"code": "450", "reason": "mailbox busy"},
    "bounced": {"bounce_type": "hard", "code": "5.1.1", "reason": "no such user"},
    "failed": {"code": "30006", "reason": "landline", "retryable": False},
    "complained": {"feedback_type": "abuse"},
    "opened": {"is_machine": False, "user_agent_class": "mail_app"},
    "clicked": {"link_index": 0, "url": "https://shop.example.org/sale", "is_machine": False},
    "unsubscribed": {"method": "one_click"},
}


class Topics(NamedTuple):
    """The names of the topics, and how many partitions the service gives them."""

    orders: str
    customers: str
    membership: str
    dead_letters: str
    partitions: int
    messages: str = "campaign-messages"
    engagement: str = "campaign-engagement"


def example_event(name: str) -> Schema:
    """A whole event of this type, in structured mode."""
    head = {"specversion": "1.0", "id": f"example-{name}", "source": "/shop", "type": name}
    return {**head, "time": "2024-02-29T12:00:00Z", "data": EXAMPLES[name]}


def document(topics: Topics, version: str) -> Schema:
    """The document, whole in itself."""
    schemas: dict[str, Schema] = {}
    messages = {name: _inbound(name, schemas) for name in model.TYPES}
    messages |= {name: _outbound(name, schemas, _TRANSITION) for name in OUTBOUND}
    messages |= {name: _outbound(name, schemas, MESSAGE_EXAMPLES[name]) for name in MESSAGES}
    messages |= {name: _told(name, schemas) for name in ENGAGEMENT}
    messages[LETTER] = _letter()
    channels = {
        "orders": _channel(topics.orders, "Events of orders come in here", _IN, tuple(model.TYPES), topics),
        "customers": _channel(topics.customers, "Events of customers come in here", _IN, tuple(model.TYPES), topics),
        "membership": _channel(
            topics.membership,
            "Who joined and who left",
            "CloudEvents in binary mode, keyed by customer_id; per customer in order, each transition once under "
            "read_committed. Drop an `id` that you know.",
            tuple(OUTBOUND),
            topics,
        ),
        "deadLetters": _channel(
            topics.dead_letters, "Records set aside", "Original key and bytes, with the reason.", (LETTER,), topics
        ),
        "messages": _channel(topics.messages, "Messages to send", _ASKED, tuple(MESSAGES), topics),
        "engagement": _channel(topics.engagement, "What became of messages", _TOLD, tuple(ENGAGEMENT), topics),
    }
    ways = {"orders": "receive", "customers": "receive", "membership": "send", "deadLetters": "send"}
    ways |= {"messages": "send", "engagement": "receive"}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "customer-segments",
            "version": version,
            "description": "Segments of customers, kept while events come in.",
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": {
            f"{way}{name[0].upper()}{name[1:]}": {"action": way, "channel": {"$ref": f"#/channels/{name}"}}
            for name, way in ways.items()
        },
        "components": {"messages": messages, "schemas": schemas},
    }


def _channel(address: str, title: str, description: str, names: Sequence[str], topics: Topics) -> Schema:
    return {
        "address": address,
        "title": title,
        "description": description,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
        "bindings": {"kafka": {"topic": address, "partitions": topics.partitions, "bindingVersion": "0.5.0"}},
    }


def _kept(name: str, schemas: dict[str, Schema]) -> Schema:
    """Keeps the schema of an event's data with its parts; gives the reference to it."""
    found, parts = data_schema(name, PARTS)
    schemas.update(parts)
    schemas[name] = found
    return {"$ref": PARTS.format(name=name)}


def _inbound(name: str, schemas: dict[str, Schema]) -> Schema:
    data = _kept(name, schemas)
    return {
        "name": name,
        "title": name,
        "contentType": "application/cloudevents+json",
        "payload": envelope_schema(name, data),
        "examples": [{"name": "structured mode", "payload": example_event(name)}],
    }


def example_told(name: str) -> Schema:
    """A whole event about a message, in structured mode."""
    details = _DETAIL_EXAMPLES.get(name.rpartition(".")[2], {})
    head = {"specversion": "1.0", "id": f"provider-1:{name}", "source": "/providers/sms", "type": name}
    data = {"message_id": _MESSAGE_ID, "occurred_at": "2024-02-29T13:00:03.100000Z", "details": dict(details)}
    return {**head, "time": "2024-02-29T13:00:04Z", "data": data}


def _told(name: str, schemas: dict[str, Schema]) -> Schema:
    envelope = envelope_schema(name, _kept(name, schemas))
    return {
        "name": name,
        "title": name,
        "contentType": "application/cloudevents+json",
        "payload": {**envelope, "required": [*envelope["required"], "source"]},
        "examples": [{"name": "structured mode", "payload": example_told(name)}],
    }


def _outbound(name: str, schemas: dict[str, Schema], example: Mapping[str, Any]) -> Schema:
    attributes = {
        "ce_specversion": {"const": "1.0"},
        "ce_type": {"const": name},
        "ce_source": {"type": "string"},
        "ce_id": {"type": "string", "format": "uuid", "description": "The same however often it is computed."},
        "ce_subject": {"type": "string", "description": "customer_id"},
        "ce_time": {"type": "string", "format": "date-time", "description": "When it took effect."},
        "content-type": {"const": "application/json"},
        "traceparent": {"type": "string", "description": "W3C trace context of the cause, if it had one."},
    }
    needed = [one for one in attributes if one != "traceparent"]
    return {
        "name": name,
        "title": name,
        "contentType": "application/json",
        "headers": {"type": "object", "properties": attributes, "required": needed},
        "payload": _kept(name, schemas),
        "examples": [{"name": "binary mode", "payload": dict(example)}],
    }


def _letter() -> Schema:
    return {
        "name": LETTER,
        "title": LETTER,
        "contentType": "application/octet-stream",
        "headers": letter_schema(),
        "payload": {"description": "The record's own bytes; the first 64 KiB where x-truncated is there."},
    }
