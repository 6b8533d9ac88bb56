"""Reads of a segment's members, now or at a past instant, for the API and exports (STYLE R10: plain SQL)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from service.app.members import Member
from service.core.instants import to_datetime

EXPORT_ROWS_AT_ONCE: Final = 1_000
#: Before every customer's id.
_FIRST: Final = UUID(int=0)

_SHOWN: Final = """
SELECT m.customer_id, c.external_id, c.name, c.email, c.phone, c.customer_type, c.country, c.state, c.city,
       p.total_orders, p.total_spent, p.last_order_at, p.registered_at, m.joined_at, m.membership_source
"""
#: Current members with what is shown of them, by id: memberships_current_idx gives this order without sorting.
_MEMBERS: Final = f"""
{_SHOWN}
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

#: Stays that held the instant :at, open ones and ended ones apart, for each has a partial index in the order of ids.
#: A customer's stays in a segment never overlap, so nobody is found twice.
_OPEN: Final = """
FROM customer_segment_memberships
WHERE segment_id = :segment_id AND left_at IS NULL AND joined_at <= :at
"""
_ENDED: Final = """
FROM customer_segment_memberships
WHERE segment_id = :segment_id AND left_at IS NOT NULL AND joined_at <= :at AND left_at > :at
"""
_STAY: Final = "SELECT customer_id, joined_at, membership_source"
_NEXT: Final = "AND customer_id > :after ORDER BY customer_id LIMIT :rows_max"
_PAST_PAGE: Final = text(f"""
{_SHOWN}
FROM (
    ({_STAY} {_OPEN} {_NEXT})
    UNION ALL
    ({_STAY} {_ENDED} {_NEXT})
) m
LEFT JOIN customers c ON c.customer_id = m.customer_id
LEFT JOIN profiles p ON p.customer_id = m.customer_id
ORDER BY m.customer_id
LIMIT :rows_max
""")
_PAST_COUNT: Final = text(f"SELECT (SELECT count(*) {_OPEN}) + (SELECT count(*) {_ENDED})")


async def count_members(connection: AsyncConnection, segment_id: UUID) -> int:
    """How many members the segment has."""
    return (await connection.execute(_COUNT, {"segment_id": segment_id})).scalar_one()


async def page_of_members(
    connection: AsyncConnection, segment_id: UUID, after: UUID | None, rows_max: int
) -> list[Member]:
    """Members whose id is greater than `after`, ascending by id; at most `rows_max`."""
    values = {"segment_id": segment_id, "after": after or _FIRST, "rows_max": rows_max}
    return [Member(*row) for row in await connection.execute(_PAGE, values)]


async def count_past_members(connection: AsyncConnection, segment_id: UUID, at: int) -> int:
    """How many members the segment had at an instant (microseconds)."""
    values = {"segment_id": segment_id, "at": to_datetime(at)}
    return (await connection.execute(_PAST_COUNT, values)).scalar_one()


async def page_of_past_members(
    connection: AsyncConnection, segment_id: UUID, at: int, after: UUID | None, rows_max: int
) -> list[Member]:
    """As `page_of_members`, of those who were members at an instant (microseconds), with that stay."""
    values = {"segment_id": segment_id, "at": to_datetime(at), "after": after or _FIRST, "rows_max": rows_max}
    return [Member(*row) for row in await connection.execute(_PAST_PAGE, values)]


async def stream_members(connection: AsyncConnection, segment_id: UUID) -> AsyncGenerator[Sequence[Member]]:
    """All members ascending by id, some at a time, by a cursor in the server; memory does not grow with them."""
    options = {"yield_per": EXPORT_ROWS_AT_ONCE}
    async with connection.stream(_ALL, {"segment_id": segment_id}, execution_options=options) as result:
        async for rows in result.partitions(EXPORT_ROWS_AT_ONCE):
            yield [Member(*row) for row in rows]
