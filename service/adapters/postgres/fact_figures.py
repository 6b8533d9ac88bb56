"""Figures of customers in SQL, computed from the fact tables alone: those that are asked for, and no more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from service.core.criteria.fields import LOCATION_PARTS, TRAIT_PREFIX, Purchase

#: Who is known, since when, and from when on erased. Guests (the UUID of zeros) are no customers.
SEEN: Final = """seen AS (
    SELECT customer_id, min(time) AS first_at, min(time) FILTER (WHERE is_end) AS ended_at
    FROM (
        SELECT customer_id, time, false AS is_end FROM order_facts
        UNION ALL SELECT customer_id, time, false FROM refunds
        UNION ALL SELECT customer_id, time, false FROM activities
        UNION ALL SELECT customer_id, time, kind = 'deleted' FROM customer_facts
    ) AS facts
    WHERE customer_id <> '00000000-0000-0000-0000-000000000000'
    GROUP BY customer_id
)"""
#: Whether a customer of `seen` exists at `as_of`; false where the customer is not in `seen` at all.
EXISTS: Final = "coalesce(first_at <= as_of AND (ended_at IS NULL OR ended_at > as_of), false)"

#: The latest fact first: by time, then sequence (missing is first, so last here), then event id (CONTRACT 3.1).
LATEST: Final = "ORDER BY time DESC, sequence DESC NULLS LAST, event_id DESC"
_FACTS_BY: Final = "USING (customer_id) WHERE time <= as_of"


def instant_sql(microseconds: str) -> str:
    """SQL for the timestamptz of a bigint expression, to the microsecond; what lies outside the calendar is infinite.

    Whole seconds and the rest apart: a bigint becomes a double when it multiplies an interval, which is exact only
    below 2^53, that is for the years 1684 to 2255 in microseconds.
    """
    return (
        f"CASE WHEN {microseconds} < -62135596800000000 THEN timestamptz '-infinity'"
        f" WHEN {microseconds} > 253402300799999999 THEN timestamptz 'infinity'"
        f" ELSE timestamptz '1970-01-01 00:00:00+00' + {microseconds} / 1000000 * interval '1 second'"
        f" + {microseconds} % 1000000 * interval '1 microsecond' END"
    )


def microseconds_sql(instant: str) -> str:
    """SQL for the microseconds since the epoch of a finite timestamptz expression, exactly."""
    return f"CAST(extract(epoch FROM {instant}) * 1000000 AS bigint)"


class Figures:
    """Notes which figures are asked for, then writes the tables (CTEs) that compute them.

    The figures are those of the rows of a table `subjects (customer_id, as_of)`, which the statement must define before
    them; a customer may stand there at several instants. Each method gives a SQL expression for use over `source()`.
    Facts later than `as_of` do not count. Values are bound, never written into the text.
    """

    def __init__(self) -> None:
        self.parameters: dict[str, Any] = {}
        self._bound: dict[tuple[str, str, object], str] = {}
        self._columns: dict[str, dict[str, str]] = {"figures": {}, "bought": {}, "lives": {}}
        self._kinds: set[str] = set()
        self._names: dict[Purchase, set[str]] = {}
        self._has_amounts = False

    def bind(self, value: object, kind: str) -> str:
        """A parameter of this SQL type with this value; equal ones are bound once."""
        key = (kind, type(value).__name__, tuple(value) if isinstance(value, list) else value)
        name = self._bound.get(key)
        if name is None:
            name = self._bound[key] = f"p{len(self._bound)}"
            self.parameters[name] = value
        return f"CAST(:{name} AS {kind})"

    def _column(self, table: str, expression: str) -> str:
        columns = self._columns[table]
        return f"{table}.{columns.setdefault(expression, f'{table[0]}{len(columns)}')}"

    def ago(self, span: int) -> str:
        """The instant `as_of` minus a span in microseconds; below 2^53 of them the product is exact."""
        return f"as_of - {self.bind(span, 'bigint')} * interval '1 microsecond'"

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

    def registered_at(self) -> str:
        """The first registration."""
        return self._moment("min", "registered")

    def last_login_at(self) -> str:
        """The latest login."""
        return self._moment("max", "logged_in")

    def _moment(self, pick: str, kind: str) -> str:
        self._kinds.add(kind)
        return self._column("lives", f"{pick}(time) FILTER (WHERE kind = '{kind}')")

    def attribute(self, field: str) -> str:
        """The jsonb value of customer_type, country, traits.<key>, ...: NULL or a JSON null where it is missing."""
        self._kinds |= {"registered", "updated"}
        holder, key = "data", field
        if field.startswith(TRAIT_PREFIX):
            holder, key = "data -> 'traits'", field.removeprefix(TRAIT_PREFIX)
        elif field in LOCATION_PARTS.values():
            key = "location"
        named = self.bind(key, "text")
        # `?` finds texts in arrays and plain strings too; only an object names a field.
        is_named = f"jsonb_typeof({holder}) = 'object' AND {holder} ? {named}"
        found = self._column("lives", f"(array_agg({holder} -> {named} {LATEST}) FILTER (WHERE {is_named}))[1]")
        return f"({found} -> {self.bind(field, 'text')})" if key == "location" and field != key else found

    def bought(self, kind: Purchase, names: Sequence[str], window: int | None, *, is_all: bool) -> str:
        """Whether counting orders hold one of the names, or all of them."""
        distinct = sorted(set(names))
        self._names.setdefault(kind, set()).update(distinct)
        hit = f"{kind} = ANY({self.bind(distinct, 'text[]')})"
        if window:
            hit += f" AND time > {self.ago(window)}"
        if is_all:
            held = f"count(DISTINCT {kind}) FILTER (WHERE {hit}) = {self.bind(len(distinct), 'bigint')}"
        else:
            held = f"bool_or({hit})"
        return f"coalesce({self._column('bought', held)}, false)"

    def source(self) -> str:
        """What follows FROM: `subjects` with all figures beside each row."""
        joins = (
            f" LEFT JOIN {table} USING (customer_id, as_of)" for table, columns in self._columns.items() if columns
        )
        return "subjects" + "".join(joins)

    def tables(self) -> list[str]:
        """The tables that follow `subjects`, each as `name AS (...)`."""
        figures, bought, lives = self._columns.values()
        found = []
        if figures or bought:
            found.append(self._orders())
        if figures:
            found += [*(_REFUND_TABLES if self._has_amounts else ()), self._entries()]
            found.append(_aggregate("figures", figures, "FROM entries"))
        if bought:
            found += [_LINES, _aggregate("bought", bought, f"FROM lines WHERE {self._wanted_lines()}")]
        if lives:
            kinds = ", ".join(f"'{kind}'" for kind in sorted(self._kinds))
            of_kinds = f"FROM subjects JOIN customer_facts {_FACTS_BY} AND kind IN ({kinds})"
            found.append(_aggregate("lives", lives, of_kinds))
        return found

    def _orders(self) -> str:
        """Orders that count: placed, not cancelled, no test; each field from the latest that names it."""
        columns = {"min(time) FILTER (WHERE kind = 'placed')": "placed_at"}
        if self._has_amounts:
            columns[f"(array_agg(total {LATEST}) FILTER (WHERE total IS NOT NULL))[1]"] = "total"
        if self._columns["bought"]:
            columns[f"(array_agg(items {LATEST}) FILTER (WHERE jsonb_typeof(items) = 'array'))[1]"] = "items"
        counts = "HAVING bool_or(kind = 'placed') AND NOT bool_or(kind = 'cancelled' OR kind = 'placed' AND is_test)"
        origin = f"FROM subjects JOIN order_facts {_FACTS_BY}"
        return _aggregate("counting_orders", columns, origin, "order_id", counts)

    def _entries(self) -> str:
        """What adds to the figures, and when: orders with their refunds, and refunds without order."""
        if not self._has_amounts:
            return "entries AS (SELECT customer_id, as_of, placed_at AS time, 1 AS orders FROM counting_orders)"
        return """entries AS (
    SELECT customer_id, as_of, placed_at AS time, 1 AS orders, coalesce(total, 0) - coalesce(returned, 0) AS amount
    FROM counting_orders LEFT JOIN refunded_orders USING (customer_id, as_of, order_id)
    UNION ALL
    SELECT customer_id, as_of, refunded_at, 0, -amount FROM refund_states WHERE order_id IS NULL
)"""

    def _wanted_lines(self) -> str:
        return " OR ".join(
            f"{kind} = ANY({self.bind(sorted(names), 'text[]')})" for kind, names in sorted(self._names.items())
        )


#: Refunds: amount and order of the latest fact, instant of the earliest; then what each order gave back.
_REFUND_TABLES: Final = (
    f"""refund_states AS (
    SELECT customer_id, as_of, min(time) AS refunded_at,
        (array_agg(order_id {LATEST}))[1] AS order_id, (array_agg(amount {LATEST}))[1] AS amount
    FROM subjects JOIN refunds {_FACTS_BY}
    GROUP BY customer_id, as_of, refund_id
)""",  # noqa: S608 - built from constants
    """refunded_orders AS (
    SELECT customer_id, as_of, order_id, sum(amount) AS returned
    FROM refund_states
    WHERE order_id IS NOT NULL
    GROUP BY customer_id, as_of, order_id
)""",
)

#: Lines of the orders that count; names are compared by code point.
_LINES: Final = """lines AS (
    SELECT customer_id, as_of, time, (item ->> 'product_id') COLLATE "C" AS product,
        (item ->> 'category') COLLATE "C" AS category
    FROM (
        SELECT customer_id, as_of, placed_at AS time, jsonb_array_elements(items) AS item FROM counting_orders
    ) AS items
)"""


def _aggregate(name: str, columns: dict[str, str], origin: str, key: str = "", having: str = "") -> str:
    """A table of aggregates by customer and instant, and by one more key where it is given."""
    keys = f"customer_id, as_of, {key}" if key else "customer_id, as_of"
    listed = ",\n        ".join(f"{expression} AS {alias}" for expression, alias in columns.items())
    return f"{name} AS (\n    SELECT {keys},\n        {listed}\n    {origin}\n    GROUP BY {keys} {having}\n)"
