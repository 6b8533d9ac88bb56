"""Shopify's webhooks: which topic a record is of, and what it means as the product's own events."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from service.core.events.check import Fault
from service.core.events.upstream import shopify_orders
from service.core.events.upstream.fields import Fields, Mapped, ShopFields, content_id, scalars

#: The webhook's own headers, as connectors hand them on; names in small letters.
TOPIC_HEADER: Final = "x-shopify-topic"
TRIGGERED_HEADER: Final = "x-shopify-triggered-at"

_TOPIC: Final = re.compile(r"[a-z_]+/[a-z_]+")
_ENUM: Final = re.compile(r"(ORDERS|REFUNDS|CUSTOMERS)_([A-Z_]+)")
_CUSTOMER_KEY: Final = re.compile(r"(?:gid://shopify/Customer/)?([0-9]{1,20})")
_TRAITS: Final = ("tags", "state", "verified_email", "tax_exempt", "note")


class Delivery(NamedTuple):
    """One webhook as it came: its topic, its body, and what the record around it says."""

    topic: str
    body: ShopFields
    key: bytes | None
    triggered_at: datetime | None
    now: datetime
    currency: str

    def customer_by_key(self) -> str | None:
        """The customer that the record's key names; for webhooks whose body names none."""
        found = customer_of_key(self.key)
        return None if found in (self.body.id("id"), self.body.id("order_id")) else found


def customer_of_key(key: bytes | None) -> str | None:
    """The id in a key that has the form of a Shopify customer's id."""
    matched = _CUSTOMER_KEY.fullmatch((key or b"").decode(errors="replace"))
    return matched[1] if matched else None


def topic_of(record: object, named: Mapping[str, str]) -> str | None:
    """The webhook's topic, from the header or the envelope {topic, payload}; None where it is no webhook."""
    by_header = named.get(TOPIC_HEADER)
    if by_header:
        return _plain(by_header)
    found = record.get("topic") if isinstance(record, dict) and "payload" in record else None
    topic = _plain(found) if isinstance(found, str) else ""
    return topic if _TOPIC.fullmatch(topic) else None


def _plain(topic: str) -> str:
    """`orders/create`, also where it is written ORDERS_CREATE as GraphQL does."""
    enumerated = _ENUM.fullmatch(topic.strip())
    return ("/".join(enumerated.groups()) if enumerated else topic.strip()).lower()


def body_of(record: object) -> Any:
    """The webhook's body: the payload of an envelope, else the record itself."""
    return record["payload"] if isinstance(record, dict) and "topic" in record and "payload" in record else record


def events_of(
    topic: str, record: object, named: Mapping[str, str], key: bytes | None, now: datetime, currency: str
) -> list[Mapped]:
    """The events that a webhook means.

    Raises:
        Fault: the webhook cannot be used, or its topic means nothing here.
    """
    handler = _HANDLERS.get(topic)
    if handler is None:
        raise Fault(f"The Shopify topic {topic[:100]!r} has no meaning here.", "unknown_type")
    body = body_of(record)
    if not isinstance(body, dict):
        raise Fault("The body of a Shopify webhook must be an object.")
    around = Fields(record if body is not record else None)
    header = {"triggered_at": named.get(TRIGGERED_HEADER) or around.first("triggered_at")}
    return handler(Delivery(topic, ShopFields(body), key, Fields(header).time("triggered_at"), now, currency))


def _order(delivery: Delivery) -> list[Mapped]:
    return shopify_orders.snapshot(delivery.body, is_creation=delivery.topic == "orders/create")


def _order_deleted(delivery: Delivery) -> list[Mapped]:
    body = delivery.body
    at = body.time("deleted_at", "cancelled_at", "updated_at") or delivery.triggered_at
    if at is None:
        raise Fault("X-Shopify-Triggered-At: is missing; orders/delete says by itself not when it happened.")
    customer_id = _named_customer(delivery, "order.cancelled")
    return [shopify_orders.cancellation(body.needed_id("id", "admin_graphql_api_id"), customer_id, at)]


