"""The contract read literally: membership at T as a function of the events up to T, without any incremental state.

Shares nothing with the service but the form of events and criteria. Slow and plain on purpose.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SPANS = {"days": 86_400_000_000, "hours": 3_600_000_000, "minutes": 60_000_000}


def micros(text: str) -> int:
    """Microseconds of an RFC 3339 text."""
    return (datetime.fromisoformat(text) - EPOCH) // timedelta(microseconds=1)


def stamp(event: dict) -> tuple:
    """Ties go by sequence, missing first, then id."""
    return (micros(event["time"]), event.get("sequence") is not None, event.get("sequence") or "", event["id"])


class Customer:
    """What is true of one customer given some of their events."""

    def __init__(self, events: Iterable[dict]) -> None:
        self.attributes: dict[str, Any] = {}
        self.registered = self.login = None
        orders: dict[str, dict] = {}
        refunds: dict[str, dict] = {}
        self.exists = False
        for event in sorted(events, key=stamp):
            self.exists = True
            data, at = event["data"], micros(event["time"])
            kind = event["type"]
            if kind in ("customer.registered", "customer.updated"):
                if kind == "customer.registered" and self.registered is None:
                    self.registered = at
                for name in ("customer_type", "email_subscribed", "location"):
                    if name in data:
                        self.attributes[name] = data[name]
                for key, value in (data.get("traits") or {}).items():
                    self.attributes["traits." + key] = value
            elif kind == "customer.logged_in":
                self.login = at
            elif kind == "order.refunded":
                known = refunds.setdefault(data["refund_id"], {"at": at})
                known.update(order=data.get("order_id"), amount=Decimal(str(data["amount"])))
            elif kind.startswith("order."):
                order = orders.setdefault(data["order_id"], {"placed": None, "total": Decimal(0), "items": []})
                if kind == "order.cancelled":
                    order["cancelled"] = True
                if kind == "order.placed":
                    order["placed"] = at if order["placed"] is None else order["placed"]
                    order["test"] = order.get("test") or data.get("test")
                if data.get("total") is not None:
                    order["total"] = Decimal(str(data["total"]))
                if data.get("items") is not None:
                    order["items"] = data["items"]
        self.entries = []  # (at, amount, orders, products, categories)
        for order_id, order in orders.items():
            if order["placed"] is None or order.get("cancelled") or order.get("test"):
                continue
            amount = order["total"] - sum((r["amount"] for r in refunds.values() if r["order"] == order_id), Decimal(0))
            products = {item["product_id"] for item in order["items"]}
            categories = {item.get("category") for item in order["items"]} - {None}
            self.entries.append((order["placed"], amount, 1, products, categories))
        for refund in refunds.values():
            if refund["order"] is None:
                self.entries.append((refund["at"], -refund["amount"], 0, set(), set()))

    def figures(self, at: int, window: int | None) -> tuple[int, Decimal]:
        """Orders and their net amount."""
        chosen = [one for one in self.entries if window is None or at - window < one[0] <= at]
        return sum(one[2] for one in chosen), sum((one[1] for one in chosen), Decimal(0))

    def instant(self, field: str) -> int | None:
        """Registration, latest order or latest login."""
        if field == "last_order_date":
            return max((one[0] for one in self.entries if one[2]), default=None)
        return self.registered if field == "registration_date" else self.login


def holds(criteria: dict, customer: Customer, at: int) -> bool:
    """Whether a customer satisfies criteria at an instant; a criteria object is the conjunction of its keys."""
    return all(_key(key, value, customer, at) for key, value in criteria.items())


def _key(key: str, value: Any, customer: Customer, at: int) -> bool:
    if key == "all":
        return all(holds(part, customer, at) for part in value)
    if key == "any":
        return any(holds(part, customer, at) for part in value)
    if key == "not":
        return not holds(value, customer, at)
    if key in ("customer_type", "email_subscribed"):
        found = customer.attributes.get(key)
        return found is not None and type(found) is type(value) and found == value
    if key == "location":
        place = customer.attributes.get("location") or {}
        parts = {"countries": "country", "states": "state", "cities": "city"}
        return all(place.get(parts[part]) in names for part, names in value.items())
    if key == "traits":
        return all(_trait(customer.attributes.get("traits." + name), test) for name, test in value.items())
    if key.endswith("_date") or key == "last_login":
        return _date(customer.instant(key), value, at)
    if key in ("total_orders", "total_spent", "average_order_value"):
        return _number(key, value, customer, at)
    return _purchases(key, value, customer, at)


def _span(test: dict) -> int:
    return next(test[unit] * size for unit, size in SPANS.items() if unit in test)


def _date(found: int | None, test: dict, at: int) -> bool:
    if found is None:
        return False
    operator = test["operator"]
    if operator == "within_last":
        return at - _span(test) < found <= at
    if operator == "more_than_ago":
        return found <= at - _span(test)

    def edges(text: str) -> tuple[int, int]:
        if len(text) == 10:
            first = micros(text + "T00:00:00Z")
            return first, first + SPANS["days"] - 1
        return micros(text), micros(text)

    if operator == "between":
        return edges(test["start_date"])[0] <= found <= edges(test["end_date"])[1]
    first, last = edges(test["date"])
    return found < first if operator == "before" else found > last


def _number(key: str, test: dict, customer: Customer, at: int) -> bool:
    orders, spent = customer.figures(at, _span(test["window"]) if "window" in test else None)
    if key == "average_order_value":
        if not orders:
            return False
        left, scale = spent, Decimal(orders)
    else:
        left, scale = (Decimal(orders) if key == "total_orders" else spent), Decimal(1)

    def bound(name: str) -> Decimal:
        return Decimal(str(test[name])) * scale

    operator = test["operator"]
    if operator == "between":
        return bound("min_value") <= left <= bound("max_value")
    value = bound("value")
    answers = {"eq": left == value, "gt": left > value, "gte": left >= value, "lt": left < value, "lte": left <= value}
    return answers[operator]


def _purchases(key: str, value: Any, customer: Customer, at: int) -> bool:
    place = 3 if key == "purchased_products" else 4
    test = {"any": value} if isinstance(value, list) else value
    window = _span(test["window"]) if "window" in test else None
    chosen = [one for one in customer.entries if one[2] and (window is None or at - window < one[0] <= at)]
    held = set().union(*(one[place] for one in chosen)) if chosen else set()
    if key == "never_purchased_categories":
        return not held & set(value)
    return ("any" not in test or bool(held & set(test["any"]))) and ("all" not in test or set(test["all"]) <= held)


def _trait(found: Any, test: dict) -> bool:
    operator = test["operator"]
    if operator == "exists":
        return (found is not None) == test.get("value", True)
    if found is None:
        return False

    def same(left: Any, right: Any) -> bool:
        kinds = [("bool" if isinstance(x, bool) else "text" if isinstance(x, str) else "number") for x in (left, right)]
        return kinds[0] == kinds[1]

    def exact(value: Any) -> Any:
        return Decimal(str(value)) if isinstance(value, float) else value

    found = exact(found)
    if operator == "between":
        low, high = exact(test["min_value"]), exact(test["max_value"])
        return same(found, low) and same(found, high) and not isinstance(found, bool) and low <= found <= high
    value = test["value"]
    if operator == "in":
        return any(same(found, one) and found == exact(one) for one in value)
    if operator == "contains":
        return isinstance(found, str) and value in found
    value = exact(value)
    is_equal = same(found, value) and found == value
    if operator in ("eq", "ne"):
        return is_equal == (operator == "eq")
    if not same(found, value) or isinstance(found, bool):
        return False
    return {"gt": found > value, "gte": found >= value, "lt": found < value, "lte": found <= value}[operator]


def members_at(events: list[dict], segments: dict[str, dict], at: int) -> dict[str, set[str]]:
    """Members by segment at an instant, each event id once."""
    by_customer: dict[str, dict[str, dict]] = {}
    for event in events:
        customer_id = event["data"]["customer_id"]
        if customer_id is not None and micros(event["time"]) <= at:
            by_customer.setdefault(customer_id, {})[event["id"]] = event
    found: dict[str, set[str]] = {key: set() for key in segments}
    for customer_id, some in by_customer.items():
        customer = Customer(some.values())
        for key, criteria in segments.items():
            if holds(criteria, customer, at):
                found[key].add(customer_id)
    return found


def spans_of(criteria: Any) -> set[int]:
    """Every span that criteria name, in microseconds."""
    found = set()
    if isinstance(criteria, dict):
        found |= {criteria[unit] * size for unit, size in SPANS.items() if isinstance(criteria.get(unit), int)}
        for value in criteria.values():
            found |= spans_of(value)
    elif isinstance(criteria, list):
        for value in criteria:
            found |= spans_of(value)
    return found


def transitions(events: list[dict], segments: dict[str, dict], until: int) -> list[tuple[str, str, int, str]]:
    """(customer, segment, instant, joined|left), net of each instant, sorted: membership as a function of time."""
    spans = set().union(*(spans_of(criteria) for criteria in segments.values())) if segments else set()
    by_customer: dict[str, dict[str, dict]] = {}
    for event in events:
        if event["data"]["customer_id"] is not None:
            by_customer.setdefault(event["data"]["customer_id"], {})[event["id"]] = event
    found = []
    for customer_id, some in by_customer.items():
        times = {micros(event["time"]) for event in some.values()}
        first = min(times)
        looks = sorted(at for at in times | {t + span for t in times for span in spans} if first <= at <= until)
        was: dict[str, bool] = dict.fromkeys(segments, False)
        for at in looks:
            customer = Customer(event for event in some.values() if micros(event["time"]) <= at)
            for key, criteria in segments.items():
                now = holds(criteria, customer, at)
                if now != was[key]:
                    found.append((customer_id, key, at, "joined" if now else "left"))
                    was[key] = now
    return sorted(found)
