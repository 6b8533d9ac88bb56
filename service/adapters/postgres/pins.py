"""Pins in PostgreSQL: the statements of app.pins.PinStore beside those of a batch, and pages of pins for the API."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final
from uuid import UUID

import asyncpg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from service.adapters.postgres.faults import AWAY
from service.adapters.postgres.store import PostgresStore
from service.app.pins import Contention, Pin, PinChange, PinnedSegment

#: The API's connections are not set for look-ups, and a plan kept from when a table was small would scan it.
FRESH_PLANS: Final = "SET LOCAL plan_cache_mode = force_custom_plan"
SEGMENT: Final = "SELECT slot, segment_type FROM customer_segments WHERE id = $1 AND NOT is_deleted"
PINS_OF: Final = "SELECT customer_id, is_included FROM pins WHERE customer_id = ANY($2::uuid[]) AND segment_id = $1"
PUT_PINS: Final = """
INSERT INTO pins (customer_id, segment_id, is_included, source, created_by)
SELECT customer_id, $1, $3, $4, $5 FROM unnest($2::uuid[]) AS customer_id
ON CONFLICT (customer_id, segment_id) DO UPDATE SET
    is_included = EXCLUDED.is_included, source = EXCLUDED.source, created_by = EXCLUDED.created_by, created_at = now()
"""
DROP_PINS: Final = "DELETE FROM pins WHERE customer_id = ANY($2::uuid[]) AND segment_id = $1"
PINNED_AFTER: Final = """
SELECT customer_id FROM pins WHERE segment_id = $1 AND customer_id > $2 ORDER BY customer_id LIMIT $3
"""
NOTE_AUTHOR: Final = """
INSERT INTO users (id, name) VALUES ($1, $2)
ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name WHERE users.name <> EXCLUDED.name
"""
#: Another transaction stored the same customer first, or the two waited for each other.
_CONTENTION: Final = (asyncpg.UniqueViolationError, asyncpg.TransactionRollbackError, asyncpg.LockNotAvailableError)

_PAGE: Final = text("""
SELECT p.customer_id, c.external_id, p.is_included, p.source, p.created_by, coalesce(u.name, p.created_by), p.created_at
FROM pins p
LEFT JOIN customers c ON c.customer_id = p.customer_id
LEFT JOIN users u ON u.id = p.created_by
WHERE p.segment_id = :segment_id AND p.customer_id > :after
ORDER BY p.customer_id
LIMIT :rows_max
""")
_COUNT: Final = text("SELECT count(*) FROM pins WHERE segment_id = :segment_id")
_FIRST: Final = UUID(int=0)


class PostgresPins(PostgresStore):
    """One transaction's statements."""

    async def pinned_segment(self, segment_id: UUID) -> PinnedSegment | None:
        """See PinStore."""
        row = await self.connection.fetchrow(SEGMENT, segment_id)
        return None if row is None else PinnedSegment(*row)

    async def pins_of(self, segment_id: UUID, customer_ids: Sequence[UUID]) -> Mapping[UUID, bool]:
        """See PinStore."""
        return {row[0]: row[1] for row in await self.connection.fetch(PINS_OF, segment_id, customer_ids)}

    async def put_pins(self, change: PinChange, customer_ids: Sequence[UUID], *, is_included: bool) -> None:
        """See PinStore."""
        author = change.author
        await self.connection.execute(PUT_PINS, change.segment_id, customer_ids, is_included, change.source, author.id)
        await self.connection.execute(NOTE_AUTHOR, author.id, author.name)

    async def drop_pins(self, segment_id: UUID, customer_ids: Sequence[UUID]) -> None:
        """See PinStore."""
        await self.connection.execute(DROP_PINS, segment_id, customer_ids)

    async def pinned_after(self, segment_id: UUID, after: UUID, customers_max: int) -> list[UUID]:
        """See PinStore."""
        return [row[0] for row in await self.connection.fetch(PINNED_AFTER, segment_id, after, customers_max)]


@asynccontextmanager
async def failing_clearly() -> AsyncIterator[None]:
    """Says of the driver's own failures what they mean to who asked: once more, or the database is away.

    Raises:
        Contention: another transaction came first.
        ConnectionError: the database is out of reach.
    """
    try:
        yield
    except _CONTENTION as error:
        raise Contention(type(error).__name__) from error
    except AWAY as error:
        raise ConnectionError(type(error).__name__) from error


async def page_of_pins(connection: AsyncConnection, segment_id: UUID, after: UUID | None, rows_max: int) -> list[Pin]:
    """Pins of customers whose id is greater than `after`, ascending by id; at most `rows_max`."""
    values = {"segment_id": segment_id, "after": after or _FIRST, "rows_max": rows_max}
    return [Pin(*row) for row in await connection.execute(_PAGE, values)]


async def count_pins(connection: AsyncConnection, segment_id: UUID) -> int:
    """How many customers the segment has pinned, in or out."""
    return (await connection.execute(_COUNT, {"segment_id": segment_id})).scalar_one()
