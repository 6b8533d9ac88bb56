"""Customers by cohort: what app.cohorts asks of PostgreSQL."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from service.adapters.postgres.figure_tables import NOT_GUEST
from service.adapters.postgres.ledger_sql import ledger_tables
from service.adapters.postgres.stays_sql import MEMBERS_NOW, MEMBERS_THEN, STAYS
from service.app.cohorts import CohortQuestion, Counts
from service.core.instants import to_datetime

#: Orders that count, of customers: as they are, or by the facts.
_BOUGHT_NOW: Final = """bought AS (
    SELECT customer_id, placed_at AS at FROM orders WHERE placed_at <= :as_of
)"""
_LEDGER: Final = ",\n".join(ledger_tables())
_BOUGHT_THEN: Final = f"""{_LEDGER},
bought AS (
    SELECT customer_id, placed_at AS at FROM sold WHERE cancelled_at IS NULL AND {NOT_GUEST}
)"""  # noqa: S608 - built from constants
#: Month 0 is before those that are asked for. A row without month says how large a cohort is.
_PURCHASES: Final = """/* purchase_cohorts - Who bought in which month after the first. */
WITH {tables},
active AS MATERIALIZED (
    SELECT DISTINCT customer_id, width_bucket(at, CAST(:starts AS timestamptz[])) AS month FROM bought {members}
),
firsts AS (SELECT customer_id, min(month) AS cohort FROM active GROUP BY customer_id)
SELECT cohort, month, count(*) FROM active JOIN firsts USING (customer_id) WHERE cohort > 0 GROUP BY cohort, month
UNION ALL
SELECT cohort, NULL, count(*) FROM firsts WHERE cohort > 0 GROUP BY cohort
"""

_MEMBERSHIPS: Final = f"""/* membership_cohorts - Who was a member at the end of which month after the first join. */
WITH {STAYS},
firsts AS MATERIALIZED (
    SELECT customer_id, width_bucket(min(joined_at), CAST(:starts AS timestamptz[])) AS cohort
    FROM stays
    GROUP BY customer_id
),
ends AS (SELECT * FROM unnest(CAST(:ends AS timestamptz[])) WITH ORDINALITY AS ends (at, month))
SELECT cohort, CAST(month AS integer), count(*)
FROM firsts JOIN stays USING (customer_id)
    JOIN ends ON month >= cohort AND joined_at <= at AND (left_at IS NULL OR left_at > at)
WHERE cohort > 0
GROUP BY cohort, month
UNION ALL
SELECT cohort, NULL, count(*) FROM firsts WHERE cohort > 0 GROUP BY cohort
"""  # noqa: S608 - built from constants


class PostgresCohorts:
    """app.cohorts.CohortStore on one connection, which must be in one REPEATABLE READ transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection

    async def purchase_cohorts(self, question: CohortQuestion) -> Counts:
        """See CohortStore."""
        tables = [_BOUGHT_NOW if question.is_live else _BOUGHT_THEN]
        if question.segment_id is not None:
            tables.append(MEMBERS_NOW if question.is_live else MEMBERS_THEN)
        members = "" if question.segment_id is None else "JOIN members USING (customer_id)"
        return await self._counts(_PURCHASES.format(tables=",\n".join(tables), members=members), question)

    async def membership_cohorts(self, question: CohortQuestion) -> Counts:
        """See CohortStore."""
        # Every stay meets the ends of months, which no other join can do.
        await self.connection.execute(text("SET LOCAL enable_nestloop = on"))
        return await self._counts(_MEMBERSHIPS, question)

    async def _counts(self, statement: str, question: CohortQuestion) -> Counts:
        months = question.buckets
        values: dict[str, Any] = {
            "segment_id": question.segment_id,
            "as_of": to_datetime(question.as_of),
            "starts": [to_datetime(month.start) for month in months],
            "ends": [to_datetime(min(month.end - 1, question.as_of)) for month in months],
        }
        rows = (await self.connection.execute(text(statement), values)).all()
        sizes = {row[0] - 1: row[2] for row in rows if row[1] is None}
        return Counts(sizes, {(row[0] - 1, row[1] - 1): row[2] for row in rows if row[1] is not None})
