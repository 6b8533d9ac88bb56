"""A dozen customers with segments on attributes and orders, and what is done to their rows by hand."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text

from service.adapters.postgres.database import Database
from service.core import instants
from service.core.identity import customer_uuid
from tests.facts import Service
from tests.integration.support import event
from tests.integration.verify.support import damage

DAY = instants.DAY
START = instants.parse("2024-03-01T00:00:00Z")
NOW = START + 100 * DAY
SEGMENTS = [
    {"key": "all", "criteria": {}},
    {"key": "recent", "criteria": {"last_order_date": {"operator": "within_last", "days": 30}}},
    {"key": "lapsed", "criteria": {"last_order_date": {"operator": "more_than_ago", "days": 30}}},
    {"key": "big", "criteria": {"total_spent": {"operator": "gte", "value": 100}}},
    {"key": "french", "criteria": {"location": {"countries": ["France"]}}},
    {"key": "gold", "criteria": {"traits": {"tier": {"operator": "eq", "value": "gold"}}}},
    {"key": "readers", "criteria": {"purchased_categories": {"any": ["books"], "window": {"days": 60}}}},
]


def history() -> list[bytes]:
    """A dozen customers: attributes, orders at various ages, refunds, cancellations, a guest."""
    lines = []
    for number in range(12):
        customer, at = f"c{number}", START + number * 7 * DAY
        traits = {"tier": "gold" if number % 3 else "silver", "n": 1.5, "gone": None}
        place = {"country": "France" if number % 2 else "Spain"}
        attributes = {"email": "private@example.com", "location": place, "traits": traits}
        items = [{"product_id": "p", "category": "books", "quantity": 1}]
        order = {"order_id": "o", "currency": "EUR", "total": 60 + number * 10, "items": items}
        refund = {"refund_id": "r", "order_id": "o", "currency": "EUR", "amount": "9.99"}
        lines += [
            event(number * 10, "customer.registered", at, customer, **attributes),
            event(number * 10 + 1, "customer.logged_in", at + DAY, customer),
            event(number * 10 + 2, "order.placed", at + DAY, customer, **order),
        ]
        if number % 4 == 0:
            lines.append(event(number * 10 + 3, "order.refunded", at + 2 * DAY, customer, **refund))
        if number % 5 == 0:
            lines.append(event(number * 10 + 4, "order.cancelled", at + 3 * DAY, customer, order_id="o"))
    order = {"order_id": "g", "currency": "EUR", "total": 5}
    return [*lines, event(999, "order.placed", START, None, **order)]


async def sound_service(database: Database) -> Service:
    """A service with definitions, events and all timers fired."""
    made = Service(database, "EUR")
    await made.define(SEGMENTS)
    await made.take(history(), NOW, size=7)
    await made.fire(NOW)
    return made


#: What is done to a sound database by hand -> (drift by segment, words that must stand among the profile's faults).
CHANGES: dict[str, tuple[str, dict[str, int], str]] = {
    "a membership is lost": (
        "DELETE FROM customer_segment_memberships WHERE customer_id = :c1 AND segment_id = :french",
        {"french": 1},
        "",
    ),
    "a membership is left open": (
        "UPDATE customer_segment_memberships SET left_at = NULL WHERE customer_id = :c1 AND segment_id = :recent",
        {"recent": 1},
        "",
    ),
    "a count is changed": (
        "UPDATE profiles SET ordinals = set_byte(ordinals, 0, 2) WHERE customer_id = :c1",
        {"all": 1},
        "",
    ),
    "a count falls behind": (
        "UPDATE profiles SET ordinals = set_byte(ordinals, 4, 0) WHERE customer_id = :c1",
        {},
        "transitions: numbered otherwise in 1 segments",
    ),
    "a count runs ahead": (
        "UPDATE profiles SET ordinals = set_byte(ordinals, 0, 3) WHERE customer_id = :c1",
        {},
        "transitions: numbered otherwise in 1 segments",
    ),
    "a total is changed": (
        "UPDATE profiles SET total_spent = total_spent + 1 WHERE customer_id = :c1",
        {},
        "total_spent: stored 7001, by the facts 7000",
    ),
    "a date is changed": (
        "UPDATE profiles SET last_login_at = NULL WHERE customer_id = :c1",
        {},
        "last_login_at: stored nothing, by the facts 2024-03-09T00:00:00Z",
    ),
    "a state is damaged": (
        "UPDATE profiles SET state = set_byte(state, 9, get_byte(state, 9) # 1) WHERE customer_id = :c1",
        {},
        "state: the checksum does not match",
    ),
    "an attribute is changed": (
        "UPDATE customers SET email = 'other@example.com' WHERE customer_id = :c1",
        {},
        "email: differs from the facts",
    ),
    "a trait is changed": (
        """UPDATE customers SET traits = '{"tier": "gold", "n": "1.5"}' WHERE customer_id = :c1""",
        {},
        "traits: differs from the facts",
    ),
    "an external id is changed": (
        "UPDATE customers SET external_id = 'c2' WHERE customer_id = :c1",
        {},
        "external_id: belongs to another customer",
    ),
    "order facts are lost": (
        "DELETE FROM order_facts WHERE customer_id = :c1",
        {"lapsed": 1},
        "total_orders: stored 1, by the facts 0",
    ),
    "a customer's facts are lost": (
        "DELETE FROM customer_facts WHERE customer_id = :c1",
        {"french": 1, "gold": 1},
        "registered_at: stored 2024-03-08T00:00:00Z, by the facts nothing",
    ),
    "a profile is lost": (
        "DELETE FROM profiles WHERE customer_id = :c1",
        {"all": 1, "lapsed": 1, "french": 1, "gold": 1},
        "has facts and no profile",
    ),
    "an erasure was not carried out": (
        "INSERT INTO erasures (customer_id) VALUES (:c1)",
        {},
        "erased, and has facts",
    ),
}


async def ids_of(database: Database) -> dict[str, UUID]:
    """Segments by name."""
    async with database.transaction() as connection:
        rows = await connection.execute(text("SELECT segment_name, id FROM customer_segments"))
        return {row.segment_name: row.id for row in rows}


async def apply_change(service: Service, name: str) -> None:
    """Does one of CHANGES."""
    await damage(service, CHANGES[name][0], {"c1": customer_uuid("c1"), **await ids_of(service.database)})
