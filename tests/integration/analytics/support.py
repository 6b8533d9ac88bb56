"""Worlds in a database: events by the hot path, stays as rows; and the answers of the service."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import text

from service.adapters.postgres.analytics import analytics_store
from service.adapters.postgres.database import Database
from service.app.analytics import Question, analytics, analytics_data, zone_of
from service.core.identity import customer_uuid
from service.core.instants import to_datetime
from tests.analytics_oracle import Stay
from tests.facts import Service

_SEGMENT = """
INSERT INTO customer_segments
    (id, segment_name, segment_type, status, criteria, version, introduced, since, is_kept, backfill_state, created_by)
VALUES (:id, :name, :type, 'active', '{}', 1, 1, 0, false, 'none', 't')
"""
_STAY = """
INSERT INTO customer_segment_memberships
    (customer_id, segment_id, ordinal, joined_at, left_at, membership_source, segment_version)
VALUES (:customer_id, :segment_id, :ordinal, :joined_at, :left_at, 'event', 1)
"""


async def world(database: Database, events: Iterable[dict], clock: int, currency: str = "USD") -> Service:
    """The events by the hot path, in the order given."""
    service = Service(database, currency)
    await service.take([json.dumps(one).encode() for one in events], clock)
    return service


async def add_segment(database: Database, stays: Iterable[Stay], name: str = "S", segment_type: str = "static") -> UUID:
    """A segment with these stays."""
    segment_id = uuid4()
    rows = [
        {
            "customer_id": customer_uuid(customer),
            "segment_id": segment_id,
            "ordinal": 2 * place + 1,
            "joined_at": to_datetime(joined),
            "left_at": None if left is None else to_datetime(left),
        }
        for place, (customer, joined, left) in enumerate(stays)
    ]
    async with database.transaction() as connection:
        await connection.execute(text(_SEGMENT), {"id": segment_id, "name": name, "type": segment_type})
        if rows:
            await connection.execute(text(_STAY), rows)
    return segment_id


async def told(database: Database, segment_id: UUID, at: int, zone: str = "UTC", **asked: Any) -> dict[str, Any]:
    """The figures of the service."""
    is_live = asked.pop("is_live", False)
    question = Question(segment_id, at, is_live, zone=zone_of(zone), zone_name=zone, **asked)
    async with analytics_store(database, 60, "TESTS", is_live=is_live) as store:
        return analytics_data(await analytics(store, question))


def comparable(found: dict[str, Any], expected: dict[str, Any]) -> dict[str, Any]:
    """What the service said under the names that the oracle knows, in the oracle's forms."""
    chosen = {name: found[name] for name in expected}
    chosen["customer_growth_trend"] = [(one["date"], one["count"]) for one in found["customer_growth_trend"]]
    chosen["revenue_trend"] = [(one["date"], Decimal(one["amount"])) for one in found["revenue_trend"]]
    return {name: Decimal(one) if isinstance(one, str) else one for name, one in chosen.items()}


def order(customer: str | None, order_id: str, at: str, total: object, **more: Any) -> dict[str, Any]:
    """An order.placed."""
    data = {"order_id": order_id, "currency": "USD", "total": total, **more}
    return event("order.placed", customer, f"placed-{order_id}", at, data)


def event(kind: str, customer: str | None, event_id: str, at: str, data: dict[str, Any]) -> dict[str, Any]:
    """An event as it comes."""
    envelope = {"specversion": "1.0", "id": event_id, "source": "/tests", "type": kind, "time": at}
    return {**envelope, "data": {"customer_id": customer, **data}}


def refund(customer: str | None, order_id: str | None, at: str, amount: object, refund_id: str = "") -> dict[str, Any]:
    """An order.refunded."""
    name = refund_id or f"refund-{order_id}"
    data = {"refund_id": name, "order_id": order_id, "currency": "USD", "amount": amount}
    return event("order.refunded", customer, f"{name}-{at}", at, data)


def cancellation(customer: str | None, order_id: str, at: str) -> dict[str, Any]:
    """An order.cancelled."""
    return event("order.cancelled", customer, f"cancelled-{order_id}", at, {"order_id": order_id})


def days(told_days: Sequence[dict[str, Any]], name: str) -> dict[str, Any]:
    """A trend by date."""
    return {one["date"]: one[name] for one in told_days}
