"""Segment calls and Shopify webhooks from Kafka to memberships and dead letters, on both input topics."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from aiokafka import AIOKafkaProducer

from service.adapters.postgres.database import Database
from tests import shop
from tests.integration.test_dead_letters import letters_of
from tests.topics import topics_now
from tests.unit.test_event_schemas import validator
from tests.world import World, create, members

SEGMENTS: dict[str, dict] = {
    "spent 15": {"total_spent": {"operator": "gte", "value": "15.00"}},
    "looked": {"activity": {"name": "Product Viewed", "where": {"price": {"operator": "gt", "value": 10}}}},
    "premium": {"traits": {"plan": {"operator": "eq", "value": "premium"}}},
    "british": {"location": {"countries": ["GB"]}, "email_subscribed": True},
    "game": {"purchased_categories": ["Games"]},
}


def call(kind: str, number: int, user: str | None = "seg-1", **fields: Any) -> dict[str, Any]:
    """A call after Segment's specification."""
    at = f"2024-01-01T10:00:{number:02d}Z"
    return {"type": kind, "messageId": f"m-{number}", "userId": user, "anonymousId": "a", "timestamp": at, **fields}


def track(number: int, event: str, user: str | None = "seg-1", **properties: Any) -> dict[str, Any]:
    """A track call."""
    return call("track", number, user, event=event, properties=properties)


def order(updated: str, total: str, **fields: Any) -> dict[str, Any]:
    """A snapshot of Shopify's order 1."""
    times = {"created_at": "2024-01-02T10:00:00Z", "updated_at": f"2024-01-{updated}T10:00:00Z"}
    fixed = {"id": 1, "currency": "USD", "customer": {"id": 7}, "line_items": []}
    return {**fixed, **times, "total_price": total, **fields}


REFUND = {"id": 9, "order_id": 1, "created_at": "2024-01-03T10:00:00Z"} | {
    "transactions": [{"kind": "refund", "status": "success", "amount": "5.00", "currency": "USD"}]
}
CUSTOMER = {"id": 7, "created_at": "2024-01-01T00:00:00Z", "updated_at": "2024-01-02T00:00:00Z"} | {
    "email": "hush4711@example.com",
    "accepts_marketing": True,
    "default_address": {"country_code": "GB"},
}


async def send(made: World, topic: str, record: Any, key: str | None = None, shopify: str | None = None) -> None:
    """One record, with the webhook's topic in its header."""
    producer = AIOKafkaProducer(bootstrap_servers=made.kafka)
    await producer.start()
    headers = [] if shopify is None else [("X-Shopify-Topic", shopify.encode())]
    try:
        value = json.dumps(record).encode()
        await producer.send_and_wait(topic, value, key=None if key is None else key.encode(), headers=headers)
    finally:
        await producer.stop()


async def test_calls_and_webhooks_count(made: World, database: Database) -> None:
    """Each counts like a CloudEvent, repeated or out of order, on either topic; what means nothing is set aside."""
    await create(database, SEGMENTS, shop.CLOCK)
    made.start_all()
    products = [{"product_id": "p-1", "category": "Games"}]
    webhook = {"topic": "customers/update", "payload": CUSTOMER}
    traits = {"plan": "premium"}
    made.publish([call("identify", 1, traits=traits), track(2, "Product Viewed", price=10.01), webhook])
    for topic in (made.orders, made.customers):
        await send(made, topic, track(3, "Order Completed", order_id="s-1", total=20, products=products), "seg-1")
    await send(made, made.orders, track(4, "Order Refunded", order_id="s-1", total="5.00"), "seg-1")
    await send(made, made.orders, track(5, "Order Completed", None, order_id="guest", total=100))
    await send(made, made.orders, order("05", "20.00", refunds=[REFUND]), "7", "orders/updated")
    await send(made, made.orders, order("02", "10.00"), "7", "orders/create")
    await send(made, made.orders, REFUND, "7", "refunds/create")
    await send(made, made.orders, call("alias", 6, previousId="a"))
    await send(made, made.orders, track(7, "Order Refunded", order_id="s-1", products=[{"name": "?"}]), "seg-1")
    made.wait_idle()
    assert (await members(database))["spent 15"] == {"seg-1", "7"}
    await send(made, made.orders, track(8, "Order Refunded", order_id="s-1"), "seg-1")
    made.wait_idle()

    wanted = {"spent 15": {"7"}, "looked": {"seg-1"}, "premium": {"seg-1"}, "british": {"7"}, "game": {"seg-1"}}
    assert await members(database) == wanted
    reasons = sorted(dict(one.headers)["x-reason"].decode() for one in letters_of(made))
    assert reasons == ["invalid_data", "unknown_type"]
    made.verify()
    check_schemas(made)


def check_schemas(made: World) -> None:
    """What the service has published is valid by the schemas that it publishes."""
    joined, headers = validator("segment.joined"), validator("dead-letter-headers")
    changes = topics_now(made.kafka, made.membership)
    net: Counter[tuple[str, str, str]] = Counter()
    for one in changes:
        data = json.loads(one.value)
        joined.validate(data)
        is_join = dict(one.headers)["ce_type"] == b"segment.joined"
        net[data["customer_id"], data["segment_id"], data["effective_at"]] += 1 if is_join else -1
    # Two snapshots of one order that come in one batch are placed at one instant, one after the other.
    assert sum(abs(count) for count in net.values()) == 7
    for one in letters_of(made):
        headers.validate({name: text.decode() for name, text in one.headers})


async def test_redaction_erases(made: World, database: Database) -> None:
    """customers/redact erases the customer, with the dead letters about them; each later record is recorded once."""
    await create(database, {"everybody": {}}, shop.CLOCK)
    made.start_all()
    await send(made, made.customers, CUSTOMER, "7", "customers/create")
    foreign = order("05", "20.00", currency="XXX", email="hush4711@example.com")
    await send(made, made.orders, foreign, None, "orders/paid")
    made.wait_idle()
    assert await members(database) == {"everybody": {"7"}}
    await send(made, made.customers, {"shop_id": 1, "customer": {"id": 7}}, "7", "customers/redact")
    made.wait_idle()
    await send(made, made.orders, order("06", "20.00", refunds=[REFUND]), None, "orders/updated")
    made.wait_idle()

    assert await members(database) == {"everybody": set()}
    listed = json.loads(made.run("dead-letters", "list", "--json"))
    assert [one["reason"] for one in listed["items"]] == ["erased", "wrong_currency"]
    assert len(letters_of(made)) == 2
    async with database.session() as connection:
        rows = await connection.fetch("SELECT d::text FROM dead_letters d")
    assert not [row for row in rows if b"hush4711".hex() in row[0]]
    made.verify()
