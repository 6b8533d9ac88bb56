"""Reads of a segment's members, now or at a past instant, for the API (STYLE R10: plain SQL)."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from service.app.members import Member
from service.core.instants import to_datetime

#: Before every customer's id.
_FIRST: Final = UUID(int=0)

_SHOWN: Final = """
SELECT m.customer_id, c.external_id, c.name, c.email, c.phone, c.customer_type, c.country, c.state, c.city,
       p.total_orders, p.total_spent, p.last_order_at, p.registered_at, m.joined_at, m.membership_source
"""
#: OFFSET 0 has each of a page's customers looked up. Left to itself the planner may merge whole tables instead, from
#: their beginnings up to the place that the cursor names.
_LOOKED_UP: Final = """
LEFT JOIN LATERAL (SELECT * FROM customers WHERE customer_id = m.customer_id OFFSET 0) c ON true
LEFT JOIN LATERAL (SELECT * FROM profiles WHERE customer_id = m.customer_id OFFSET 0) p ON true
"""
#: Current members with what is shown of them, by id: memberships_current_idx gives this order without sorting.
_PAGE: Final = text(f"""
{_SHOWN}
FROM (
    SELECT customer_id, joined_at, membership_source FROM customer_segment_memberships
    WHERE segment_id = :segment_id AND left_at IS NULL AND customer_id > :after ORDER BY customer_id LIMIT :rows_max
) m
{_LOOKED_UP}
ORDER BY m.customer_id
""")  # noqa: S608 - built from constants
#: Small segments are counted.
COUNTED_MAX: Final = 1_000
#: The count of larger ones is kept by the relay, in the transaction that deletes outbox rows; with what those that wait
#: will add it is, in one snapshot, as many as there are, without a look at each of them.
_COUNT: Final = text("""
SELECT CASE WHEN counted.members < :counted_max THEN counted.members ELSE
    (SELECT customer_count FROM customer_segments WHERE id = :segment_id)
    + (SELECT coalesce(sum(CAST(counts ->> CAST(CAST(:segment_id AS uuid) AS text) AS bigint)), 0) FROM outbox)
    END
FROM (
    SELECT count(*) AS members FROM (
        SELECT FROM customer_segment_memberships WHERE segment_id = :segment_id AND left_at IS NULL LIMIT :counted_max
    ) first_ones
) counted
""")

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
{_LOOKED_UP}
ORDER BY m.customer_id
LIMIT :rows_max
""")
_PAST_COUNT: Final = text(f"SELECT (SELECT count(*) {_OPEN}) + (SELECT count(*) {_ENDED})")


async def count_members(connection: AsyncConnection, segment_id: UUID) -> int:
    """How many members the segment has."""
    return int((await connection.execute(_COUNT, {"segment_id": segment_id, "counted_max": COUNTED_MAX})).scalar_one())


async def page_of_members(
    connection: AsyncConnection, segment_id: UUID, after: UUID | None, rows_max: int
) -> list[Member]:
    """Members whose id is greater than `after`, ascending by id; at most `rows_max`."""
    values = {"segment_id": segment_id, "after": after or _FIRST, "rows_max": rows_max}
    return [Member(*row) for row in await connection.execute(_PAGE, values)]


async def count_past_members(connection: AsyncConnection, segment_id: UUID, at: int) -> int:
    """How many members the segment had at an instant (microseconds)."""
    values = {"segment_id": segment_id, "at": to_datetime(at)}
    return int((await connection.execute(_PAST_COUNT, values)).scalar_one())


async def page_of_past_members(
    connection: AsyncConnection, segment_id: UUID, at: int, after: UUID | None, rows_max: int
) -> list[Member]:
    """As `page_of_members`, of those who were members at an instant (microseconds), with that stay."""
    values = {"segment_id": segment_id, "at": to_datetime(at), "after": after or _FIRST, "rows_max": rows_max}
    return [Member(*row) for row in await connection.execute(_PAST_PAGE, values)]
