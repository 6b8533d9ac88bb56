"""Reads of a segment's current members, for the API and exports (STYLE R10: plain SQL)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from service.app.members import Member

EXPORT_ROWS_AT_ONCE: Final = 1_000
#: Before every customer's id.
_FIRST: Final = UUID(int=0)

#: Current members with what is shown of them, by id: memberships_current_idx gives this order without sorting.
_MEMBERS: Final = """
SELECT m.customer_id, c.external_id, c.name, c.email, c.phone, c.customer_type, c.country, c.state, c.city,
       p.total_orders, p.total_spent, p.last_order_at, p.registered_at, m.joined_at, m.membership_source
FROM customer_segment_memberships m
LEFT JOIN customers c ON c.customer_id = m.customer_id
LEFT JOIN profiles p ON p.customer_id = m.customer_id
WHERE m.segment_id = :segment_id AND m.left_at IS NULL
"""
_PAGE: Final = text(_MEMBERS + "AND m.customer_id > :after ORDER BY m.customer_id LIMIT :rows_max")
_ALL: Final = text(_MEMBERS + "ORDER BY m.customer_id")
_COUNT: Final = text(
    "SELECT count(*) FROM customer_segment_memberships WHERE segment_id = :segment_id AND left_at IS NULL"
)


async def count_members(connection: AsyncConnection, segment_id: UUID) -> int:
    """How many members the segment has."""
    return (await connection.execute(_COUNT, {"segment_id": segment_id})).scalar_one()


async def page_of_members(
    connection: AsyncConnection, segment_id: UUID, after: UUID | None, rows_max: int
) -> list[Member]:
    """Members whose id is greater than `after`, ascending by id; at most `rows_max`."""
    values = {"segment_id": segment_id, "after": after or _FIRST, "rows_max": rows_max}
    return [Member(*row) for row in await connection.execute(_PAGE, values)]


async def stream_members(connection: AsyncConnection, segment_id: UUID) -> AsyncGenerator[Sequence[Member]]:
    """All members ascending by id, some at a time, by a cursor in the server; memory does not grow with them."""
    options = {"yield_per": EXPORT_ROWS_AT_ONCE}
    async with connection.stream(_ALL, {"segment_id": segment_id}, execution_options=options) as result:
        async for rows in result.partitions(EXPORT_ROWS_AT_ONCE):
            yield [Member(*row) for row in rows]
