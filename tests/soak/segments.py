"""What the soak's shop is asked: segments of every kind of criterion, with windows of minutes, so that time acts."""

from __future__ import annotations

import json
from collections.abc import Mapping

MINUTE = {"minutes": 1}
MINUTES = {"minutes": 2}

#: By name; `{name}` stands for the id of the segment of that name, which comes before.
SEGMENTS: dict[str, dict] = {
    "everybody": {},
    "recent": {"last_order_date": {"operator": "within_last", **MINUTE}},
    "lapsed": {
        "all": [
            {"total_orders": {"operator": "gte", "value": 2}},
            {"last_order_date": {"operator": "more_than_ago", **MINUTE}},
        ]
    },
    "frequent": {"total_orders": {"operator": "gte", "value": 3, "window": MINUTES}},
    "big spenders": {"total_spent": {"operator": "gte", "value": 150, "window": MINUTE}},
    "big basket": {"average_order_value": {"operator": "gt", "value": 55.5}},
    "in debt": {"total_spent": {"operator": "lt", "value": 0}},
    "never ordered": {"total_orders": {"operator": "eq", "value": 0}},
    "readers": {"purchased_categories": ["books"]},
    "no games": {"never_purchased_categories": ["games", "toys"]},
    "fresh gardeners": {"purchased_categories": {"all": ["garden"], "window": MINUTE}},
    "product p7": {"purchased_products": {"any": ["p7"]}},
    "french": {"location": {"countries": ["FR"]}},
    "opted in": {"email_subscribed": True},
    "gold or business": {
        "any": [{"traits": {"tier": {"operator": "eq", "value": "gold"}}}, {"customer_type": "business"}]
    },
    "browsing not buying": {
        "all": [
            {"last_login": {"operator": "within_last", **MINUTES}},
            {"total_orders": {"operator": "eq", "value": 0, "window": MINUTE}},
        ]
    },
    "new": {"registration_date": {"operator": "within_last", **MINUTE}},
    "looked often": {"activity": {"name": "viewed", "count": {"operator": "gte", "value": 3}, "window": MINUTES}},
    "never looked": {"activity": {"name": "viewed", "count": {"operator": "eq", "value": 0}}},
    "dear taste": {
        "activity": {
            "name": "viewed",
            "where": {"category": {"operator": "in", "value": ["books", "toys"]}},
            "avg": {"property": "price", "operator": "gt", "value": 40.5},
            "window": MINUTE,
        }
    },
    "many categories": {
        "activity": {"name": "viewed", "distinct": {"property": "category", "operator": "gte", "value": 3}}
    },
    "looked and bought": {"sequence": {"steps": [{"activity": {"name": "viewed"}}, {"order": {}}], "within": MINUTE}},
    "left the cart": {
        "sequence": {
            "steps": [{"activity": {"name": "cart_added"}}, {"order": {}, "not": True}],
            "within": MINUTE,
        }
    },
    "often but no cart leavers": {"member_of": "{looked often}", "not_member_of": "{left the cart}"},
    # What the probes turn on and off, and what time ends for them.
    "probe": {"traits": {"probe": {"operator": "eq", "value": "on"}}},
    "probe by time": {"activity": {"name": "probed", "window": MINUTE}},
}


def with_ids(criteria: dict, ids: Mapping[str, str]) -> dict:
    """Criteria with the ids of other segments put in."""
    text = json.dumps(criteria)
    for name, segment_id in ids.items():
        text = text.replace("{" + name + "}", segment_id)
    return json.loads(text)
