"""The ledger of revenue by the facts (docs/analytics.md): what each order, refund and cancellation adds, and when.

It sums up to total_spent at every instant: core.profiles.ledger folds the same facts the same way.
"""

from __future__ import annotations

from typing import Final

from service.adapters.postgres.figure_tables import LATEST

#: Refunds by themselves: amount and order of the latest fact, instant of the earliest.
_REFUNDS: Final = """refunded AS (
    SELECT customer_id, refund_id, min(time) AS at,
        (array_agg(order_id {latest}))[1] AS order_id, (array_agg(amount {latest}))[1] AS amount
    FROM {refunds}
    WHERE time <= :as_of
    GROUP BY customer_id, refund_id
)"""
#: Most orders have one fact that names a total; only the others must be told apart by their stamps.
_ORDERS: Final = """folded AS (
    SELECT customer_id, order_id, min(time) FILTER (WHERE kind = 'placed') AS placed_at,
        min(time) FILTER (WHERE kind = 'cancelled') AS cancelled_at,
        bool_or(kind = 'placed' AND is_test) AS is_test, count(total) AS totals, max(total) AS total
    FROM {orders}
    WHERE time <= :as_of
    GROUP BY customer_id, order_id
)"""
_RENAMED: Final = """renamed AS (
    SELECT DISTINCT ON (customer_id, order_id) customer_id, order_id, order_facts.total
    FROM {orders} JOIN folded USING (customer_id, order_id)
    WHERE time <= :as_of AND order_facts.total IS NOT NULL AND totals > 1
    {latest}
)"""
#: Orders that counted at some instant; one cancelled before it was placed never did.
_SOLD: Final = """sold AS MATERIALIZED (
    SELECT customer_id, order_id, placed_at, cancelled_at, coalesce(renamed.total, folded.total, 0) AS total
    FROM folded LEFT JOIN renamed USING (customer_id, order_id)
    WHERE placed_at IS NOT NULL AND NOT is_test AND (cancelled_at IS NULL OR cancelled_at > placed_at)
)"""
#: A refund takes effect once its order counts, and not after its cancellation.
_GIVEN_BACK: Final = """given_back AS MATERIALIZED (
    SELECT customer_id, order_id, greatest(at, placed_at) AS at, amount, total
    FROM refunded JOIN sold USING (customer_id, order_id)
    WHERE cancelled_at IS NULL OR at <= cancelled_at
)"""
#: A refund in full has no amount: it is all that was left then, and nothing is left for later ones.
_IN_FULL: Final = """in_full AS MATERIALIZED (
    SELECT customer_id, order_id, min(at) AS ended_at, min(total) AS total
    FROM given_back WHERE amount IS NULL GROUP BY customer_id, order_id
)"""
_RETURNED: Final = """returned AS MATERIALIZED (
    SELECT customer_id, order_id, at, amount
    FROM given_back LEFT JOIN in_full USING (customer_id, order_id)
    WHERE amount IS NOT NULL AND (ended_at IS NULL OR at < ended_at)
    UNION ALL
    SELECT in_full.customer_id, in_full.order_id, ended_at, in_full.total - coalesce(sum(before.amount), 0)
    FROM in_full LEFT JOIN given_back AS before
        ON before.customer_id = in_full.customer_id AND before.order_id = in_full.order_id AND before.at < ended_at
    GROUP BY in_full.customer_id, in_full.order_id, ended_at, in_full.total
)"""
_ORDER_LEDGER: Final = """order_ledger AS (
    SELECT customer_id, placed_at AS at, total AS amount FROM sold
    UNION ALL SELECT customer_id, at, -amount FROM returned
    UNION ALL SELECT customer_id, cancelled_at, -total FROM sold WHERE cancelled_at IS NOT NULL
    UNION ALL SELECT customer_id, cancelled_at, returned.amount FROM returned JOIN sold USING (customer_id, order_id)
        WHERE cancelled_at IS NOT NULL
)"""
_LEDGER: Final = """ledger AS (
    SELECT customer_id, at, amount FROM order_ledger
    UNION ALL SELECT customer_id, at, -amount FROM refunded WHERE order_id IS NULL
)"""


def ledger_tables(orders: str = "order_facts", refunds: str = "refunds") -> list[str]:
    """The tables (CTEs) of the ledger in minor units, by the facts up to :as_of.

    `sold` has the orders that counted at some instant, `order_ledger (customer_id, at, amount)` what these add and
    when, `ledger` refunds without order as well.

    Args:
        orders: what stands for `order_facts`, under that name: all of them, or every fact of some orders.
        refunds: the same for `refunds`.
    """
    return [
        _REFUNDS.format(refunds=refunds, latest=LATEST),
        _ORDERS.format(orders=orders),
        _RENAMED.format(orders=orders, latest=LATEST.replace("ORDER BY", "ORDER BY customer_id, order_id,")),
        _SOLD,
        _GIVEN_BACK,
        _IN_FULL,
        _RETURNED,
        _ORDER_LEDGER,
        _LEDGER,
    ]
