"""Decoded events as the facts of the reference interpreter, as stored rows give them too."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec import UNSET, to_builtins

from service.core.criteria.scalar_facts import (
    ActivityFact,
    AttributesFact,
    Fact,
    Life,
    MomentFact,
    OrderFact,
    RefundFact,
    Stamp,
)
from service.core.events.model import (
    Activity,
    CustomerData,
    Event,
    OrderCancelled,
    OrderPlaced,
    OrderRefunded,
    OrderUpdated,
    Registered,
)


def life_of(events: Iterable[Event]) -> Life:
    """The life that these events of one customer tell."""
    return Life(map(fact_of_event, events))


def fact_of_event(event: Event) -> Fact:
    """What one event says."""
    data, stamp = event.data, Stamp(*event.stamp)
    if isinstance(data, CustomerData):
        return AttributesFact(stamp, isinstance(data, Registered), _values(data, event))
    if isinstance(data, Activity):
        return ActivityFact(stamp, data.name, event.scalars or {})
    if isinstance(data, OrderRefunded):
        return RefundFact(stamp, data.refund_id, data.order_id, event.minor_units)
    if isinstance(data, OrderCancelled):
        return OrderFact(stamp, data.order_id, "cancelled")
    if isinstance(data, OrderPlaced | OrderUpdated):
        lines = None if data.items is None else [(item.product_id, item.category) for item in data.items]
        kind, is_test = event.type.removeprefix("order."), isinstance(data, OrderPlaced) and data.test is True
        return OrderFact(stamp, data.order_id, kind, event.minor_units, lines, is_test)
    return MomentFact(stamp, event.type.removeprefix("customer."))


def _values(data: CustomerData, event: Event) -> dict[str, Any]:
    names = ("customer_type", "email_subscribed", "location")
    found = {name: to_builtins(getattr(data, name)) for name in names if getattr(data, name) is not UNSET}
    return found if data.traits is UNSET else {**found, "traits": event.scalars}
