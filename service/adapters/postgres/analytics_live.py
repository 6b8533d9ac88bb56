"""Figures of a segment's members as of now, from the tables that batches maintain (docs/analytics.md).

Lifetime sums stand in `profiles`. Windows of orders are counted in `orders`; of refunds and cancellations only those of
late are read, each with all facts of its order. Statements of `analytics_facts` must give the same, at any instant.
"""

from __future__ import annotations

from typing import Final

from service.adapters.postgres.figure_tables import LATEST, NOT_GUEST, microseconds_sql
from service.adapters.postgres.ledger_sql import ledger_tables
from service.adapters.postgres.stays_sql import MEMBERS_NOW

_GUEST_TABLES: Final = ",\n".join(
    ledger_tables(
        "(SELECT * FROM order_facts WHERE customer_id = :guest) AS order_facts",
        "(SELECT * FROM refunds WHERE customer_id = :guest) AS refunds",
    )
)
#: Facts of the orders in `ended`, and of the refunds that ever named one of them.
_ENDED_TABLES: Final = ",\n".join(
    ledger_tables(
        "(SELECT order_facts.* FROM order_facts JOIN ended USING (customer_id, order_id)) AS order_facts",
        """(
        SELECT refunds.* FROM refunds JOIN (
            SELECT DISTINCT customer_id, refund_id FROM refunds JOIN ended USING (customer_id, order_id)
        ) AS named USING (customer_id, refund_id)
    ) AS refunds""",
    )
)
#: Whether every customer is a member. Then nobody needs to be looked up, which takes more than half of the time. Only
#: lists hold ids that are no customers yet.
IS_EVERYBODY: Final = """/* analytics_everybody - Whether all customers are members. */
SELECT EXISTS (SELECT FROM customer_segments WHERE id = :segment_id AND segment_type <> 'static')
    AND (SELECT count(*) FROM profiles)
        = (SELECT count(*) FROM customer_segment_memberships WHERE segment_id = :segment_id AND left_at IS NULL)
"""

_ACTIVE_SINCE: Final = microseconds_sql("CAST(:active_since AS timestamptz)")
_YEAR_AGO: Final = microseconds_sql("CAST(:year_ago AS timestamptz)")
_YEARS_ORDERS: Final = "FROM orders WHERE placed_at > :year_ago AND placed_at <= :as_of"
#: One walk over profiles and a year's orders: both are looked up in one table of members.
_LIFETIME: Final = f"""/* analytics_lifetime - Sums over all members, and of everybody. */
WITH {MEMBERS_NOW},
entries AS (
    SELECT customer_id, total_spent, total_orders, last_order_at FROM profiles
    UNION ALL SELECT customer_id, NULL, NULL, NULL {_YEARS_ORDERS}
)
SELECT coalesce(sum(total_spent), 0) AS business,
    coalesce(sum(total_spent) FILTER (WHERE is_member), 0) AS revenue,
    coalesce(sum(total_orders) FILTER (WHERE is_member), 0) AS orders,
    count(*) FILTER (WHERE is_member AND last_order_at > {_ACTIVE_SINCE}) AS active,
    count(*) FILTER (WHERE is_member AND last_order_at > {_YEAR_AGO}) AS buyers_in_year,
    count(*) FILTER (WHERE is_member AND total_orders IS NULL) AS orders_in_year
FROM (
    SELECT entries.*, members.customer_id IS NOT NULL AS is_member
    FROM entries LEFT JOIN members USING (customer_id)
) AS judged
"""  # noqa: S608 - built from constants
_LIFETIME_OF_ALL: Final = f"""/* analytics_lifetime_of_all - The same where everybody is a member. */
SELECT coalesce(sum(total_spent), 0) AS business, coalesce(sum(total_spent), 0) AS revenue,
    coalesce(sum(total_orders), 0) AS orders,
    count(*) FILTER (WHERE last_order_at > {_ACTIVE_SINCE}) AS active,
    count(*) FILTER (WHERE last_order_at > {_YEAR_AGO}) AS buyers_in_year,
    (SELECT count(*) {_YEARS_ORDERS}) AS orders_in_year
FROM profiles
"""  # noqa: S608 - as above

#: Orders without a customer have no profile: the facts say what they come to.
GUESTS: Final = f"""/* analytics_guests - Revenue of orders without a customer. */
WITH {_GUEST_TABLES}
SELECT coalesce(sum(amount), 0) FROM ledger
"""  # noqa: S608 - as above

