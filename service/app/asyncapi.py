"""The AsyncAPI 3.0 document: which topics there are, and what lies on them; from the schemas of the events alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from service.app.event_schemas import OUTBOUND, Schema, data_schema, envelope_schema, letter_schema
from service.core.events import model

#: How a schema refers to a part that the document keeps.
PARTS: Final = "#/components/schemas/{name}"
LETTER: Final = "dead-letter"

_IN: Final = (
    "CloudEvents 1.0 in structured mode, or in binary mode (`ce_*` headers, data as the value). Either input topic "
    "takes any type; key: the customer's id. Segment-spec calls and Shopify webhooks are taken too. "
    "What cannot be used becomes a dead letter."
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


class Topics(NamedTuple):
    """The names of the topics, and how many partitions the service gives them."""

    orders: str
    customers: str
    membership: str
    dead_letters: str
    partitions: int


def example_event(name: str) -> Schema:
    """A whole event of this type, in structured mode."""
    head = {"specversion": "1.0", "id": f"example-{name}", "source": "/shop", "type": name}
    return {**head, "time": "2024-02-29T12:00:00Z", "data": EXAMPLES[name]}


def document(topics: Topics, version: str) -> Schema:
    """The document, whole in itself."""
    schemas: dict[str, Schema] = {}
    messages = {name: _inbound(name, schemas) for name in model.TYPES}
    messages |= {name: _outbound(name, schemas) for name in OUTBOUND}
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
    }
    ways = {"orders": "receive", "customers": "receive", "membership": "send", "deadLetters": "send"}
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


def _outbound(name: str, schemas: dict[str, Schema]) -> Schema:
    attributes = {
        "ce_specversion": {"const": "1.0"},
        "ce_type": {"const": name},
        "ce_source": {"type": "string"},
        "ce_id": {"type": "string", "format": "uuid", "description": "The same however often it is computed."},
        "ce_subject": {"type": "string", "description": "customer_id"},
        "ce_time": {"type": "string", "format": "date-time", "description": "effective_at"},
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
        "examples": [{"name": "binary mode", "payload": dict(_TRANSITION)}],
    }


def _letter() -> Schema:
    return {
        "name": LETTER,
        "title": LETTER,
        "contentType": "application/octet-stream",
        "headers": letter_schema(),
        "payload": {"description": "The record's own bytes; the first 64 KiB where x-truncated is there."},
    }
