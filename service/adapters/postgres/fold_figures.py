"""Figures of all customers as of now, from the tables that batches maintain: for answers that cannot wait for the facts.

Totals stand in `profiles`, attributes in `customers`; windows and purchases are counted in `orders`. Only refunds without
order have no fold of their own and come from the facts, as do activities.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from service.adapters.postgres.fact_figures import LATEST, Figures, instant_sql
from service.core.criteria.fields import CUSTOMER_TYPE, EMAIL_SUBSCRIBED, LOCATION_PARTS, TRAIT_PREFIX, Purchase
from service.core.instants import INSTANT_MIN, MISSING, to_datetime

#: Attributes with a column of their own in `customers`.
_COLUMNS: Final = (CUSTOMER_TYPE, EMAIL_SUBSCRIBED, *LOCATION_PARTS.values())
_HELD: Final = {Purchase.PRODUCT: "products", Purchase.CATEGORY: "categories"}


class FoldFigures(Figures):
    """As Figures, for every customer that exists, at one instant: now. It defines `subjects` itself.

    What has not been applied yet, being in the future or on its way, is not in the folds and does not count.
    """

    def __init__(self, now: int) -> None:
        super().__init__()
        self._now = now
        self._has_attributes = False
        #: How far back `orders` must be read, by table; None: to the beginning.
        self._reach: dict[str, int | None] = {}
        #: kind -> names that some criterion asks all of, and what to compute of them.
        self._all_of: dict[Purchase, tuple[set[str], dict[str, str]]] = {}

    def ago(self, span: int) -> str:
        """The instant now minus a span in microseconds; before the calendar begins there is nothing anyway."""
        return self.bind(to_datetime(max(self._now - span, INSTANT_MIN - 1)), "timestamptz")

    def total_orders(self, window: int | None = None) -> str:
        """How many orders count."""
        if window is None:
            return "subjects.total_orders"
        self._reach_back("figures", window)
        return super().total_orders(window)

    def total_spent(self, window: int | None = None) -> str:
        """Their totals less refunds, in minor units."""
        if window is None:
            return "subjects.total_spent"
        self._reach_back("figures", window)
        return super().total_spent(window)

    def last_order_at(self) -> str:
        """Date of the latest order that counts."""
        return _moment("last_order_at")

    def registered_at(self) -> str:
        """The first registration."""
        return _moment("registered_at")

    def last_login_at(self) -> str:
        """The latest login."""
        return _moment("last_login_at")

    def attribute(self, field: str) -> str:
        """The jsonb value of customer_type, country, traits.<key>, ...: NULL where it is missing."""
        self._has_attributes = True
        if field.startswith(TRAIT_PREFIX):
            return f"(subjects.traits -> {self.bind(field.removeprefix(TRAIT_PREFIX), 'text')})"
        assert field in _COLUMNS  # noqa: S101 - the criteria's vocabulary; it goes into the text
        return f"to_jsonb(subjects.{field})"

    def bought(self, kind: Purchase, names: Sequence[str], window: int | None, *, is_all: bool) -> str:
        """Whether counting orders hold one of the names, or all of them."""
        distinct = sorted(set(names))
        listed = self.bind(distinct, "text[]")
        if not is_all or len(distinct) == 1:
            self._reach_back("bought", window)
            self._names.setdefault(kind, set()).update(distinct)
            within = f" AND placed_at > {self.ago(window)}" if window else ""
            return f"coalesce({self._column('bought', f'bool_or({_HELD[kind]} && {listed}{within})')}, false)"
        table = f"all_{kind}"
        self._reach_back(table, window)
        wanted, columns = self._all_of.setdefault(kind, (set(), {}))
        wanted.update(distinct)
        within = f" AND latest > {self.ago(window)}" if window else ""
        held = f"count(*) FILTER (WHERE name = ANY({listed}){within}) = {self.bind(len(distinct), 'bigint')}"
        return f"coalesce({table}.{columns.setdefault(held, f'a{len(columns)}')}, false)"

    def _reach_back(self, table: str, window: int | None) -> None:
        known = self._reach.get(table, 0)
        self._reach[table] = None if window is None or known is None else max(known, window)

    def _since(self, table: str) -> str:
        """A condition on orders that leaves out what no window of the table reaches."""
        reach = self._reach[table]
        return "true" if reach is None else f"placed_at > {self.ago(reach)}"

    def source(self) -> str:
        """What follows FROM: `subjects` with all figures beside each row."""
        joins = "".join(f" LEFT JOIN {table} USING (customer_id)" for table in self._reach)
        return f"subjects{joins}"

    def tables(self) -> list[str]:
        """`subjects` and the tables that follow it, each as `name AS (...)`.

        What is aggregated is MATERIALIZED: else each parallel worker would aggregate all of it again for itself.
        """
        makers = {"figures": self._figures_table, "bought": self._bought_table}
        found = [self._subjects()]
        for table in self._reach:
            found += makers[table]() if table in makers else self._all_table(Purchase(table.removeprefix("all_")))
        return found

    def _subjects(self) -> str:
        named = "customer_id, p.total_orders, p.total_spent, p.registered_at, p.last_order_at, p.last_login_at"
        customers = ""
        if self._has_attributes:
            named += "".join(f", c.{column}" for column in (*_COLUMNS, "traits"))
            customers = " JOIN customers c USING (customer_id)"
        as_of = self.bind(to_datetime(self._now), "timestamptz")
        # Who is known by events alone whose time has not come does not exist yet.
        return f"""subjects AS NOT MATERIALIZED (
    SELECT {named}, {as_of} AS as_of
    FROM profiles p{customers}
    WHERE p.first_seen_at > {self.bind(MISSING, "bigint")}
)"""  # noqa: S608 - built from constants and parameters

    def _figures_table(self) -> list[str]:
        entries = f"SELECT customer_id, placed_at AS time, 1 AS orders, amount FROM orders WHERE {self._since('figures')}"  # noqa: S608
        tables = []
        if self._has_amounts:
            tables.append(_LOOSE_REFUNDS.format(now=self.bind(to_datetime(self._now), "timestamptz")))
            entries += "\n        UNION ALL SELECT customer_id, refunded_at, 0, -amount FROM loose_refunds"
        return [*tables, _materialized("figures", self._columns["figures"], f"({entries}) AS entries")]

    def _bought_table(self) -> list[str]:
        wanted = " OR ".join(
            f"{_HELD[kind]} && {self.bind(sorted(names), 'text[]')}" for kind, names in sorted(self._names.items())
        )
        return [_materialized("bought", self._columns["bought"], f"orders WHERE {self._since('bought')} AND ({wanted})")]

    def _all_table(self, kind: Purchase) -> list[str]:
        table, (names, columns) = f"all_{kind}", self._all_of[kind]
        wanted = self.bind(sorted(names), "text[]")
        origin = f"""(
        SELECT customer_id, name, max(placed_at) AS latest
        FROM orders CROSS JOIN LATERAL unnest({_HELD[kind]}) AS held (name)
        WHERE {self._since(table)} AND {_HELD[kind]} && {wanted} AND name = ANY({wanted})
        GROUP BY customer_id, name
    ) AS latest"""  # noqa: S608 - built from constants and parameters
        return [_materialized(table, columns, origin)]


#: Refunds without order: amount and order of the latest fact, instant of the earliest.
_LOOSE_REFUNDS: Final = f"""loose_refunds AS (
    SELECT customer_id, refunded_at, amount
    FROM (
        SELECT customer_id, min(time) AS refunded_at,
            (array_agg(order_id {LATEST}))[1] AS order_id, (array_agg(amount {LATEST}))[1] AS amount
        FROM refunds
        WHERE time <= {{now}}
            AND (customer_id, refund_id) IN (SELECT customer_id, refund_id FROM refunds WHERE order_id IS NULL)
        GROUP BY customer_id, refund_id
    ) AS states
    WHERE order_id IS NULL
)"""  # noqa: S608 - built from constants


def _moment(column: str) -> str:
    return instant_sql(f"subjects.{column}")


def _materialized(name: str, columns: dict[str, str], origin: str) -> str:
    listed = ", ".join(f"{expression} AS {alias}" for expression, alias in columns.items())
    return f"{name} AS MATERIALIZED (\n    SELECT customer_id, {listed}\n    FROM {origin}\n    GROUP BY customer_id\n)"  # noqa: S608
