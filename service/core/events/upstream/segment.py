"""Calls after the Segment specification: identify, track, page and screen as the product's own events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

from service.core.events.check import Fault
from service.core.events.upstream.fields import Fields, Mapped, lenient_time, scalars
from service.core.events.upstream.segment_orders import cancelled, placed, refunded, updated

VERBS: Final = frozenset({"identify", "track", "page", "screen", "group", "alias"})
_SENDERS: Final = ("messageId", "userId", "anonymousId")
_FLAGS: Final = {
    "email_subscribed": ("email_subscribed", "emailSubscribed"),
    "sms_subscribed": ("sms_subscribed", "smsSubscribed"),
    "push_subscribed": ("push_subscribed", "pushSubscribed"),
}
_CREATED: Final = ("createdAt", "created_at")
#: Traits that become attributes, and are no traits any more.
_ATTRIBUTES: Final = frozenset(
    {"name", "firstName", "first_name", "lastName", "last_name", "email", "phone", "address", "id", *_CREATED}
)
_VIEWS: Final = {"page": "page_viewed", "screen": "screen_viewed"}

OrderCall = Callable[[Fields, str], tuple[str, dict[str, Any]]]
#: Names of track calls that are about orders, in small letters, with the older names of the specification.
ORDER_CALLS: Final[Mapping[str, OrderCall]] = {
    "order completed": placed,
    "completed order": placed,
    "order updated": updated,
    "updated order": updated,
    "order cancelled": cancelled,
    "cancelled order": cancelled,
    "order canceled": cancelled,
    "canceled order": cancelled,
    "order refunded": refunded,
    "refunded order": refunded,
    "order partially refunded": refunded,
}


def is_call(record: object) -> bool:
    """Whether a record is a call: a verb in `type`, and messageId, userId or anonymousId."""
    if not isinstance(record, dict):
        return False
    kind = record.get("type")
    return isinstance(kind, str) and kind in VERBS and any(record.get(name) is not None for name in _SENDERS)


def events_of(record: dict[str, Any], raw: bytes) -> list[Mapped]:
    """The events that a call means.

    Args:
        record: the call.
        raw: its bytes, which name it where it has no messageId.

    Raises:
        Fault: the call cannot be used, or means nothing here.
    """
    call = Fields(record)
    kind = record["type"]
    if kind in ("group", "alias"):
        raise Fault(f"type: the call {kind!r} of the Segment specification has no meaning here.", "unknown_type")
    time = call.time("timestamp", "originalTimestamp", "sentAt", "receivedAt")
    if time is None:
        raise Fault("timestamp: is missing.")
    message = call.id("messageId") or f"sha256-{sha256(raw).hexdigest()}"
    event_id = f"segment:{message}"
    if kind == "identify":
        return _identify(call, event_id, time)
    event = call.text("event") if kind == "track" else _VIEWS[kind]
    if not event:
        raise Fault("event: is missing; a track call needs the name of what was done.")
    order_call = ORDER_CALLS.get(event.strip().casefold()) if kind == "track" else None
    if order_call is not None:
        type_, data = order_call(call.part("properties"), message)
        return [Mapped(type_, event_id, time, {**data, "customer_id": call.id("userId")})]
    return [Mapped("customer.activity", event_id, time, _activity(call, event))]


def _customer(call: Fields) -> str:
    customer_id = call.id("userId")
    if customer_id is None:
        raise Fault("userId: is missing; who has only an anonymousId is no customer here, and has orders as a guest.")
    return customer_id


def _activity(call: Fields, event: str) -> dict[str, Any]:
    properties = scalars(call.part("properties"))
    for name in ("name", "category"):  # page and screen calls have these beside the properties
        if event in _VIEWS.values() and isinstance(call.values.get(name), str):
            properties.setdefault(name, call.values[name])
    return {"customer_id": _customer(call), "name": event, "properties": properties}


def _identify(call: Fields, event_id: str, time: datetime) -> list[Mapped]:
    """Without createdAt the first identify is the registration; with it, that instant is, and this an update."""
    traits, context = call.part("traits"), call.part("context")
    attributes = {"customer_id": _customer(call), **_attributes(traits, context)}
    created = next((found for name in _CREATED if (found := lenient_time(traits.values.get(name)))), None)
    if created is None or created > time:
        return [Mapped("customer.registered", event_id, time, attributes)]
    registered = {"customer_id": attributes["customer_id"]}
    return [
        Mapped("customer.registered", f"{event_id}:registered", created, registered),
        Mapped("customer.updated", event_id, time, attributes),
    ]


def _attributes(traits: Fields, context: Fields) -> dict[str, Any]:
    """Only what the call names; a null removes."""
    found: dict[str, Any] = {}
    values = traits.values
    for name, spellings in {
        "first_name": ("firstName", "first_name"),
        "email": ("email",),
        "phone": ("phone",),
        "name": ("name",),
    }.items():
        if any(one in values for one in spellings):
            found[name] = traits.text(*spellings)
    if "name" not in found:
        parts = [traits.text("firstName", "first_name"), traits.text("lastName", "last_name")]
        if all(parts):
            found["name"] = " ".join(part for part in parts if part)
    if "address" in values:
        found["location"] = _location(traits)
    taken = set(_ATTRIBUTES)
    for name, spellings in _FLAGS.items():
        for one in spellings:
            if values.get(one, "") is None or isinstance(values.get(one), bool):
                found[name] = values[one]
                taken.add(one)
    for one in ("customer_type", "customerType"):
        if values.get(one) in ("individual", "business"):
            found["customer_type"] = values[one]
            taken.add(one)
    for name in ("locale", "timezone"):
        if context.values.get(name) is not None:
            found[name] = context.text(name)
    others = scalars(traits, frozenset(taken))
    if others:
        found["traits"] = others
    return found


def _location(traits: Fields) -> dict[str, Any] | None:
    """None where the address is null, or a text that nobody can take apart."""
    if not isinstance(traits.values["address"], dict):
        return None
    address = traits.part("address")
    return {name: address.text(name) for name in ("country", "state", "city")}
