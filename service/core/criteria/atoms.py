"""Predicates as atoms: "the value of a column lies within [low, high]"; what the plan evaluates."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Final, NamedTuple

from service.core.criteria.fields import Instant, Number, PurchaseKey
from service.core.criteria.model import (
    ActivityPredicate,
    All,
    AnyOf,
    AttributePredicate,
    Criteria,
    DatePredicate,
    MemberPredicate,
    Not,
    NumberPredicate,
    PurchasePredicate,
    SequencePredicate,
)
from service.core.criteria.needs import EXACT, Needs, measure_of
from service.core.instants import MISSING

#: Places of the columns that every row has; windows, purchases, measures and sequences follow.
AS_OF, TOTAL_ORDERS, TOTAL_SPENT, REGISTERED_AT, LAST_ORDER_AT, LAST_LOGIN_AT, ATTRIBUTES = range(7)
FIRST_WINDOW: Final = 7

LOWEST: Final = MISSING + 1
HIGHEST: Final = 2**63 - 1
#: Bounds on averages are whole in hundredths of minor units (criteria allow them 4 decimals).
AVERAGE_SCALE: Final = 10_000
#: Age of an instant that is missing; older than every age.
NEVER: Final = HIGHEST

_INSTANT_COLUMNS: Final = {
    Instant.REGISTRATION_DATE: REGISTERED_AT,
    Instant.LAST_ORDER_DATE: LAST_ORDER_AT,
    Instant.LAST_LOGIN: LAST_LOGIN_AT,
}


class Source(NamedTuple):
    """A column that atoms compare: as it stands, its age at the row's instant, or an average rounded either way."""

    kind: str  # value, age, floor, ceiling
    column: int
    orders: int = 0  # of floor and ceiling: the column of orders that `column` is divided by


class Atom(NamedTuple):
    """True where low <= source <= high."""

    source: Source
    low: int
    high: int


class Every(NamedTuple):
    """All parts hold; true without parts."""

    parts: tuple[Tree, ...]


class Some(NamedTuple):
    """At least one part holds."""

    parts: tuple[Tree, ...]


class Opposite(NamedTuple):
    """The part does not hold."""

    part: Tree


Tree = Atom | AttributePredicate | MemberPredicate | Every | Some | Opposite


