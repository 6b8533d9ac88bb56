"""One customer's events in short forms, and what the reference interpreter says of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

from service.core import instants
from service.core.criteria.parse import parse_criteria, parse_leaves
from service.core.criteria.scalar import value_of, verdict
from service.core.events.decode import Rules, decode
from service.core.events.model import Event
from tests.lives import life_of

DAY, HOUR = instants.DAY, instants.HOUR
START = instants.parse("2024-03-01T00:00:00Z")
NOW = START + 100 * DAY
RULES = Rules("EUR", 1_048_576, True)
WITHIN = {"operator": "within_last", "days": 5}


def event(kind: str, at: int, event_id: str = "e", sequence: str | None = None, **data: Any) -> Event:
    """A decoded event of one customer; `at` is microseconds after START."""
    envelope = {"specversion": "1.0", "id": event_id, "type": kind, "time": instants.to_text(START + at)}
    if sequence is not None:
        envelope["sequence"] = sequence
    currency = {} if kind == "order.cancelled" or not kind.startswith("order.") else {"currency": "EUR"}
    raw = json.dumps({**envelope, "data": {"customer_id": "c", **currency, **data}}).encode()
    found = decode(raw, (), RULES, START + 10_000 * DAY)
    assert isinstance(found, Event), found
    return found


def placed(order: str, at: int, total: Any, *items: tuple[str, str | None], **more: Any) -> Event:
    """An order; items are (product, category)."""
    lines = [{"product_id": product, "category": category} for product, category in items]
    return event("order.placed", at, f"p-{order}-{at}", order_id=order, total=total, items=lines, **more)


def did(name: str, at: int, event_id: str | None = None, **properties: Any) -> Event:
    """An activity."""
    return event("customer.activity", at, event_id or f"{name}-{at}", name=name, properties=properties)


def holds(criteria: dict, *events: Event, at: int = 100 * DAY, members: Callable[[UUID], bool] = {}.get) -> bool:
    """The verdict, `at` microseconds after START."""
    return verdict(parse_criteria(criteria), life_of(events), START + at, members)


def shown(criteria: dict, *events: Event, at: int = 100 * DAY, members: Callable[[UUID], bool] = {}.get) -> Any:
    """The value of criteria with one condition."""
    (leaf,) = parse_leaves(criteria)[1]
    return value_of(leaf.criteria, life_of(events), START + at, members)


PERSON = event(
    "customer.registered",
    0,
    customer_type="business",
    email_subscribed=False,
    location={"country": "France", "city": "Lyon"},
    traits={"n": 5, "x": 1.5, "s": "b", "yes": True, "gone": None, "wide": 10**30},
)
