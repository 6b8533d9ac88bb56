"""What app.explain reads of one customer, on a connection in one snapshot."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from service.adapters.postgres.segments import PostgresSegments
from service.app.explain import Standing, Stay
from service.app.segments import Segment
from service.core.criteria.scalar_facts import (
    ActivityFact,
    AttributesFact,
    Fact,
    MomentFact,
    OrderFact,
    RefundFact,
    Stamp,
    stamp_of,
)
from service.core.instants import from_datetime

#: A tombstone; and whether anything stands under this id: a profile, or a pin or membership of an id without events.
_STANDING: Final = text("""
SELECT EXISTS (SELECT FROM erasures WHERE customer_id = :customer_id),
    EXISTS (SELECT FROM profiles WHERE customer_id = :customer_id)
    OR EXISTS (SELECT FROM pins WHERE customer_id = :customer_id)
    OR EXISTS (SELECT FROM customer_segment_memberships WHERE customer_id = :customer_id),
    EXISTS (SELECT FROM profiles WHERE customer_id = :customer_id AND is_over_limit)
""")
#: The latest stay; a stay that is still going on is always the latest.
_STAY: Final = text("""
SELECT joined_at, left_at FROM customer_segment_memberships
WHERE customer_id = :customer_id AND segment_id = :segment_id
ORDER BY ordinal DESC LIMIT 1
""")
_PINS: Final = text("SELECT segment_id, is_included FROM pins WHERE customer_id = :customer_id")

_ORDERS: Final = text("""
SELECT time, sequence, event_id, order_id, kind, total, CAST(items AS text), is_test FROM order_facts
WHERE customer_id = :customer_id LIMIT :rows_max
""")
_REFUNDS: Final = text("""
SELECT time, sequence, event_id, refund_id, order_id, amount FROM refunds
WHERE customer_id = :customer_id LIMIT :rows_max
""")
_CUSTOMER_FACTS: Final = text("""
SELECT time, sequence, event_id, kind, CAST(data AS text) FROM customer_facts
WHERE customer_id = :customer_id LIMIT :rows_max
""")
#: The first activity stands for all those of other names: it may be what the customer exists by.
_ACTIVITIES: Final = text("""
SELECT time, sequence, event_id, name, CAST(properties AS text) FROM activities
WHERE customer_id = :customer_id AND (
    name = ANY(CAST(:names AS text[]))
    OR time = (SELECT min(time) FROM activities WHERE customer_id = :customer_id)
) LIMIT :rows_max
""")


class PostgresExplain:
    """The statements of app.explain.ExplainStore."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def standing(self, customer_id: UUID) -> Standing:
        """See ExplainStore."""
        row = (await self._connection.execute(_STANDING, {"customer_id": customer_id})).one()
        return Standing(*row)

    async def stay(self, customer_id: UUID, segment_id: UUID) -> Stay | None:
        """See ExplainStore."""
        values = {"customer_id": customer_id, "segment_id": segment_id}
        row = (await self._connection.execute(_STAY, values)).one_or_none()
        return None if row is None else Stay(*row)

    async def pins(self, customer_id: UUID) -> Mapping[UUID, bool]:
        """See ExplainStore."""
        return {row[0]: row[1] for row in await self._connection.execute(_PINS, {"customer_id": customer_id})}

    async def get(self, segment_id: UUID) -> Segment | None:
        """See ExplainStore."""
        return await PostgresSegments(self._connection).get(segment_id)

    async def facts(self, customer_id: UUID, activity_names: Collection[str], facts_max: int) -> list[Fact]:
        """See ExplainStore."""
        values = {"customer_id": customer_id, "rows_max": facts_max + 1}
        named = {**values, "names": sorted(activity_names)}
        execute = self._connection.execute
        found: list[Fact] = [_order(row) for row in await execute(_ORDERS, values)]
        found += [_refund(row) for row in await execute(_REFUNDS, values)]
        found += [_customer_fact(row) for row in await execute(_CUSTOMER_FACTS, values)]
        found += [_activity(row) for row in await execute(_ACTIVITIES, named)]
        return found


def _stamp(time: datetime, sequence: str | None, event_id: str) -> Stamp:
    return stamp_of(from_datetime(time), sequence, event_id)


def _order(row: Any) -> OrderFact:
    time, sequence, event_id, order_id, kind, total, items, is_test = row
    lines = None if items is None else [(line["product_id"], line.get("category")) for line in json.loads(items)]
    return OrderFact(_stamp(time, sequence, event_id), order_id, kind, total, lines, is_test)


def _refund(row: Any) -> RefundFact:
    time, sequence, event_id, refund_id, order_id, amount = row
    return RefundFact(_stamp(time, sequence, event_id), refund_id, order_id, amount)


def _customer_fact(row: Any) -> AttributesFact | MomentFact:
    time, sequence, event_id, kind, data = row
    stamp = _stamp(time, sequence, event_id)
    if kind in ("registered", "updated"):
        return AttributesFact(stamp, kind == "registered", _exact(data))
    return MomentFact(stamp, kind)


def _activity(row: Any) -> ActivityFact:
    time, sequence, event_id, name, properties = row
    return ActivityFact(_stamp(time, sequence, event_id), name, _exact(properties) or {})


def _exact(source: str) -> Any:
    """JSON with exact numbers."""
    return json.loads(source, parse_float=Decimal)
