"""Stored orders against the facts: the statement of verify that knows the columns of `orders`."""

from __future__ import annotations

from typing import Any, Final

from service.adapters.postgres.criteria_sql import statement
from service.adapters.postgres.order_figures import LEFT_OF_TOTAL, LINES, REFUND_TABLES, orders_table
from service.adapters.postgres.verify_profiles import EVALUATED
from service.app.verify import ProfileDrift

#: Names that orders hold, by the facts: each once, by code point.
_NAMES: Final = """names AS (
    SELECT customer_id, order_id, array_agg(DISTINCT product ORDER BY product) AS products,
        array_agg(DISTINCT category ORDER BY category) FILTER (WHERE category IS NOT NULL) AS categories
    FROM lines
    GROUP BY customer_id, order_id
)"""
_TOLD: Final = f"""told AS (
    SELECT customer_id, order_id, placed_at, coalesce(total, 0) AS total,
        {LEFT_OF_TOTAL} AS amount,
        coalesce(products, '{{}}') AS products, coalesce(categories, '{{}}') AS categories
    FROM counting_orders
        LEFT JOIN refunded_orders USING (customer_id, as_of, order_id)
        LEFT JOIN names USING (customer_id, order_id)
)"""  # noqa: S608 - built from constants
#: Of customers that have a profile; who has orders without one is found elsewhere.
_STORED: Final = "stored AS (SELECT orders.* FROM orders JOIN subjects USING (customer_id))"

#: Customers some of whose orders are not what the facts say.
ORDERS: Final = statement(
    "verify_orders",
    "Customers whose stored orders are not those that count by the facts.",
    [EVALUATED, orders_table(has_totals=True, has_items=True), *REFUND_TABLES, LINES, _NAMES, _TOLD, _STORED],
    """SELECT customer_id, coalesce(external_id, CAST(customer_id AS text)) AS external_id, differing
FROM (
    SELECT customer_id, count(*) AS differing
    FROM told FULL JOIN stored USING (customer_id, order_id)
    WHERE (told.placed_at, told.total, told.amount, told.products, told.categories)
        IS DISTINCT FROM (stored.placed_at, stored.total, stored.amount, stored.products, stored.categories)
    GROUP BY customer_id
) AS judged LEFT JOIN customers USING (customer_id)""",
    {},
)


def order_faults(row: Any) -> ProfileDrift:
    """A row of ORDERS in words."""
    return ProfileDrift(row.customer_id, row.external_id, [f"orders: {row.differing} differ"])
