"""The contract read literally: membership at T as a function of the events up to T, without any incremental state.

Shares nothing with the service but the form of events and criteria. Slow and plain on purpose.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID, uuid5

from tests.oracle_values import (
    SPANS,
    comparable,
    date_passes,
    exact,
    figure_passes,
    is_number,
    micros,
    scalar_passes,
    span,
)
from tests.oracle_values import stamp as stamp

#: In tests the id of the segment with a key is uuid5(SPACE, key), as in tests/offline.py.
SPACE = UUID("00000000-0000-0000-0000-0000000000aa")
#: A change by hand: (instant, customer, segment's key, in or out; None takes the pin away).
Pin = tuple[int, str, str, bool | None]
FIGURES = ("count", "sum", "avg", "min", "max", "distinct")


def segment_id(key: str) -> str:
    """The id under which criteria name the segment with this key."""
    return str(uuid5(SPACE, key))


class Customer:
    """What is true of one customer given some of their events."""

    def __init__(self, events: Iterable[dict]) -> None:
        self.attributes: dict[str, Any] = {}
        self.registered = self.login = None
        self.activities: list[tuple[int, str, dict[str, Any]]] = []  # (at, name, properties that are there)
        orders: dict[str, dict] = {}
        refunds: dict[str, dict] = {}
        for event in sorted(events, key=stamp):
            data, at = event["data"], micros(event["time"])
            kind = event["type"]
            if kind in ("customer.registered", "customer.updated"):
                if kind == "customer.registered" and self.registered is None:
                    self.registered = at
                self._attributes(data)
            elif kind == "customer.logged_in":
                self.login = at
            elif kind == "customer.activity":
                found = {key: value for key, value in (data.get("properties") or {}).items() if value is not None}
                self.activities.append((at, data["name"], found))
            elif kind == "order.refunded":
                known = refunds.setdefault(data["refund_id"], {"at": at})
                amount = None if data["amount"] == "full" else Decimal(str(data["amount"]))
                known.update(order=data.get("order_id"), amount=amount)
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
        self._entries(orders, refunds)

    def _attributes(self, data: dict) -> None:
        """What is named changes; null makes missing: an attribute, one trait, or all of them."""
        for name in ("customer_type", "email_subscribed", "location"):
            if name in data:
                self.attributes[name] = data[name]
        if "traits" in data and data["traits"] is None:
            self.attributes = {key: value for key, value in self.attributes.items() if not key.startswith("traits.")}
        for key, value in (data.get("traits") or {}).items():
            self.attributes["traits." + key] = value

    def _entries(self, orders: dict[str, dict], refunds: dict[str, dict]) -> None:
        """Orders that count, with their refunds, and refunds without order."""
        self.entries = []  # (at, amount, orders, products, categories)
        for order_id, order in orders.items():
            if order["placed"] is None or order.get("cancelled") or order.get("test"):
                continue
            back = [refund["amount"] for refund in refunds.values() if refund["order"] == order_id]
            amount = Decimal(0) if None in back else order["total"] - sum(back, Decimal(0))
            products = {item["product_id"] for item in order["items"]}
            categories = {item.get("category") for item in order["items"]} - {None}
            self.entries.append((order["placed"], amount, 1, products, categories))
        for refund in refunds.values():
            if refund["order"] is None:
                self.entries.append((refund["at"], -refund["amount"], 0, set(), set()))

    def figures(self, at: int, window: int | None) -> tuple[int, Fraction]:
        """Orders and their net amount."""
        chosen = [one for one in self.entries if window is None or at - window < one[0] <= at]
        return sum(one[2] for one in chosen), Fraction(sum((one[1] for one in chosen), Decimal(0)))

    def instant(self, field: str) -> int | None:
        """Registration, latest order or latest login."""
        if field == "last_order_date":
            return max((one[0] for one in self.entries if one[2]), default=None)
        return self.registered if field == "registration_date" else self.login

    def did(self, source: dict) -> list[tuple[int, dict[str, Any]]]:
        """(instant, properties) of the activities with this name whose properties pass every test of `where`."""
        tests = source.get("where", {})
        return [
            (at, found)
            for at, name, found in self.activities
            if name == source["name"] and all(scalar_passes(found.get(key), test) for key, test in tests.items())
        ]

    def steps(self, step: dict) -> set[int]:
        """The instants at which a step of a sequence happened: an order that counts happens at its date."""
        if "order" in step:
            return {one[0] for one in self.entries if one[2]}
        return {at for at, _ in self.did(step["activity"])}


class World:
    """One customer at one instant among all definitions, which may ask for one another; `pins` by segment's key."""

    def __init__(self, customer: Customer, at: int, segments: dict[str, dict], pins: dict[str, bool]) -> None:
        self.customer = customer
        self.at = at
        self.segments = segments
        self.pins = pins
        self.keys = {UUID(segment_id(key)): key for key in segments}

    def is_member(self, key: str) -> bool:
        """A pin counts whatever the criteria say."""
        return self.pins[key] if key in self.pins else self.holds(self.segments[key])

    def holds(self, criteria: dict) -> bool:
        """Whether the customer satisfies criteria; a criteria object is the conjunction of its keys."""
        return all(self._key(key, value) for key, value in criteria.items())

    def _key(self, key: str, value: Any) -> bool:
        if key == "all":
            return all(self.holds(part) for part in value)
        if key == "any":
            return any(self.holds(part) for part in value)
        if key == "not":
            return not self.holds(value)
        if key in ("member_of", "not_member_of"):
            other = self.keys.get(UUID(value))  # what is not among the definitions has no members
            return (other is not None and self.is_member(other)) == (key == "member_of")
        if key == "activity":
            return self._activity(value)
        if key == "sequence":
            return self._sequence(value["steps"], span(value["within"]))
        if key in ("total_orders", "total_spent", "average_order_value"):
            return self._number(key, value)
        if key.startswith(("purchased_", "never_purchased_")):
            return self._purchases(key, value)
        if key.endswith("_date") or key == "last_login":
            return date_passes(self.customer.instant(key), value, self.at)
        return self._attribute(key, value)

    def _attribute(self, key: str, value: Any) -> bool:
        attributes = self.customer.attributes
        if key == "location":
            place = attributes.get("location") or {}
            parts = {"countries": "country", "states": "state", "cities": "city"}
            return all(place.get(parts[part]) in names for part, names in value.items())
        if key == "traits":
            return all(scalar_passes(attributes.get("traits." + name), test) for name, test in value.items())
        found = attributes.get(key)
        return found is not None and comparable(found) == comparable(value)

    def _number(self, key: str, test: dict) -> bool:
        orders, spent = self.customer.figures(self.at, span(test["window"]) if "window" in test else None)
        if key == "average_order_value":
            return orders > 0 and figure_passes(spent / orders, test)
        return figure_passes(Fraction(orders) if key == "total_orders" else spent, test)

    def _purchases(self, key: str, value: Any) -> bool:
        place = 3 if key == "purchased_products" else 4
        test = {"any": value} if isinstance(value, list) else value
        window = span(test["window"]) if "window" in test else None
        since = None if window is None else self.at - window
        chosen = [one for one in self.customer.entries if one[2] and (since is None or since < one[0] <= self.at)]
        held = set().union(*(one[place] for one in chosen)) if chosen else set()
        if key == "never_purchased_categories":
            return not held & set(value)
        return ("any" not in test or bool(held & set(test["any"]))) and ("all" not in test or set(test["all"]) <= held)

    def _activity(self, source: dict) -> bool:
        """A figure of what was done; without a figure: at least one."""
        done = self.customer.did(source)
        if "window" in source:
            done = [one for one in done if self.at - span(source["window"]) < one[0] <= self.at]
        figure = next((name for name in FIGURES if name in source), "count")
        test = source.get(figure, {"operator": "gte", "value": 1})
        if figure == "count":
            return figure_passes(Fraction(len(done)), test)
        values = [found[test["property"]] for _, found in done if test["property"] in found]
        if figure == "distinct":
            return figure_passes(Fraction(len({comparable(value) for value in values})), test)
        numbers = [exact(value) for value in values if is_number(value)]
        if figure == "sum":
            return figure_passes(sum(numbers, Fraction(0)), test)
        if not numbers:
            return False
        answers = {"avg": sum(numbers, Fraction(0)) / len(numbers), "min": min(numbers), "max": max(numbers)}
        return figure_passes(answers[figure], test)

    def _sequence(self, steps: list[dict], within: int) -> bool:
        """Whether it has ever happened: from any first instant on, some choice of instants passes every step."""
        told = [(bool(step.get("not")), self.customer.steps(step)) for step in steps]
        return any(self._goes_on(told[1:], at, at + within) for at in told[0][1])

    def _goes_on(self, told: list[tuple[bool, set[int]]], last: int, end: int) -> bool:
        """Whether the rest of the steps, each (is a not, its instants), passes after one that matched at `last`."""
        if not told:
            return True
        count = next((place for place, (is_not, _) in enumerate(told) if not is_not), len(told))
        avoided = set().union(*(instants for _, instants in told[:count]))
        if count == len(told):
            return self.at >= end and not any(last < other <= end for other in avoided)
        return any(
            last < at <= end
            and not any(last < other < at for other in avoided)
            and self._goes_on(told[count + 1 :], at, end)
            for at in told[count][1]
        )


