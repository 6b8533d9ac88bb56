"""Who joined and left a segment, and which others they were in: what app.flows asks of PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from sqlalchemy import text

from service.adapters.postgres.analytics import PostgresAnalytics
from service.app.analytics import Flow, Question
from service.app.flows import Movers, Other
from service.core.instants import to_datetime

#: Who joins is looked at right before, who leaves at that instant.
_MOVED: Final = """moved AS MATERIALIZED (
    SELECT customer_id, true AS is_in, joined_at - interval '1 microsecond' AS at FROM customer_segment_memberships
    WHERE segment_id = :segment_id AND joined_at >= :start AND joined_at <= :as_of AND left_at IS NULL
    UNION ALL
    SELECT customer_id, true, joined_at - interval '1 microsecond' FROM customer_segment_memberships
    WHERE segment_id = :segment_id AND joined_at >= :start AND joined_at <= :as_of
        AND left_at > :start AND left_at > joined_at
    UNION ALL
    SELECT customer_id, false, left_at FROM customer_segment_memberships
    WHERE segment_id = :segment_id AND left_at >= :start AND left_at <= :as_of AND left_at > joined_at
)"""
_CUSTOMERS: Final = text(f"""/* flow_customers - How many different customers joined, and left. */
WITH {_MOVED}
SELECT count(DISTINCT customer_id) FILTER (WHERE is_in), count(DISTINCT customer_id) FILTER (WHERE NOT is_in) FROM moved
""")  # noqa: S608 - built from constants
_OTHERS: Final = text(f"""/* flow_segments - The other segments that those who moved were in. */
WITH {_MOVED},
others AS (
    SELECT is_in, held.segment_id, count(*) AS moves
    FROM moved JOIN customer_segment_memberships AS held USING (customer_id)
    WHERE held.segment_id <> :segment_id AND held.joined_at <= moved.at
        AND (held.left_at IS NULL OR held.left_at > moved.at)
    GROUP BY is_in, held.segment_id
),
ranked AS (
    SELECT is_in, segment_id, segment_name, moves,
        row_number() OVER (PARTITION BY is_in ORDER BY moves DESC, segment_name COLLATE "C", segment_id) AS place
    FROM others JOIN customer_segments ON id = segment_id
    WHERE NOT is_deleted
)
SELECT is_in, segment_id, segment_name, moves FROM ranked WHERE place <= :segments_max ORDER BY place
""")  # noqa: S608 - built from constants


class PostgresFlows:
    """app.flows.FlowStore on the reads of analytics."""

    def __init__(self, store: PostgresAnalytics) -> None:
        self._store = store

    async def flow(self, segment_id: UUID, moments: Sequence[int]) -> Flow:
        """See FlowStore."""
        return await self._store.flow(segment_id, moments)

    async def movers(self, question: Question, segments_max: int) -> tuple[Movers, Movers]:
        """See FlowStore."""
        values = {
            "segment_id": question.segment_id,
            "start": to_datetime(question.days[0].start),
            "as_of": to_datetime(question.as_of),
        }
        connection = self._store.connection
        joined, left = (await connection.execute(_CUSTOMERS, values)).one()
        rows = (await connection.execute(_OTHERS, values | {"segments_max": segments_max})).all()
        sources, destinations = ([Other(*row[1:]) for row in rows if row[0] is is_in] for is_in in (True, False))
        return Movers(joined, sources), Movers(left, destinations)
