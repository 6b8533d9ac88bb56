"""Short forms of events, for tables of cases; all of them are of ages before one instant, NOW."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from service.core import instants
from service.core.events.decode import Rules, decode
from service.core.events.model import Event

DAY = instants.DAY
NOW = instants.parse("2024-03-01T00:00:00Z")
RULES = Rules("EUR", 1_048_576, True)
ORDER = {"currency": "EUR", "total": 10, "items": [{"product_id": "p", "category": "k"}]}

#: (type, time before NOW, data); `id` and `sequence` may stand in the data.
Draft = tuple[str, int, dict[str, Any]]


def events_of(*drafts: Draft, customer: str = "c") -> list[Event]:
    """One customer's events."""
    found = []
    for line in lines_of(*drafts, customer=customer):
        event = decode(line, (), RULES, NOW + DAY)
        assert isinstance(event, Event), event
        found.append(event)
    return found


def lines_of(*drafts: Draft, customer: str = "c") -> list[bytes]:
    """One customer's events as they come from Kafka."""
    found = []
    for number, (kind, age, data) in enumerate(drafts):
        rest = dict(data)
        envelope = {"specversion": "1.0", "id": rest.pop("id", f"e{number}"), "type": kind}
        if "sequence" in rest:
            envelope["sequence"] = rest.pop("sequence")
        envelope |= {"time": instants.to_text(NOW - age), "data": {"customer_id": customer, **rest}}
        found.append(_exact(envelope))
    return found


def _exact(envelope: dict[str, Any]) -> bytes:
    """As JSON; a number in the form of Number keeps every digit."""
    numbers: list[str] = []

    def note(number: Number) -> str:
        numbers.append(number.text)
        return f"\ue000{len(numbers) - 1}\ue000"

    text = json.dumps(envelope, ensure_ascii=False, default=note)
    for place, number in enumerate(numbers):
        text = text.replace(f'"\ue000{place}\ue000"', number)
    return text.encode()


class Number:
    """A number as it stands in the JSON of an event: 1.0 is not 1, and no digit is lost."""

    def __init__(self, text: str) -> None:
        self.text = text


def placed(age: int, order_id: str = "o", **data: Any) -> Draft:
    """An order."""
    return "order.placed", age, {**ORDER, "order_id": order_id, **data}


def cancelled(age: int, order_id: str = "o") -> Draft:
    """The end of an order."""
    return "order.cancelled", age, {"order_id": order_id}


def refunded(age: int, amount: int, order_id: str | None = None) -> Draft:
    """The refund r."""
    return "order.refunded", age, {"refund_id": "r", "order_id": order_id, "currency": "EUR", "amount": amount}


def updated(**data: Any) -> Draft:
    """Attributes, a day ago."""
    return "customer.updated", DAY, data


def done(name: str, age: int = 0, **properties: Any) -> Draft:
    """An activity."""
    return "customer.activity", age, {"name": name, "properties": properties}


def each_done(ages: Iterable[tuple[str, int]]) -> list[Draft]:
    """Activities and, by the name `order`, orders, from (name, age)."""
    return [
        placed(age, f"o{number}") if name == "order" else done(name, age) for number, (name, age) in enumerate(ages)
    ]


def compare(operator: str, value: Any, **more: Any) -> dict[str, Any]:
    """A test object."""
    return {"operator": operator, "value": value, **more}


def between(low: Any, high: Any, **more: Any) -> dict[str, Any]:
    """A test object with two bounds."""
    return {"operator": "between", "min_value": low, "max_value": high, **more}