def pins_at(pins: Iterable[Pin], customer_id: str, at: int) -> dict[str, bool]:
    """What this customer is pinned to at an instant, by segment's key; of two pins the later counts, None ends it."""
    mine = sorted((one for one in pins if one[1] == customer_id and one[0] <= at), key=lambda one: one[0])
    return {key: pin for key, pin in {one[2]: one[3] for one in mine}.items() if pin is not None}


def by_customer(events: Iterable[dict]) -> dict[str, list[dict]]:
    """The events of each customer, each id once; guests are nobody."""
    found: dict[str, dict[str, dict]] = {}
    for event in events:
        if event["data"]["customer_id"] is not None:
            found.setdefault(event["data"]["customer_id"], {})[event["id"]] = event
    return {customer_id: list(some.values()) for customer_id, some in found.items()}


def members_at(events: list[dict], segments: dict[str, dict], at: int, pins: Iterable[Pin] = ()) -> dict[str, set[str]]:
    """Members by segment at an instant."""
    found: dict[str, set[str]] = {key: set() for key in segments}
    for customer_id, some in by_customer(event for event in events if micros(event["time"]) <= at).items():
        world = World(Customer(some), at, segments, pins_at(pins, customer_id, at))
        for key in segments:
            if world.is_member(key):
                found[key].add(customer_id)
    return found


