"""Who is in which of some segments, in one walk over their members: what app.overlap asks of PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from service.app.overlap import Overlap
from service.core.instants import MISSING, to_datetime

#: Stays of a customer in a segment never overlap, so that each bit is added once.
_SETS: Final = text("""/* segment_overlap - How many customers are in which of these segments. */
WITH asked AS (SELECT * FROM unnest(CAST(:segment_ids AS uuid[])) WITH ORDINALITY AS asked (segment_id, place))
SELECT held, count(*)
FROM (
    SELECT customer_id, CAST(sum(CAST(1 AS bigint) << CAST(place - 1 AS integer)) AS bigint) AS held
    FROM customer_segment_memberships JOIN asked USING (segment_id)
    WHERE segment_id = ANY(CAST(:segment_ids AS uuid[])) AND joined_at <= :as_of
        AND (left_at IS NULL OR left_at > :as_of)
    GROUP BY customer_id
) AS sets
GROUP BY held
""")
#: Who is on a list and has no event yet is no customer.
_CUSTOMERS: Final = text("SELECT count(*) FROM profiles WHERE first_seen_at <= :at AND first_seen_at > :missing")


class PostgresOverlap:
    """app.overlap.OverlapStore on one connection, which must be in one REPEATABLE READ transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection

    async def overlap(self, segment_ids: Sequence[UUID], at: int) -> Overlap:
        """See OverlapStore."""
        rows = await self.connection.execute(_SETS, {"segment_ids": list(segment_ids), "as_of": to_datetime(at)})
        customers = (await self.connection.execute(_CUSTOMERS, {"at": at, "missing": MISSING})).scalar_one()
        return Overlap(customers, {row[0]: row[1] for row in rows})
