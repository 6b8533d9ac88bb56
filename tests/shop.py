"""A small set of the project's own: a seeded shop with every event type, and segments of every kind of criterion."""

from __future__ import annotations

import random

from service.core import instants
from tests.oracle import stamp

START = instants.parse("2024-01-01T00:00:00Z")
CLOCK = "2024-05-01T00:00:00Z"
DAYS = 100
CATEGORIES = ("books", "games", "garden", "toys")

SEGMENTS: dict[str, dict] = {
    "everybody": {},
    "recent": {"last_order_date": {"operator": "within_last", "days": 14}},
    "lapsed": {
        "all": [
            {"total_orders": {"operator": "gte", "value": 2}},
            {"last_order_date": {"operator": "more_than_ago", "days": 30}},
        ]
    },
    "frequent": {"total_orders": {"operator": "gte", "value": 3, "window": {"days": 30}}},
    "big month": {"total_spent": {"operator": "gte", "value": 150, "window": {"days": 30}}},
    "big basket": {"average_order_value": {"operator": "gt", "value": 55.5}},
    "in debt": {"total_spent": {"operator": "lt", "value": 0}},
    "never ordered": {"total_orders": {"operator": "eq", "value": 0}},
    "readers": {"purchased_categories": ["books"]},
    "no games": {"never_purchased_categories": ["games", "toys"]},
    "fresh gardeners": {"purchased_categories": {"all": ["garden"], "window": {"days": 10}}},
    "product p7": {"purchased_products": {"any": ["p7"]}},
    "french": {"location": {"countries": ["FR"]}},
    "opted in": {"email_subscribed": True},
    "gold or business": {
        "any": [{"traits": {"tier": {"operator": "eq", "value": "gold"}}}, {"customer_type": "business"}]
    },
    "browsing not buying": {
        "all": [
            {"last_login": {"operator": "within_last", "days": 7}},
            {"total_orders": {"operator": "eq", "value": 0, "window": {"days": 21}}},
        ]
    },
    "new": {"registration_date": {"operator": "within_last", "hours": 36}},
}


def events(customers: int, count: int, seed: int = 1) -> list[dict]:
    """Events in the order of their timeline; the same for the same arguments."""
    chance = random.Random(seed)
    found = []
    orders: dict[str, list[str]] = {}
    for number in range(count):
        customer = f"c{chance.randrange(customers):04d}"
        at = START + chance.randrange(DAYS * 24 * 60) * instants.MINUTE
        kind, data = _event(chance, number, orders.setdefault(customer, []))
        found.append(
            {
                "specversion": "1.0",
                "id": f"shop-{seed}-{number}",
                "source": "/tests/shop",
                "type": kind,
                "time": instants.to_text(at),
                "data": {"customer_id": customer, **data},
            }
        )
    return sorted(found, key=stamp)


#: Segments on what `visits` tells, and on other segments; `{name}` stands for the id of the segment of that name.
BEHAVIOUR: dict[str, dict] = {
    "looked often": {"activity": {"name": "viewed", "count": {"operator": "gte", "value": 3}, "window": {"days": 5}}},
    "never looked": {"activity": {"name": "viewed", "count": {"operator": "eq", "value": 0}}},
    "dear taste": {
        "activity": {
            "name": "viewed",
            "where": {"category": {"operator": "in", "value": ["books", "toys"]}},
            "avg": {"property": "price", "operator": "gt", "value": 40.5},
            "window": {"hours": 150},
        }
    },
    "many categories": {
        "activity": {"name": "viewed", "distinct": {"property": "category", "operator": "gte", "value": 3}}
    },
    "looked and bought": {
        "sequence": {"steps": [{"activity": {"name": "viewed"}}, {"order": {}}], "within": {"days": 1}}
    },
    "left the cart": {
        "sequence": {
            "steps": [{"activity": {"name": "cart_added"}}, {"order": {}, "not": True}],
            "within": {"hours": 30},
        }
    },
    "often but no cart leavers": {"member_of": "{looked often}", "not_member_of": "{left the cart}"},
}


def visits(customers: int, count: int, seed: int = 1) -> list[dict]:
    """Activities of the same customers, in the order of their timeline."""
    chance = random.Random(seed)
    found = []
    for number in range(count):
        name = chance.choice(["viewed", "viewed", "viewed", "cart_added"])
        properties = {"category": chance.choice(CATEGORIES), "price": chance.randrange(100, 9_000) / 100}
        at = START + chance.randrange(DAYS * 24 * 60) * instants.MINUTE
        found.append(
            {
                "specversion": "1.0",
                "id": f"visit-{seed}-{number}",
                "source": "/tests/shop",
                "type": "customer.activity",
                "time": instants.to_text(at),
                "data": {
                    "customer_id": f"c{chance.randrange(customers):04d}",
                    "name": name,
                    "properties": {key: value for key, value in properties.items() if chance.random() < 0.9},
                },
            }
        )
    return sorted(found, key=stamp)


def _event(chance: random.Random, number: int, orders: list[str]) -> tuple[str, dict]:
    roll = chance.random()
    if roll < 0.5 or not orders:
        orders.append(f"o{number}")
        category = chance.choice(CATEGORIES)
        item = {"product_id": f"p{chance.randrange(12)}", "category": category, "quantity": 1}
        return "order.placed", {
            "order_id": f"o{number}",
            "currency": "USD",
            "total": chance.randrange(100, 12_000) / 100,
            "items": [item],
        }
    order_id = chance.choice(orders)
    if roll < 0.58:
        return "order.updated", {"order_id": order_id, "total": chance.randrange(0, 20_000) / 100}
    if roll < 0.64:
        return "order.cancelled", {"order_id": order_id}
    if roll < 0.72:
        about = order_id if chance.random() < 0.7 else None
        return "order.refunded", {
            "refund_id": f"r{number}",
            "order_id": about,
            "currency": "USD",
            "amount": chance.randrange(100, 9_000) / 100,
        }
    if roll < 0.84:
        return "customer.logged_in", {}
    attributes = {
        "customer_type": chance.choice(["individual", "business", None]),
        "email_subscribed": chance.choice([True, False]),
        "location": {"country": chance.choice(["FR", "DE", "BR"])},
        "traits": {"tier": chance.choice(["gold", "silver", None])},
    }
    chosen = {name: value for name, value in attributes.items() if chance.random() < 0.6}
    return ("customer.registered" if roll < 0.94 else "customer.updated"), chosen