def spans_of(criteria: Any) -> set[int]:
    """Every span that criteria name, in microseconds: windows, ages, and what holds a sequence."""
    found: set[int] = set()
    if isinstance(criteria, dict):
        found |= {int(criteria[unit] * size) for unit, size in SPANS.items() if is_number(criteria.get(unit))}
        for value in criteria.values():
            found |= spans_of(value)
    elif isinstance(criteria, list):
        for value in criteria:
            found |= spans_of(value)
    return found


def transitions(
    events: list[dict], segments: dict[str, dict], until: int, pins: Iterable[Pin] = ()
) -> list[tuple[str, str, int, str]]:
    """(customer, segment, instant, joined|left), net of each instant, sorted: membership as a function of time.

    Time alone changes something only at t + span, t being the instant of an event and span one that criteria name.
    """
    spans = set().union(*(spans_of(criteria) for criteria in segments.values())) if segments else set()
    found = []
    for customer_id, some in by_customer(events).items():
        times = {micros(event["time"]) for event in some}
        first = min(times)
        edges = {t + span for t in times for span in spans} | {pin[0] for pin in pins if pin[1] == customer_id}
        was: dict[str, bool] = dict.fromkeys(segments, False)
        for at in sorted(at for at in times | edges if first <= at <= until):
            known = Customer(event for event in some if micros(event["time"]) <= at)
            world = World(known, at, segments, pins_at(pins, customer_id, at))
            for key in segments:
                now = world.is_member(key)
                if now != was[key]:
                    found.append((customer_id, key, at, "joined" if now else "left"))
                    was[key] = now
    return sorted(found)
