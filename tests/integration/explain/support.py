"""One customer's history with segments that ask about it, and the explanations of these."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID, uuid4

from service.adapters.postgres.database import Database
from service.adapters.postgres.explain import PostgresExplain
from service.adapters.postgres.segments import PostgresSegments
from service.app.explain import explain, find_evidence
from service.app.segments import read_segment
from service.core import instants
from service.core.identity import customer_uuid
from tests.facts import Service
from tests.integration import support

DAY, HOUR = instants.DAY, instants.HOUR
START = instants.parse("2024-03-01T00:00:00Z")
NOW = START + 20 * DAY


def event(number: int, kind: str, at: int, customer: str | None = "ada", **data: Any) -> bytes:
    """An event as it comes from Kafka; `at` is microseconds after START."""
    return support.event(number, kind, START + at, customer, str(number) if number % 3 == 0 else None, **data)


def order(number: int, kind: str, at: int, order_id: str, customer: str | None = "ada", **data: Any) -> bytes:
    """An event of an order."""
    return event(number, f"order.{kind}", at, customer, order_id=order_id, currency="EUR", **data)


ITEMS = [{"product_id": "p1", "category": "books", "quantity": 1, "unit_price": 9.5}, {"product_id": "p2"}]
WIDE = {"wide": 10**30, "exact": 0.1, "yes": True, "nothing": None}
HISTORY = [
    event(19, "customer.activity", 0, name="other"),
    event(1, "customer.registered", HOUR, location={"country": "France"}, traits={"n": 5, "s": "a"}, email="a@b.c"),
    event(2, "customer.updated", DAY, traits=WIDE, customer_type="business"),
    event(3, "customer.updated", 2 * DAY, traits=None, location=None, email_subscribed=True),
    event(4, "customer.updated", 3 * DAY, traits={"n": 1.5}, location={"city": "Lyon"}),
    event(5, "customer.logged_in", 10 * DAY),
    order(6, "placed", 4 * DAY, "o1", total="100.10", items=ITEMS),
    order(7, "placed", 12 * DAY, "o2", total=50, items=[]),
    order(8, "updated", 12 * DAY + HOUR, "o2", total=60),
    order(21, "updated", 12 * DAY + HOUR, "o2", total=61),
    order(9, "updated", 12 * DAY + 2 * HOUR, "o2", items=ITEMS[1:], status="packed"),
    order(10, "refunded", 13 * DAY, "o1", refund_id="r1", amount="0.10"),
    event(11, "order.refunded", 13 * DAY, refund_id="r2", order_id=None, currency="EUR", amount=5),
    order(12, "placed", 14 * DAY, "o3", total=999, test=True),
    order(13, "placed", 14 * DAY, "o4", total=999),
    event(14, "order.cancelled", 15 * DAY, order_id="o4"),
    event(15, "customer.activity", 16 * DAY, name="view", properties={"price": 1.25, "kind": "a", "yes": True}),
    event(16, "customer.activity", 17 * DAY, name="view", properties={"price": 3}),
    event(17, "customer.activity", 17 * DAY, name="view"),
    event(18, "customer.activity", 18 * DAY, name="buy", properties=None),
]
SEGMENTS = {
    "everybody": {},
    "logins": {"last_login": {"operator": "within_last", "days": 15}},
    "quiet": {"last_login": {"operator": "more_than_ago", "days": 15}},
    "spenders": {"total_spent": {"operator": "gte", "value": "100", "window": {"days": 30}}},
    "shoppers": {"purchased_categories": {"any": ["books", "toys"], "window": {"days": 30}}},
    "mixed": {
        "any": [
            {"total_orders": {"operator": "eq", "value": 1, "window": {"days": 30}}},
            {"all": [{"email_subscribed": True}, {"not": {"last_login": {"operator": "within_last", "days": 60}}}]},
        ]
    },
    "never": {"customer_type": "individual"},
    "viewers": {"activity": {"name": "view", "count": {"operator": "gte", "value": 2}, "window": {"days": 5}}},
    "converted": {
        "activity": {"name": "view"},
        "sequence": {"steps": [{"activity": {"name": "other"}}, {"activity": {"name": "buy"}}], "within": {"days": 20}},
    },
    "abandoned": {
        "sequence": {
            "steps": [{"activity": {"name": "view"}}, {"order": {}, "not": True}],
            "within": {"days": 10},
        }
    },
}


async def service_of_ada(database: Database) -> Service:
    """A service with definitions and one customer's history applied, timers fired."""
    made = Service(database, "EUR")
    made.ids = await made.define([{"key": key, "criteria": criteria} for key, criteria in SEGMENTS.items()])
    await made.take(HISTORY, NOW, size=5)
    await made.fire(NOW)
    return made


async def explained(service: Service, segment: str | UUID, customer: str = "ada", now: int = NOW) -> dict[str, Any]:
    """The explanation."""
    segment_id = service.ids[segment] if isinstance(segment, str) else segment
    async with service.database.snapshot() as connection:
        found = await read_segment(PostgresSegments(connection), segment_id)
        evidence = await find_evidence(PostgresExplain(connection), customer, found)
    return explain(evidence, now)


async def insert(service: Service, criteria: dict, **columns: Any) -> UUID:
    """A segment as no use case makes it, and outside the hot path."""
    segment_id = uuid4()
    values = {"segment_type": "dynamic", "status": "active", "is_deleted": False, **columns}
    await service.run(
        """
        INSERT INTO customer_segments (id, segment_name, segment_type, status, criteria, version, introduced, since,
                                       created_by, is_deleted)
        VALUES (:id, 'by hand', :segment_type, :status, CAST(:criteria AS jsonb), 1, 0, 0, 't', :is_deleted)
        """,
        id=segment_id,
        criteria=json.dumps(criteria),
        **values,
    )
    return segment_id


async def pin(service: Service, segment_id: UUID, is_included: bool, customer: str = "ada") -> None:
    """A pin, by SQL alone."""
    await service.run(
        """
        INSERT INTO pins (customer_id, segment_id, is_included, source, created_by)
        VALUES (:c, :s, :i, 'manual', 't')
        """,
        c=customer_uuid(customer),
        s=segment_id,
        i=is_included,
    )
