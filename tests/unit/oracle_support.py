"""Short forms of events at instants after START and of criteria, to ask the oracle by."""

from __future__ import annotations

from typing import Any

from service.core import instants
from tests import oracle

START = instants.parse("2024-01-01T00:00:00Z")
HOUR = instants.HOUR
DAY = instants.DAY
NEVER = 10_000 * HOUR
ORDER: dict = {"order": {}}
NO_ORDER: dict = {"order": {}, "not": True}
WINDOW = {"window": {"days": 1}}

Draft = tuple[str, int, dict[str, Any]]


def did(at: int, name: str, **properties: Any) -> Draft:
    """An activity."""
    return "customer.activity", at, {"name": name, "properties": properties}


def placed(at: int, order_id: str = "o1", **more: Any) -> Draft:
    """An order."""
    return "order.placed", at, {"order_id": order_id, "currency": "USD", "total": "10", **more}


def cancelled(at: int, order_id: str = "o1") -> Draft:
    """The end of an order."""
    return "order.cancelled", at, {"order_id": order_id}


def updated(at: int, **data: Any) -> Draft:
    """Attributes."""
    return "customer.updated", at, data


def events_of(drafts: list[Draft]) -> list[dict]:
    """One customer's events at so many microseconds after START."""
    return [
        {
            "id": f"e{number}",
            "type": kind,
            "time": instants.to_text(START + at),
            "data": {"customer_id": "ann", **data},
        }
        for number, (kind, at, data) in enumerate(drafts)
    ]


def figure(name: str, operator: str, value: Any, **more: Any) -> dict:
    """A figure of what was seen."""
    test = {"operator": operator, "value": value}
    if name != "count":
        test["property"] = "n"
    return {"activity": {"name": "seen", name: test, **more}}


def seen(*values: Any) -> list[Draft]:
    """Activities an hour apart, each with a property n."""
    return [did(number * HOUR, "seen", n=value) for number, value in enumerate(values)]


def a(name: str, **test: Any) -> dict:
    """A step that happens; a test of the property n may follow."""
    return {"activity": {"name": name, **({"where": {"n": test}} if test else {})}}


def no(name: str, **test: Any) -> dict:
    """A step that must not happen."""
    return {**a(name, **test), "not": True}


def sequence(*steps: dict, **within: int) -> dict:
    """A sequence; a day unless something else is named."""
    return {"sequence": {"steps": list(steps), "within": within or {"days": 1}}}


def holds(drafts: list[Draft], criteria: dict, at: int) -> bool:
    """Whether by the oracle the criteria hold at this instant after START, and for nobody but the one customer."""
    members = oracle.members_at(events_of(drafts), {"s0": criteria}, START + at)
    assert members in ({"s0": {"ann"}}, {"s0": set()}), members
    return bool(members["s0"])
