"""Where events go: topic, key and headers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from service.app.publishing import JSON, STRUCTURED, address_of

ORDER = {"order_id": "o", "customer_id": "c"}


def cloud(kind: str, data: Any = ORDER, **more: Any) -> dict[str, Any]:
    """A CloudEvent."""
    return {"specversion": "1.0", "type": kind, "data": data, **more}


@pytest.mark.parametrize(
    ("event", "is_of_customers", "key"),
    [
        (cloud("order.placed"), False, b"c"),
        (cloud("customer.updated"), True, b"c"),
        (cloud("order.placed", {"customer_id": None}), False, None),
        (cloud("order.placed", None), False, None),
        (cloud("order.placed", userId=[5], event={}, topic=5, payload=[]), False, b"c"),
        (cloud("track", userId="u"), False, b"c"),
        ({"type": "order.placed", "data": ORDER}, False, b"c"),
        ("nonsense", False, None),
        (cloud("order.placed", {"customer_id": 5}), False, None),
    ],
)
def test_cloudevents(event: Any, is_of_customers: bool, key: bytes | None) -> None:
    """By type, keyed by the customer; what is no event goes out as it is."""
    assert address_of(json.dumps(event).encode()) == (is_of_customers, key, STRUCTURED)


@pytest.mark.parametrize(
    ("record", "is_of_customers", "key"),
    [
        ({"type": "track", "event": "Order Completed", "userId": "u"}, False, b"u"),
        ({"type": "track", "event": "order refunded ", "anonymousId": "a"}, False, None),
        ({"type": "track", "event": "Product Viewed", "userId": 5}, True, b"5"),
        ({"type": "identify", "userId": "gid://shopify/Customer/7"}, True, b"7"),
        ({"topic": "orders/create", "payload": {"id": 1, "customer": {"id": 7}}}, False, b"7"),
        ({"topic": "orders/create", "payload": {"id": 1, "customer": None}}, False, None),
        ({"topic": "refunds/create", "payload": {"id": 1, "order_id": 2}}, False, None),
        ({"topic": "CUSTOMERS_UPDATE", "payload": {"id": "gid://shopify/Customer/7"}}, True, b"7"),
        ({"topic": "customers/redact", "payload": {"shop_id": 1, "customer": {"id": 7}}}, True, b"7"),
    ],
)
def test_other_formats(record: Any, is_of_customers: bool, key: bytes | None) -> None:
    """Calls and webhooks in envelopes are keyed by their customer, and sent as what they are."""
    assert address_of(json.dumps(record).encode()) == (is_of_customers, key, JSON)
