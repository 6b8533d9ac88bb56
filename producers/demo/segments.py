"""A dozen telling segments of the demo's data, created over the HTTP API as a user would create them."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any, Final, NamedTuple

BASE: Final = "/api/customer-segments"
PAGE: Final = 100
SECONDS_MAX: Final = 10

Criteria = dict[str, Any]

_NO_ORDER_FOR_21_DAYS: Final[Criteria] = {"last_order_date": {"operator": "more_than_ago", "days": 21}}


class DemoSegment(NamedTuple):
    """A segment to create."""

    name: str
    description: str
    criteria: Criteria


class ApiFailed(Exception):
    """The API did not do what the demo asked of it."""


def _at_least(value: int | str, days: int | None = None) -> Criteria:
    return {"operator": "gte", "value": value, **({} if days is None else {"window": {"days": days}})}


SEGMENTS: Final = (
    DemoSegment("Grocery loyalists", "8 or more baskets in 30 days", {"total_orders": _at_least(8, 30)}),
    DemoSegment("Big spenders", "$1,000 or more in 90 days", {"total_spent": _at_least("1000.00", 90)}),
    DemoSegment(
        "Big baskets",
        "$60 or more a basket on average, over at least 3 baskets in 90 days",
        {"average_order_value": _at_least("60.00", 90), "total_orders": _at_least(3, 90)},
    ),
    DemoSegment(
        "At risk",
        "4 or more baskets in 90 days, none of them in the last 21",
        {"total_orders": _at_least(4, 90), **_NO_ORDER_FOR_21_DAYS},
    ),
    DemoSegment(
        "Lapsed regulars",
        "10 or more baskets ever, none for 30 days",
        {"total_orders": _at_least(10), "last_order_date": {"operator": "more_than_ago", "days": 30}},
    ),
    DemoSegment(
        "Newcomers", "First seen within 90 days", {"registration_date": {"operator": "within_last", "days": 90}}
    ),
    DemoSegment(
        "Baby at home",
        "Diapers, baby food or formula within 60 days",
        {
            "purchased_categories": {
                "any": ["DIAPERS & DISPOSABLES", "BABY FOODS", "INFANT FORMULA"],
                "window": {"days": 60},
            }
        },
    ),
    DemoSegment(
        "Cat and dog owners",
        "Food for cats and food for dogs, both within 90 days",
        {"purchased_categories": {"all": ["CAT FOOD", "DOG FOODS"], "window": {"days": 90}}},
    ),
    DemoSegment(
        "Organic shoppers",
        "Organic fruit or vegetables within 30 days",
        {"purchased_categories": {"any": ["ORGANICS FRUIT & VEGETABLES"], "window": {"days": 30}}},
    ),
    DemoSegment(
        "No meat in the basket",
        "10 or more baskets, never beef, pork, chicken or lunch meat",
        {
            "total_orders": _at_least(10),
            "never_purchased_categories": ["BEEF", "PORK", "CHICKEN", "CHICKEN/POULTRY", "LUNCHMEAT", "FROZEN MEAT"],
        },
    ),
    DemoSegment(
        "Families who fill the cart",
        "Children at home and $300 or more in 30 days",
        {"traits": {"kids": {"operator": "in", "value": ["1", "2", "3+"]}}, "total_spent": _at_least("300.00", 30)},
    ),
    DemoSegment(
        "Room to grow",
        "Income of $75,000 or more, yet less than $200 spent in 90 days",
        {
            "traits": {
                "income": {
                    "operator": "in",
                    "value": ["75-99K", "100-124K", "125-149K", "150-174K", "175-199K", "200-249K", "250K+"],
                }
            },
            "total_spent": {"operator": "lt", "value": "200.00", "window": {"days": 90}},
        },
    ),
)


class SegmentsApi:
    """The few calls that the demo makes; each blocks."""

    def __init__(self, api_url: str, token: str) -> None:
        self._base = api_url.rstrip("/") + BASE
        self._token = token

    def call(self, method: str, path: str, body: object = None) -> Any:
        """Calls the API; gives `data` of the answer.

        Raises:
            ApiFailed: it refused, or is out of reach.
        """
        request = urllib.request.Request(  # noqa: S310 - our own API
            self._base + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=SECONDS_MAX) as answer:  # noqa: S310
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            msg = f"The API answered {error.code} to {method} {BASE}{path}: {error.read(500).decode(errors='replace')}"
            raise ApiFailed(msg) from None
        except (OSError, ValueError) as error:
            msg = f"The API is out of reach: {error}"
            raise ApiFailed(msg) from None

    def names(self) -> dict[str, str]:
        """Name -> id of every segment that there is."""
        found: dict[str, str] = {}
        page = 1
        while True:
            answer = self.call("GET", f"?limit={PAGE}&page={page}&sort_by=created_at&sort_order=asc")
            for one in answer["segments"]:
                found.setdefault(one["segment_name"], one["id"])
            if page * PAGE >= answer["total"]:
                return found
            page += 1


def create_segments(api: SegmentsApi) -> dict[str, str]:
    """Creates those that are missing, by name; gives id -> name of all of them, in the order above.

    Raises:
        ApiFailed: the API refused, or is out of reach.
    """
    known = api.names()
    for one in SEGMENTS:
        if one.name not in known:
            body = {"segment_name": one.name, "description": one.description, "criteria": one.criteria}
            known[one.name] = api.call("POST", "", body)["id"]
    return {known[one.name]: one.name for one in SEGMENTS}
