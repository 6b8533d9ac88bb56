"""Criteria of every kind, and a shop for which most of them hold for some and not for all."""

from __future__ import annotations

import json
from typing import Any

from service.core import instants
from tests import shop
from tests.drafts import between, compare

NOW = shop.START + shop.DAYS * instants.DAY
CUSTOMERS = 60
WINDOW = {"window": {"days": 40}}
WIDE = {"window": {"days": 36_500}}
VIEWED = {"name": "viewed"}


#: What it asks -> criteria; "{readers}" and "{listed}" stand for the ids of segments.
CASES: dict[str, dict[str, Any]] = {
    **shop.SEGMENTS,
    "few orders": {"total_orders": compare("lte", 4)},
    "orders between": {"total_orders": between(3, 5.5)},
    "orders in a window": {"total_orders": compare("gt", 1, **WINDOW)},
    "no orders in a window": {"total_orders": compare("eq", 0, **WINDOW)},
    "orders ever, by a window": {"total_orders": compare("gte", 6, **WIDE)},
    "spent between": {"total_spent": between("100.50", 300)},
    "spent in a window": {"total_spent": compare("gte", 90, **WINDOW)},
    "spent ever, by a window": {"total_spent": compare("gte", 300, **WIDE)},
    "in debt in a window": {"total_spent": compare("lt", 0, **WINDOW)},
    "average": {"average_order_value": compare("lte", "61.2345")},
    "average in a window": {"average_order_value": between(40, 70, **WINDOW)},
    "two windows": {
        "total_spent": compare("gte", 60, window={"days": 20}),
        "total_orders": compare("lt", 4, window={"days": 90}),
    },
    "registered before": {"registration_date": {"operator": "before", "date": "2024-02-20"}},
    "registered long ago": {"registration_date": {"operator": "more_than_ago", "days": 60}},
    "ordered between": {
        "last_order_date": {"operator": "between", "start_date": "2024-03-20", "end_date": "2024-04-05"}
    },
    "never ordered or long ago": {"not": {"last_order_date": {"operator": "within_last", "hours": 800}}},
    "login after": {"last_login": {"operator": "after", "date": "2024-03-20T12:00:00+02:00"}},
    "business": {"customer_type": "business"},
    "no e-mail": {"email_subscribed": False},
    "not known to take e-mail": {"not": {"email_subscribed": True}},
    "two countries": {"location": {"countries": ["FR", "BR"]}},
    "no city": {"location": {"cities": ["Paris"]}},
    "tier is not gold": {"traits": {"tier": compare("ne", "gold")}},
    "tier in": {"traits": {"tier": {"operator": "in", "value": ["gold", 5, True]}}},
    "tier exists": {"traits": {"tier": {"operator": "exists"}}},
    "tier is missing": {"traits": {"tier": {"operator": "exists", "value": False}}},
    "tier contains": {"traits": {"tier": compare("contains", "il")}},
    "tier is ordered": {"traits": {"tier": compare("lt", "h")}},
    "points": {"traits": {"points": between(3, 10)}},
    "any product": {"purchased_products": ["p1", "p2"]},
    "all products": {"purchased_products": {"all": ["p1", "p2"]}},
    "all products twice": {"purchased_products": {"all": ["p1", "p1"], "any": ["p3", "p4"]}},
    "all products in a window": {"purchased_products": {"all": ["p1", "p2"], "window": {"days": 60}}},
    "all of two windows": {
        "all": [
            {"purchased_categories": {"all": ["books", "toys"], "window": {"days": 60}}},
            {"purchased_categories": {"all": ["books", "games"], "window": {"days": 80}}},
        ]
    },
    "any category in a window": {"purchased_categories": {"any": ["toys"], **WINDOW}},
    "any and all": {"purchased_categories": {"any": ["toys", "games"], "all": ["books"], **WIDE}},
    "unknown product": {"purchased_products": ["nothing"]},
    "never two categories": {"never_purchased_categories": ["books", "toys"]},
    "viewed": {"activity": VIEWED},
    "viewed lately": {"activity": {**VIEWED, **WINDOW}},
    "never viewed": {"activity": {**VIEWED, "count": compare("eq", 0)}},
    "viewed by phone": {
        "activity": {**VIEWED, "where": {"device": compare("eq", "phone")}, "count": compare("gte", 2)}
    },
    "seconds": {"activity": {**VIEWED, "sum": compare("gte", 300, property="seconds")}},
    "seconds on average": {"activity": {**VIEWED, "avg": between(20, 120, property="seconds"), **WINDOW}},
    "products viewed": {"activity": {**VIEWED, "distinct": compare("gte", 7, property="product")}},
    "viewed then bought": {
        "sequence": {"steps": [{"activity": VIEWED}, {"order": {}}], "within": {"days": 5}},
    },
    "viewed and not bought": {
        "sequence": {"steps": [{"activity": VIEWED}, {"order": {}, "not": True}], "within": {"days": 9}},
    },
    "bought twice": {"sequence": {"steps": [{"order": {}}, {"order": {}}], "within": {"days": 3}}},
    "two sequences": {
        "any": [
            {"sequence": {"steps": [{"activity": VIEWED}, {"order": {}}], "within": {"hours": 20}}},
            {"sequence": {"steps": [{"order": {}}, {"activity": VIEWED}], "within": {"hours": 20}}},
        ]
    },
    "member of": {"member_of": "{readers}"},
    "not member of": {"not_member_of": "{readers}", "total_orders": compare("gte", 3)},
    "member of a list": {"member_of": "{listed}"},
    "member of a draft": {"member_of": "{draft}"},
    "not member of a draft": {"not_member_of": "{draft}"},
    "all of it": {
        "any": [
            {"all": [{"customer_type": "business"}, {"total_spent": compare("gt", 20, **WINDOW)}]},
            {"not": {"any": [{"purchased_categories": ["toys"]}, {"activity": VIEWED}, {"member_of": "{readers}"}]}},
            {"last_login": {"operator": "within_last", "days": 30}, "traits": {"tier": compare("eq", "gold")}},
        ]
    },
}


def history() -> list[bytes]:
    """A shop's events, and activities of its customers; some of them do nothing else, and one is gone."""
    found = shop.events(CUSTOMERS, 900, seed=3)
    for number in range(400):
        customer = f"c{number**2 % (CUSTOMERS + 5):04d}"
        at = shop.START + number * 389 % (shop.DAYS * 24) * instants.HOUR
        properties = {"device": ("phone", "desk")[number % 2], "seconds": number % 150, "product": f"p{number % 11}"}
        data = {"customer_id": customer, "name": ("viewed", "searched")[number % 3 // 2], "properties": properties}
        envelope = {"specversion": "1.0", "id": f"a{number}", "type": "customer.activity", "source": "/t"}
        found.append({**envelope, "time": instants.to_text(at), "data": data})
    points = {"customer_id": "c0001", "traits": {"points": 5}}
    for kind, data in (("customer.updated", points), ("customer.deleted", {"customer_id": "c0002"})):
        envelope = {"specversion": "1.0", "id": kind, "type": kind, "source": "/t"}
        found.append({**envelope, "time": instants.to_text(NOW - instants.DAY), "data": data})
    return [json.dumps(event).encode() for event in found]