def _refund(delivery: Delivery) -> list[Mapped]:
    customer_id = _named_customer(delivery, "order.refunded")
    order_id = delivery.body.needed_id("order_id")
    return [shopify_orders.refund(delivery.body, order_id, customer_id, delivery.currency)]


def _named_customer(delivery: Delivery, kind: str) -> str:
    body = delivery.body
    found = body.part("customer").id("id") or body.part("order").part("customer").id("id")
    found = found or body.id("customer_id") or delivery.customer_by_key()
    if found is None:
        raise Fault(
            f"customer: is not named by {delivery.topic}; key the record by the customer's id, rely on the refunds and "
            f"cancellation in orders/updated, or send {kind} as a CloudEvent."
        )
    return found


def _customer(delivery: Delivery) -> list[Mapped]:
    """A snapshot of the customer: the registration by itself, and what the snapshot says at its own time."""
    body = delivery.body
    customer_id = body.needed_id("id", "admin_graphql_api_id")
    created = body.time("created_at")
    updated = body.time("updated_at") or created or delivery.triggered_at
    if updated is None:
        raise Fault("updated_at: is missing.")
    events = []
    if created is not None:
        bare = {"customer_id": customer_id}
        event_id = content_id(f"shopify:customer:{customer_id}", "registered", created, bare)
        events.append(Mapped("customer.registered", event_id, created, bare))
        updated = max(updated, created)
    data = {"customer_id": customer_id, **_attributes(body)}
    event_id = content_id(f"shopify:customer:{customer_id}", "updated", updated, data)
    events.append(Mapped("customer.updated", event_id, updated, data))
    return events


def _attributes(body: ShopFields) -> dict[str, Any]:
    """What the snapshot names; since API version 2025-01 tags and consents may be missing, and then nothing changes."""
    values = body.values
    found: dict[str, Any] = {name: body.text(name) for name in ("first_name", "email", "phone") if name in values}
    if "first_name" in values or "last_name" in values:
        parts = (body.text("first_name"), body.text("last_name"))
        found["name"] = " ".join(part for part in parts if part) or None
    if "default_address" in values:
        address = body.part("default_address")
        location = {
            "country": address.text("country_code", "country"),
            "state": address.text("province_code", "province"),
            "city": address.text("city"),
        }
        found["location"] = location if address.values else None
    for name, consent, older in (
        ("email_subscribed", "email_marketing_consent", "accepts_marketing"),
        ("sms_subscribed", "sms_marketing_consent", "accepts_sms_marketing"),
    ):
        state = body.part(consent).text("state")
        if state is not None:
            found[name] = state.lower() == "subscribed"
        elif isinstance(values.get(older), bool):
            found[name] = values[older]
    traits = scalars(Fields({name: values[name] for name in _TRAITS if name in values}))
    return found | ({"traits": traits} if traits else {})


def _customer_deleted(delivery: Delivery) -> list[Mapped]:
    """Also customers/redact. It says not when: an erasure must not fail for want of a time, so now will do."""
    body = delivery.body
    is_redact = delivery.topic == "customers/redact"
    customer_id = body.part("customer").needed_id("id") if is_redact else body.needed_id("id", "admin_graphql_api_id")
    at = delivery.triggered_at or delivery.now
    kind = delivery.topic.removeprefix("customers/")
    return [
        Mapped("customer.deleted", f"shopify:customer:{customer_id}:{kind}", at, {"customer_id": customer_id}),
    ]


_HANDLERS: Final[Mapping[str, Callable[[Delivery], list[Mapped]]]] = {
    **{
        f"orders/{name}": _order
        for name in ("create", "updated", "paid", "cancelled", "fulfilled", "partially_fulfilled", "edited")
    },
    "orders/delete": _order_deleted,
    "refunds/create": _refund,
    "customers/create": _customer,
    "customers/update": _customer,
    "customers/enable": _customer,
    "customers/disable": _customer,
    "customers/delete": _customer_deleted,
    "customers/redact": _customer_deleted,
}
#: Topics that mean something.
TOPICS: Final = tuple(_HANDLERS)
