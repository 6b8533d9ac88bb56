"""Figures from orders and refunds, computed from their facts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from service.adapters.postgres.figure_tables import FACTS_BY, LATEST, FigureTables, Parameters, aggregate_table
from service.core.criteria.fields import Purchase


class OrderFigures(FigureTables):
    """Notes the figures from orders that are asked for."""

    def __init__(self, parameters: Parameters | None = None) -> None:
        super().__init__(parameters)
        self._names: dict[Purchase, set[str]] = {}
        self._has_amounts = False
        self._has_dates = False

    def total_orders(self, window: int | None = None) -> str:
        """How many orders count."""
        return self._sum("orders", window)

    def total_spent(self, window: int | None = None) -> str:
        """Their totals less refunds, in minor units."""
        self._has_amounts = True
        return self._sum("amount", window)

    def _sum(self, what: str, window: int | None) -> str:
        within = f" FILTER (WHERE time > {self.ago(window)})" if window else ""
        return f"coalesce({self._column('figures', f'sum({what}){within}')}, 0)"

    def last_order_at(self) -> str:
        """Date of the latest order that counts."""
        return self._column("figures", "max(time) FILTER (WHERE orders = 1)")

    def bought(self, kind: Purchase, names: Sequence[str], window: int | None, *, is_all: bool) -> str:
        """Whether counting orders hold one of the names, or all of them."""
        distinct = sorted(set(names))
        self._names.setdefault(kind, set()).update(distinct)
        hit = f"{kind} = ANY({self.bind(distinct, 'text[]')}){self._within(window)}"
        if is_all:
            held = f"count(DISTINCT {kind}) FILTER (WHERE {hit}) = {self.bind(len(distinct), 'bigint')}"
        else:
            held = f"bool_or({hit})"
        return f"coalesce({self._column('bought', held)}, false)"

    def ordered(self) -> str:
        """The orders that count, as rows (customer_id, as_of, at)."""
        self._has_dates = True
        return "SELECT customer_id, as_of, placed_at AS at FROM counting_orders"

    def _order_tables(self) -> list[str]:
        figures, bought = self._columns.get("figures"), self._columns.get("bought")
        found = []
        if figures or bought or self._has_dates:
            found.append(orders_table(has_totals=self._has_amounts, has_items=bool(bought)))
        if figures:
            found += [*(REFUND_TABLES if self._has_amounts else ()), _entries(has_amounts=self._has_amounts)]
            found.append(aggregate_table("figures", figures, "FROM entries"))
        if bought:
            found += [LINES, aggregate_table("bought", bought, f"FROM lines WHERE {self._wanted_lines()}")]
        return found

    def _wanted_lines(self) -> str:
        return " OR ".join(
            f"{kind} = ANY({self.bind(sorted(names), 'text[]')})" for kind, names in sorted(self._names.items())
        )


def orders_table(*, has_totals: bool, has_items: bool) -> str:
    """The table of orders that count: placed, not cancelled, no test; each field from the latest that names it."""
    columns = {"min(time) FILTER (WHERE kind = 'placed')": "placed_at"}
    if has_totals:
        columns[f"(array_agg(total {LATEST}) FILTER (WHERE total IS NOT NULL))[1]"] = "total"
    if has_items:
        columns[f"(array_agg(items {LATEST}) FILTER (WHERE jsonb_typeof(items) = 'array'))[1]"] = "items"
    counts = "HAVING bool_or(kind = 'placed') AND NOT bool_or(kind = 'cancelled' OR kind = 'placed' AND is_test)"
    return aggregate_table("counting_orders", columns, f"FROM subjects JOIN order_facts {FACTS_BY}", "order_id", counts)


def _entries(*, has_amounts: bool) -> str:
    """What adds to the figures, and when: orders with their refunds, and refunds without order."""
    if not has_amounts:
        return "entries AS (SELECT customer_id, as_of, placed_at AS time, 1 AS orders FROM counting_orders)"
    return f"""entries AS (
    SELECT customer_id, as_of, placed_at AS time, 1 AS orders, {LEFT_OF_TOTAL} AS amount
    FROM counting_orders LEFT JOIN refunded_orders USING (customer_id, as_of, order_id)
    UNION ALL
    SELECT customer_id, as_of, refunded_at, 0, -amount FROM refund_states WHERE order_id IS NULL
)"""  # noqa: S608 - built from constants


#: What an order comes to, of counting_orders left joined with refunded_orders.
LEFT_OF_TOTAL: Final = "CASE WHEN is_in_full THEN 0 ELSE coalesce(total, 0) - coalesce(returned, 0) END"
#: Refunds: amount and order of the latest fact, instant of the earliest; then what each order gave back. Without an
#: amount it was the order in full, whatever else went back.
REFUND_TABLES: Final = (
    f"""refund_states AS (
    SELECT customer_id, as_of, min(time) AS refunded_at,
        (array_agg(order_id {LATEST}))[1] AS order_id, (array_agg(amount {LATEST}))[1] AS amount
    FROM subjects JOIN refunds {FACTS_BY}
    GROUP BY customer_id, as_of, refund_id
)""",  # noqa: S608 - built from constants
    """refunded_orders AS (
    SELECT customer_id, as_of, order_id, sum(amount) AS returned, bool_or(amount IS NULL) AS is_in_full
    FROM refund_states
    WHERE order_id IS NOT NULL
    GROUP BY customer_id, as_of, order_id
)""",
)

#: Lines of the orders that count; names are compared by code point.
LINES: Final = """lines AS (
    SELECT customer_id, as_of, order_id, time, (item ->> 'product_id') COLLATE "C" AS product,
        (item ->> 'category') COLLATE "C" AS category
    FROM (
        SELECT customer_id, as_of, order_id, placed_at AS time, jsonb_array_elements(items) AS item
        FROM counting_orders
    ) AS items
)"""