class Compiler:
    """Turns predicates into trees of atoms, remembering each atom once."""

    def __init__(self, needs: Needs) -> None:
        self.needs = needs
        self.atoms: dict[Atom, None] = {}
        self.tests: dict[AttributePredicate, None] = {}
        self._windows = {window.span: FIRST_WINDOW + 2 * index for index, window in enumerate(needs.windows)}
        first_purchase = FIRST_WINDOW + 2 * len(needs.windows)
        self._purchases = {key: first_purchase + index for index, key in enumerate(needs.purchases)}
        first = first_purchase + len(needs.purchases)
        self._measures = {one.measure: (first + index, one.bounds) for index, one in enumerate(needs.measures)}
        first += len(needs.measures)
        self._sequences = {sequence: first + index for index, sequence in enumerate(needs.sequences)}

    def tree(self, criteria: Criteria) -> Tree:
        """The tree with atoms and attribute tests as leaves."""
        if isinstance(criteria, All):
            return Every(tuple(self.tree(part) for part in criteria.parts))
        if isinstance(criteria, AnyOf):
            return Some(tuple(self.tree(part) for part in criteria.parts))
        if isinstance(criteria, Not):
            return Opposite(self.tree(criteria.part))
        if isinstance(criteria, AttributePredicate):
            self.tests.setdefault(criteria)
            return criteria
        if isinstance(criteria, MemberPredicate):
            return criteria
        if isinstance(criteria, ActivityPredicate):
            return self._activity(criteria)
        if isinstance(criteria, SequencePredicate):
            return self._atom(Source("value", self._sequences[criteria]), 1, 1)
        if isinstance(criteria, NumberPredicate):
            return self._number(criteria)
        if isinstance(criteria, PurchasePredicate):
            return self._purchase(criteria)
        column = _INSTANT_COLUMNS[criteria.field]
        if isinstance(criteria, DatePredicate):
            low = LOWEST if criteria.low is None else criteria.low
            return self._atom(Source("value", column), low, HIGHEST if criteria.high is None else criteria.high)
        return self._age(column, criteria.span, criteria.is_within)

    def _atom(self, source: Source, low: int, high: int) -> Atom:
        atom = Atom(source, max(low, LOWEST), min(high, HIGHEST))
        self.atoms.setdefault(atom)
        return atom

    def _age(self, column: int, span: int, is_within: bool) -> Atom:
        source = Source("age", column)
        return self._atom(source, LOWEST, span - 1) if is_within else self._atom(source, span, NEVER - 1)

    def _number(self, predicate: NumberPredicate) -> Tree:
        orders, spent = TOTAL_ORDERS, TOTAL_SPENT
        if predicate.window:
            orders = self._windows[predicate.window]
            spent = orders + 1
        if predicate.field is Number.AVERAGE_ORDER_VALUE:
            return self._average(predicate, orders, spent)
        is_money = predicate.field is Number.TOTAL_SPENT
        low, high = _bounds(predicate, 100 if is_money else 1)
        return self._atom(Source("value", spent if is_money else orders), low, high)

    def _average(self, predicate: NumberPredicate, orders: int, spent: int) -> Tree:
        floor, ceiling = Source("floor", spent, orders), Source("ceiling", spent, orders)
        low = int(_scaled(predicate.low, AVERAGE_SCALE))
        if predicate.operator == "gt":
            return self._atom(ceiling, low + 1, HIGHEST)
        if predicate.operator == "gte":
            return self._atom(floor, low, HIGHEST)
        if predicate.operator == "lt":
            return self._atom(floor, LOWEST, low - 1)
        if predicate.operator == "lte":
            return self._atom(ceiling, LOWEST, low)
        high = low if predicate.high is None else int(_scaled(predicate.high, AVERAGE_SCALE))
        return Every((self._atom(floor, low, HIGHEST), self._atom(ceiling, LOWEST, high)))

    def _activity(self, predicate: ActivityPredicate) -> Tree:
        """Compares places among bounds (needs.Bounded)."""
        column, bounds = self._measures[measure_of(predicate)]
        place = 2 * bounds.index(predicate.low) + 1
        high = place if predicate.high is None else 2 * bounds.index(predicate.high) + 1
        low, high = {
            "eq": (place, place),
            "gt": (place + 1, HIGHEST),
            "gte": (place, HIGHEST),
            "lt": (LOWEST, place - 1),
            "lte": (LOWEST, place),
            "between": (place, high),
        }[predicate.operator]
        return self._atom(Source("value", column), low, high)

    def _purchase(self, predicate: PurchasePredicate) -> Tree:
        held = tuple(
            self._age(column, predicate.window, is_within=True)
            if predicate.window
            else self._atom(Source("value", column), LOWEST, HIGHEST)
            for column in (self._purchases[PurchaseKey(predicate.kind, name)] for name in predicate.names)
        )
        if predicate.quantifier == "all":
            return Every(held)
        return Some(held) if predicate.quantifier == "any" else Opposite(Some(held))


def _bounds(predicate: NumberPredicate, scale: int) -> tuple[int, int]:
    """The whole numbers that satisfy the operator, as an inclusive range; empty where low > high."""
    value = _scaled(predicate.low, scale)
    floor, ceiling = int(value.to_integral_value(ROUND_FLOOR)), int(value.to_integral_value(ROUND_CEILING))
    if predicate.operator == "between":
        assert predicate.high is not None  # noqa: S101 - parse gives between two bounds
        return ceiling, int(_scaled(predicate.high, scale).to_integral_value(ROUND_FLOOR))
    return {
        "eq": (ceiling, floor),
        "gt": (floor + 1, HIGHEST),
        "gte": (ceiling, HIGHEST),
        "lt": (LOWEST, ceiling - 1),
        "lte": (LOWEST, floor),
    }[predicate.operator]


def _scaled(value: Decimal, scale: int) -> Decimal:
    """The exact product; Python's default context would round to 28 digits."""
    return EXACT.multiply(value, Decimal(scale))