_WERE_THERE: Final = """(
    SELECT customer_id, bool_or(placed_at <= :window_ago) AS was_there, bool_or(placed_at > :window_ago) AS is_back
    FROM orders
    WHERE placed_at > :two_windows_ago AND placed_at <= :as_of
    GROUP BY customer_id
) AS buyers"""
_BUYERS: Final = f"""/* analytics_buyers - Members who bought in the window before the last, and again in the last. */
WITH {MEMBERS_NOW}
SELECT count(*), count(*) FILTER (WHERE is_back) FROM {_WERE_THERE} JOIN members USING (customer_id) WHERE was_there
"""  # noqa: S608 - as above
_BUYERS_OF_ALL: Final = f"""/* analytics_buyers_of_all - The same where everybody is a member. */
SELECT count(*), count(*) FILTER (WHERE is_back) FROM {_WERE_THERE} WHERE was_there
"""  # noqa: S608 - as above

#: Revenue by day of the trend. An order that counts adds its amount, net of all refunds, when it was placed; refunds of
#: late are moved from there to their own time. Orders cancelled of late, or refunded of late and ever in full, are
#: folded from their facts instead.
_TREND_TABLES: Final = f"""
recent AS MATERIALIZED (
    SELECT customer_id, refund_id, min(time) AS at,
        (array_agg(order_id {LATEST}))[1] AS order_id, (array_agg(amount {LATEST}))[1] AS amount
    FROM refunds
        JOIN (SELECT DISTINCT customer_id, refund_id FROM refunds WHERE time >= :trend_start AND time <= :as_of) AS late
        USING (customer_id, refund_id)
    WHERE time <= :as_of
    GROUP BY customer_id, refund_id
    HAVING min(time) >= :trend_start
),
ended AS MATERIALIZED (
    SELECT customer_id, order_id FROM order_facts
    WHERE kind = 'cancelled' AND time >= :trend_start AND time <= :as_of
    UNION
    SELECT customer_id, order_id FROM refunds JOIN (SELECT DISTINCT customer_id, order_id FROM recent) AS touched
        USING (customer_id, order_id)
    WHERE refunds.amount IS NULL AND time <= :as_of
),
{_ENDED_TABLES},
given AS MATERIALIZED (
    SELECT customer_id, at, recent.amount, placed_at FROM recent JOIN orders USING (customer_id, order_id)
    WHERE (customer_id, order_id) NOT IN (SELECT customer_id, order_id FROM ended)
),
entries AS (
    SELECT customer_id, placed_at AS at, amount FROM orders
    WHERE placed_at >= :trend_start AND placed_at <= :as_of
    UNION ALL SELECT customer_id, placed_at, -orders.amount FROM ended JOIN orders USING (customer_id, order_id)
    WHERE placed_at >= :trend_start AND placed_at <= :as_of
    UNION ALL SELECT customer_id, placed_at, amount FROM given WHERE placed_at >= :trend_start
    UNION ALL SELECT customer_id, greatest(at, placed_at), -amount FROM given
    UNION ALL SELECT customer_id, at, -amount FROM recent WHERE order_id IS NULL
    UNION ALL SELECT customer_id, at, amount FROM order_ledger
)
"""  # noqa: S608 - as above
_BY_DAY: Final = "SELECT width_bucket(at, CAST(:starts AS timestamptz[])) - 1 AS place, sum(amount) AS amount"
_TREND: Final = f"""/* analytics_trend - Revenue of members by day. */
WITH {MEMBERS_NOW}, {_TREND_TABLES}
{_BY_DAY} FROM entries JOIN members USING (customer_id) WHERE at >= :trend_start GROUP BY 1
"""
_TREND_OF_ALL: Final = f"""/* analytics_trend_of_all - The same where everybody is a member; guests are nobody. */
WITH {_TREND_TABLES}
{_BY_DAY} FROM entries WHERE at >= :trend_start AND {NOT_GUEST} GROUP BY 1
"""

#: By whether everybody is a member.
LIFETIME: Final = {False: _LIFETIME, True: _LIFETIME_OF_ALL}
BUYERS: Final = {False: _BUYERS, True: _BUYERS_OF_ALL}
TREND: Final = {False: _TREND, True: _TREND_OF_ALL}
