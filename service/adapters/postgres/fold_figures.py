"""Figures of all customers as of now, from the tables that batches maintain, for answers that cannot wait for facts.

Totals stand in `profiles`, attributes in `customers`, members in `customer_segment_memberships`; windows, purchases and
orders of sequences are counted in `orders`. Only refunds without order, and activities, come from the facts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from service.adapters.postgres.activity_figures import StreamRows
from service.adapters.postgres.fact_figures import LATEST, Figures, instant_sql
from service.core.criteria.fields import CUSTOMER_TYPE, EMAIL_SUBSCRIBED, LOCATION_PARTS, TRAIT_PREFIX, Purchase
from service.core.criteria.model import SequencePredicate
from service.core.instants import INSTANT_MIN, MISSING, to_datetime

#: Attributes with a column of their own in `customers`.
_ATTRIBUTES: Final = (CUSTOMER_TYPE, EMAIL_SUBSCRIBED, *LOCATION_PARTS.values())
#: Tables of folds, which know no other instant than now; the others have a column for it.
_FOLDS: Final = ("figures", "bought", "all_product", "all_category", "belongs")
#: What `orders` holds of each kind.
_HELD: Final = {Purchase.PRODUCT: "products", Purchase.CATEGORY: "categories"}


class FoldFigures(Figures):
    """As Figures, for every customer that exists, at one instant: now. `tables` begins with `subjects`.

    What has not been applied yet, being on its way or in the future, is not in the folds and does not count.
    """

    def __init__(self, now: int) -> None:
        super().__init__()
        self._now = now
        self._has_attributes = False
        #: The tables of folds that are asked for, with the widest window of each; None: all the way back.
        self._reach: dict[str, int | None] = {}
        #: Names of which some criterion asks all.
        self._all_names: dict[Purchase, set[str]] = {}
        self._members: dict[UUID, str] = {}
        self._are_orders_of_active = False
        # Whoever did something exists, so that activities need not be looked up among `subjects`.
        done = f"(SELECT *, {self._as_of} AS as_of FROM activities) AS activities WHERE time <= as_of"  # noqa: S608
        self._activities = {name: StreamRows(self._parameters, done) for name in self._activities}
        self._happened = StreamRows(self._parameters, done)

    @property
    def _as_of(self) -> str:
        return self.bind(to_datetime(self._now), "timestamptz")

    def ago(self, span: int) -> str:
        """The instant now minus a span in microseconds; before the calendar begins nothing ever happened."""
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
        return instant_sql("subjects.last_order_at")

    def registered_at(self) -> str:
        """The first registration."""
        return instant_sql("subjects.registered_at")

    def last_login_at(self) -> str:
        """The latest login."""
        return instant_sql("subjects.last_login_at")

    def attribute(self, field: str) -> str:
        """The jsonb value of customer_type, country, traits.<key>, ...: NULL where it is missing."""
        self._has_attributes = True
        if field.startswith(TRAIT_PREFIX):
            return f"(customers.traits -> {self.bind(field.removeprefix(TRAIT_PREFIX), 'text')})"
        assert field in _ATTRIBUTES  # noqa: S101 - the vocabulary of criteria; it goes into the text
        return f"to_jsonb(customers.{field})"

    def bought(self, kind: Purchase, names: Sequence[str], window: int | None, *, is_all: bool) -> str:
        """Whether counting orders hold one of the names, or all of them."""
        distinct = sorted(set(names))
        listed = self.bind(distinct, "text[]")
        if not is_all or len(distinct) == 1:
            self._reach_back("bought", window)
            self._names.setdefault(kind, set()).update(distinct)
            found = self._column("bought", f"bool_or({_HELD[kind]} && {listed}{self._within(window)})")
        else:
            table = f"all_{kind}"
            self._reach_back(table, window)
            self._all_names.setdefault(kind, set()).update(distinct)
            hits = f"count(*) FILTER (WHERE name = ANY({listed}){self._within(window)})"
            found = self._column(table, f"{hits} = {self.bind(len(distinct), 'bigint')}")
        return f"coalesce({found}, false)"

    def member(self, segment_id: UUID, to_sql: Any) -> str:
        """Whether the customer is a member of another segment, as it is stored."""
        wanted = self._members.setdefault(segment_id, self.bind(segment_id, "uuid"))
        return f"coalesce({self._column('belongs', f'bool_or(segment_id = {wanted})')}, false)"

    def sequence(self, predicate: SequencePredicate) -> str:
        """Whether it has ever happened."""
        # Where a step must be an activity, only the orders of who was active matter: mostly few of all.
        self._are_orders_of_active = any(step.stream is not None and not step.is_not for step in predicate.steps)
        return super().sequence(predicate)

    def ordered(self) -> str:
        """The orders that count, as rows (customer_id, as_of, at)."""
        active = " WHERE customer_id IN (SELECT customer_id FROM happened)" if self._are_orders_of_active else ""
        return f"SELECT customer_id, {self._as_of} AS as_of, placed_at AS at FROM orders{active}"  # noqa: S608

    def _reach_back(self, table: str, window: int | None) -> None:
        known = self._reach.get(table, 0)
        self._reach[table] = None if window is None or known is None else max(known, window)

    def _since(self, table: str) -> str:
        """A condition on orders that leaves out what no window of the table reaches."""
        reach = self._reach[table]
        return "true" if reach is None else f"placed_at > {self.ago(reach)}"

    def source(self) -> str:
        """What follows FROM: `subjects` with all figures beside each row."""
        customers = " JOIN customers USING (customer_id)" if self._has_attributes else ""
        keys = {table: "customer_id" if table in _FOLDS else "customer_id, as_of" for table in self._columns}
        return f"subjects{customers}" + "".join(f" LEFT JOIN {table} USING ({key})" for table, key in keys.items())

    def tables(self) -> list[str]:
        """`subjects` and the tables that follow it, each as `name AS (...)`."""
        found = [self._subjects()]
        if "figures" in self._reach:
            found += self._figures_tables()
        if "bought" in self._reach:
            found.append(self._materialized("bought", self._orders_with_names()))
        found += [self._materialized(f"all_{kind}", self._latest_by_name(kind)) for kind in sorted(self._all_names)]
        if self._members:
            found.append(self._materialized("belongs", self._open_memberships()))
        return [*found, *self._activity_tables(), *self._sequence_tables()]

    def _subjects(self) -> str:
        """Everybody but those who are known by events alone whose time has not come."""
        return f"""subjects AS NOT MATERIALIZED (
    SELECT customer_id, total_orders, total_spent, registered_at, last_order_at, last_login_at, {self._as_of} AS as_of
    FROM profiles
    WHERE first_seen_at > {self.bind(MISSING, "bigint")}
)"""  # noqa: S608 - built from constants and parameters

    def _figures_tables(self) -> list[str]:
        entries = (
            f"SELECT customer_id, placed_at AS time, 1 AS orders, amount FROM orders WHERE {self._since('figures')}"  # noqa: S608
        )
        tables = []
        if self._has_amounts:
            tables.append(_LOOSE_REFUNDS.format(now=self._as_of))
            entries += "\n        UNION ALL SELECT customer_id, refunded_at, 0, -amount FROM loose_refunds"
        return [*tables, self._materialized("figures", f"({entries}) AS entries")]

    def _orders_with_names(self) -> str:
        wanted = " OR ".join(
            f"{_HELD[kind]} && {self.bind(sorted(names), 'text[]')}" for kind, names in sorted(self._names.items())
        )
        rows = f"SELECT customer_id, placed_at AS time, products, categories FROM orders WHERE {self._since('bought')}"  # noqa: S608
        return f"({rows} AND ({wanted})) AS orders"

    def _latest_by_name(self, kind: Purchase) -> str:
        wanted = self.bind(sorted(self._all_names[kind]), "text[]")
        return f"""(
        SELECT customer_id, name, max(placed_at) AS time
        FROM orders CROSS JOIN LATERAL unnest({_HELD[kind]}) AS held (name)
        WHERE {self._since(f"all_{kind}")} AND {_HELD[kind]} && {wanted} AND name = ANY({wanted})
        GROUP BY customer_id, name
    ) AS latest"""  # noqa: S608 - built from constants and parameters

    def _open_memberships(self) -> str:
        """A segment that is on its way out has members stored until all have left, and none that count."""
        return f"""customer_segment_memberships
    WHERE left_at IS NULL AND segment_id IN (
        SELECT id FROM customer_segments
        WHERE id = ANY({self.bind(sorted(self._members), "uuid[]")}) AND status = 'active' AND NOT is_deleted
    )"""  # noqa: S608 - as above

    def _materialized(self, table: str, origin: str) -> str:
        """The table of these columns by customer; made once, where each parallel worker would make it for itself."""
        listed = ", ".join(f"{expression} AS {alias}" for expression, alias in self._columns[table].items())
        query = f"SELECT customer_id, {listed}\n    FROM {origin}\n    GROUP BY customer_id"  # noqa: S608 - as above
        return f"{table} AS MATERIALIZED (\n    {query}\n)"


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
