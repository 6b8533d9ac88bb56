"""Where an event goes on its way in: which topic, under which key. Asks as little of it as that takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from service.core.events.upstream.fields import GID
from service.core.events.upstream.segment import ORDER_CALLS, VERBS

#: What says that a record is a CloudEvent in structured mode.
STRUCTURED: Final[Sequence[tuple[str, bytes]]] = [("content-type", b"application/cloudevents+json")]
#: What says only that it is JSON, so that a call or a webhook is taken for what it is.
JSON: Final[Sequence[tuple[str, bytes]]] = [("content-type", b"application/json")]


class Address(NamedTuple):
    """Whether an event belongs to the customers topic, its key, and the headers that say how to read it."""

    is_of_customers: bool
    key: bytes | None
    headers: Sequence[tuple[str, bytes]] = STRUCTURED


class _Person(msgspec.Struct):
    id: int | str | None = None


class _Payload(msgspec.Struct):
    id: int | str | None = None
    customer: _Person | None = None


class _Data(msgspec.Struct):
    customer_id: str | None = None


class _CloudEvent(msgspec.Struct):
    specversion: str | None = None
    type: str = ""
    data: _Data | None = None


class _Other(msgspec.Struct):
    type: str = ""
    userId: int | str | None = None  # noqa: N815 - a name of Segment's specification
    event: str = ""
    topic: str = ""
    payload: _Payload | None = None


_cloud_events: Final = msgspec.json.Decoder(_CloudEvent)
_others: Final = msgspec.json.Decoder(_Other)


def address_of(raw: bytes) -> Address:
    """The address of a CloudEvent, a Segment call or a Shopify webhook in an envelope.

    What is none of them goes out as it is, and comes back as a dead letter.
    """
    try:
        found = _cloud_events.decode(raw)
        other = _others.decode(raw) if found.specversion is None else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Address(False, None)
    if other is not None and other.payload is not None and other.topic:
        is_of_customers = other.topic.lower().startswith("customers")
        customer = other.payload.customer.id if other.payload.customer else None
        own = other.payload.id if is_of_customers and customer is None else None
        return Address(is_of_customers, _key(own if customer is None else customer), JSON)
    if other is not None and other.type in VERBS:
        is_order = other.type == "track" and other.event.strip().casefold() in ORDER_CALLS
        return Address(not is_order, _key(other.userId), JSON)
    return Address(found.type.startswith("customer."), _key(found.data.customer_id if found.data else None))


def _key(customer_id: str | int | None) -> bytes | None:
    """As the events name the customer, so that all formats of a customer share a partition."""
    if customer_id is None:
        return None
    matched = GID.fullmatch(str(customer_id))
    return (matched[1] if matched else str(customer_id)).encode()
