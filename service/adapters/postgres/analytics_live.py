"""Figures of a segment's members as of now, from the tables that batches maintain (docs/analytics.md).

Lifetime sums stand in `profiles`, windows of orders are counted in `orders`; revenue by day is in `analytics_trend`.
Statements of `analytics_facts` must give the same, at any instant.
"""

from __future__ import annotations

from typing import Final

from service.adapters.postgres.figure_tables import LATEST
from service.adapters.postgres.stays_sql import MEMBERS_NOW

#: Whether every customer is one of :members. Then nobody needs to be looked up, which takes more than half of the time.
#: Only lists hold ids that are no customers yet. Where the statistics name many more customers than members, nobody is
#: counted: if they are wrong, the members are looked up.
IS_EVERYBODY: Final = """/* analytics_everybody - Whether all customers are members. */
SELECT CASE WHEN segment_type = 'static' OR :members < 0.9 * reltuples THEN false
    ELSE (SELECT count(*) FROM profiles) = :members END
FROM customer_segments CROSS JOIN pg_class
WHERE id = :segment_id AND pg_class.oid = CAST('profiles' AS regclass)
"""

#: Who had an order in the window before the last, and whether one in the last too.
_BUYERS: Final = """(
    SELECT customer_id, bool_or(placed_at > :window_ago) AS is_back
    FROM orders
    WHERE placed_at > :two_windows_ago AND placed_at <= :as_of
    GROUP BY customer_id
    HAVING bool_or(placed_at <= :window_ago)
) AS buyers"""
#: One walk over profiles and buyers: both are looked up in one table of members.
_CUSTOMERS: Final = f"""/* analytics_customers - Lifetime sums and buyers among the members, and sums of everybody. */
WITH {MEMBERS_NOW},
entries AS (
    SELECT customer_id, total_spent, total_orders, last_order_at, CAST(NULL AS boolean) AS is_back FROM profiles
    UNION ALL SELECT customer_id, NULL, NULL, NULL, is_back FROM {_BUYERS}
)
SELECT coalesce(sum(total_spent), 0) AS business,
    coalesce(sum(total_spent) FILTER (WHERE is_member), 0) AS revenue,
    coalesce(sum(total_orders) FILTER (WHERE is_member), 0) AS orders,
    count(*) FILTER (WHERE is_member AND last_order_at > :active_since_us) AS active,
    count(*) FILTER (WHERE is_member AND last_order_at > :year_ago_us) AS buyers_in_year,
    count(is_back) FILTER (WHERE is_member) AS buyers_before,
    count(*) FILTER (WHERE is_member AND is_back) AS buyers_again
FROM (
    SELECT entries.*, members.customer_id IS NOT NULL AS is_member
    FROM entries LEFT JOIN members USING (customer_id)
) AS judged
"""  # noqa: S608 - built from constants
_CUSTOMERS_OF_ALL: Final = f"""/* analytics_customers_of_all - The same where everybody is a member. */
SELECT * FROM (
    SELECT coalesce(sum(total_spent), 0) AS business, coalesce(sum(total_spent), 0) AS revenue,
        coalesce(sum(total_orders), 0) AS orders,
        count(*) FILTER (WHERE last_order_at > :active_since_us) AS active,
        count(*) FILTER (WHERE last_order_at > :year_ago_us) AS buyers_in_year
    FROM profiles
) AS sums CROSS JOIN (
    SELECT count(*) AS buyers_before, count(*) FILTER (WHERE is_back) AS buyers_again FROM {_BUYERS}
) AS counts
"""  # noqa: S608 - as above

#: Orders without a customer have no profile: the facts say what they come to. At the end, and not day by day, an order
#: that counts is its total less all refunds, and nothing if one of them was in full.
GUESTS: Final = f"""/* analytics_guests - Revenue of orders without a customer. */
WITH folded AS MATERIALIZED (
    SELECT order_id, count(total) AS totals, max(total) AS total
    FROM order_facts
    WHERE customer_id = :guest AND time <= :as_of
    GROUP BY order_id
    HAVING bool_or(kind = 'placed') AND NOT bool_or(kind = 'cancelled' OR kind = 'placed' AND is_test)
),
sold AS (
    SELECT order_id, CASE WHEN totals < 2 THEN coalesce(total, 0) ELSE (
        SELECT order_facts.total FROM order_facts
        WHERE customer_id = :guest AND order_facts.order_id = folded.order_id AND time <= :as_of
            AND order_facts.total IS NOT NULL
        {LATEST} LIMIT 1
    ) END AS total
    FROM folded
),
refunded AS (
    SELECT (array_agg(order_id {LATEST}))[1] AS order_id, (array_agg(amount {LATEST}))[1] AS amount
    FROM refunds
    WHERE customer_id = :guest AND time <= :as_of
    GROUP BY refund_id
),
returned AS MATERIALIZED (
    SELECT order_id, bool_or(amount IS NULL) AS is_in_full, sum(amount) AS amount FROM refunded GROUP BY order_id
)
SELECT coalesce(sum(CASE WHEN is_in_full THEN 0 ELSE total - coalesce(returned.amount, 0) END), 0)
    - coalesce((SELECT sum(amount) FROM returned WHERE order_id IS NULL), 0)
FROM sold LEFT JOIN returned USING (order_id)
"""  # noqa: S608 - as above

#: A year of orders of members.
_ORDERS: Final = f"""/* analytics_orders - Orders of members in a year. */
WITH {MEMBERS_NOW}
SELECT count(*) FROM orders JOIN members USING (customer_id) WHERE placed_at > :year_ago AND placed_at <= :as_of
"""  # noqa: S608 - as above
_ORDERS_OF_ALL: Final = """/* analytics_orders_of_all - The same where everybody is a member. */
SELECT count(*) FROM orders WHERE placed_at > :year_ago AND placed_at <= :as_of
"""

#: By whether everybody is a member.
CUSTOMERS: Final = {False: _CUSTOMERS, True: _CUSTOMERS_OF_ALL}
ORDERS: Final = {False: _ORDERS, True: _ORDERS_OF_ALL}
