"""Figures of a segment's members at any instant, from the facts alone (docs/analytics.md). Reads all orders."""

from __future__ import annotations

from typing import Final

from service.adapters.postgres.ledger_sql import ledger_tables
from service.adapters.postgres.stays_sql import MEMBERS_THEN, STAYS

_LEDGER: Final = ",\n".join(ledger_tables())

#: `n_` counts members; an order cancelled by :as_of is none.
FIGURES: Final = f"""/* analytics_figures - Sums over the members at an instant, and of everybody. */
WITH {MEMBERS_THEN},
{STAYS},
{_LEDGER},
bought AS MATERIALIZED (SELECT customer_id, placed_at FROM sold WHERE cancelled_at IS NULL),
buyers AS (
    SELECT customer_id, count(*) AS orders,
        count(*) FILTER (WHERE placed_at > :year_ago) AS in_year,
        bool_or(placed_at > :active_since) AS is_active,
        bool_or(placed_at > :two_windows_ago AND placed_at <= :window_ago) AS was_there,
        bool_or(placed_at > :window_ago) AS is_back
    FROM bought JOIN members USING (customer_id)
    GROUP BY customer_id
)
SELECT coalesce(sum(orders), 0) AS orders, coalesce(sum(in_year), 0) AS orders_in_year,
    count(*) FILTER (WHERE is_active) AS active, count(*) FILTER (WHERE in_year > 0) AS buyers_in_year,
    count(*) FILTER (WHERE was_there) AS buyers_before,
    count(*) FILTER (WHERE was_there AND is_back) AS buyers_again,
    (
        SELECT count(*) FROM bought JOIN stays USING (customer_id)
        WHERE joined_at <= placed_at AND (left_at IS NULL OR left_at > placed_at)
    ) AS orders_at_time
FROM buyers
"""  # noqa: S608 - built from constants

#: Place 0 is before the trend.
REVENUE: Final = f"""/* analytics_revenue - The ledger by day: of everybody, of the members, of members at the time. */
WITH {MEMBERS_THEN},
{STAYS},
{_LEDGER},
dated AS MATERIALIZED (
    SELECT customer_id, at, width_bucket(at, CAST(:starts AS timestamptz[])) AS place, amount FROM ledger
),
business AS (SELECT place, sum(amount) AS amount FROM dated GROUP BY place),
revenue AS (SELECT place, sum(amount) AS amount FROM dated JOIN members USING (customer_id) GROUP BY place),
at_time AS (
    SELECT place, sum(amount) AS amount
    FROM dated JOIN stays USING (customer_id)
    WHERE joined_at <= at AND (left_at IS NULL OR left_at > at)
    GROUP BY place
)
SELECT place, coalesce(business.amount, 0), coalesce(revenue.amount, 0), coalesce(at_time.amount, 0)
FROM business LEFT JOIN revenue USING (place) LEFT JOIN at_time USING (place)
"""  # noqa: S608 - as above
