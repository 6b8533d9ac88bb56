"""Reads of one customer for their page, all by the customer's id."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from service.app import exact_json
from service.app.customers import Person, Standing

_PERSON: Final = text("""
SELECT k.customer_id, c.external_id, c.name, c.first_name, c.email, c.phone, c.locale, c.timezone, c.customer_type,
    c.country, c.state, c.city, c.email_subscribed, c.sms_subscribed, c.push_subscribed, CAST(c.traits AS text),
    p.total_orders, p.total_spent,
    (SELECT min(placed_at) FROM orders o WHERE o.customer_id = k.customer_id),
    p.last_order_at, p.registered_at, p.last_login_at, p.first_seen_at
FROM (SELECT CAST(:customer_id AS uuid) AS customer_id) k
LEFT JOIN customers c ON c.customer_id = k.customer_id
LEFT JOIN profiles p ON p.customer_id = k.customer_id
""")
_TRAITS: Final = Person._fields.index("traits")
#: Open stays and pins, of segments that are there.
_STANDINGS: Final = text("""
SELECT s.id, s.segment_name, m.joined_at, m.membership_source, m.segment_version, p.is_included
FROM (SELECT * FROM customer_segment_memberships WHERE customer_id = :customer_id AND left_at IS NULL) m
FULL JOIN (SELECT * FROM pins WHERE customer_id = :customer_id) p ON p.segment_id = m.segment_id
JOIN customer_segments s ON s.id = coalesce(m.segment_id, p.segment_id)
WHERE NOT s.is_deleted
ORDER BY s.segment_name, s.id
""")
_NAMES: Final = text("SELECT id, segment_name FROM customer_segments WHERE id = ANY(:segment_ids)")


async def read_person(connection: AsyncConnection, customer_id: UUID) -> Person:
    """What is stored of a customer; all but the id is None where there is nothing."""
    row = list((await connection.execute(_PERSON, {"customer_id": customer_id})).one())
    row[_TRAITS] = exact_json.loads(row[_TRAITS]) if row[_TRAITS] else {}
    return Person(*row)


async def read_standings(connection: AsyncConnection, customer_id: UUID) -> list[Standing]:
    """The segments in which the customer is a member or pinned, by name."""
    return [Standing(*row) for row in await connection.execute(_STANDINGS, {"customer_id": customer_id})]


async def segment_names(connection: AsyncConnection, segment_ids: Collection[UUID]) -> dict[UUID, str]:
    """Names by id, of deleted segments too."""
    found = await connection.execute(_NAMES, {"segment_ids": list(segment_ids)})
    return {row[0]: row[1] for row in found}
