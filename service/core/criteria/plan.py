"""Criteria of all segments compiled into one plan over columns: the evaluator of the hot path.

Every predicate becomes one or more atoms: "the value of a column lies within [low, high]". Atoms are shared by all
segments and grouped by column, so that each column is compared once with all its bounds; a segment is then a small
boolean program over rows of atoms. Columns are int64; money is minor units, instants are microseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.core.criteria.fields import Instant, Needs, Number, PurchaseKey
from service.core.criteria.model import (
    AgePredicate,
    All,
    AnyOf,
    AttributePredicate,
    Criteria,
    DatePredicate,
    Not,
    NumberPredicate,
    PurchasePredicate,
    predicates,
)
from service.core.criteria.operators import attribute_holds
from service.core.instants import MISSING

Column = NDArray[np.int64]
Bits = NDArray[np.bool_]

#: Places of the columns that every row has; windows and purchases follow.
AS_OF, TOTAL_ORDERS, TOTAL_SPENT, REGISTERED_AT, LAST_ORDER_AT, LAST_LOGIN_AT, ATTRIBUTES = range(7)
FIRST_WINDOW: Final = 7

LOWEST: Final = MISSING + 1
HIGHEST: Final = 2**63 - 1
#: Bounds on averages are whole in hundredths of minor units (criteria allow them 4 decimals).
AVERAGE_SCALE: Final = 10_000
EXACT: Final = Context(prec=100)
#: Age of an instant that is missing; older than every age.
NEVER: Final = HIGHEST
ATTRIBUTE_KEYS_MAX: Final = 100_000

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


Tree = Atom | AttributePredicate | Every | Some | Opposite


def needs_of(criteria: Iterable[Criteria]) -> Needs:
    """What these criteria ask of a profile."""
    windows: set[int] = set()
    offsets: dict[Instant, set[int]] = {instant: set() for instant in Instant}
    purchases: dict[PurchaseKey, set[int]] = {}
    attributes: set[str] = set()
    for one in criteria:
        for predicate in predicates(one):
            if isinstance(predicate, NumberPredicate) and predicate.window:
                windows.add(predicate.window)
            elif isinstance(predicate, AgePredicate):
                offsets[predicate.field].add(predicate.span)
            elif isinstance(predicate, AttributePredicate):
                attributes.add(predicate.field)
            elif isinstance(predicate, PurchasePredicate):
                for name in predicate.names:
                    spans = purchases.setdefault(PurchaseKey(predicate.kind, name), set())
                    if predicate.window:
                        spans.add(predicate.window)
    keys = tuple(sorted(purchases))
    return Needs(
        windows=tuple(sorted(windows)),
        registration_offsets=tuple(sorted(offsets[Instant.REGISTRATION_DATE])),
        order_offsets=tuple(sorted(offsets[Instant.LAST_ORDER_DATE])),
        login_offsets=tuple(sorted(offsets[Instant.LAST_LOGIN])),
        purchases=keys,
        purchase_offsets=tuple((key, tuple(sorted(purchases[key]))) for key in keys if purchases[key]),
        attributes=tuple(sorted(attributes)),
    )


Program = Callable[[Bits], Bits]


@dataclass(eq=False)
class Plan:
    """All segments' criteria, ready to be evaluated over rows; `slots` are the segments' places."""

    needs: Needs
    slots: Column
    atoms: list[Atom]
    groups: list[tuple[Source, int, int, Column, Column]]  # atoms first..last of a source, lows, highs
    attribute_tests: list[AttributePredicate]
    programs: list[Program]
    _keys: dict[tuple[object, ...], int] = field(default_factory=dict)
    _table: list[bytes] = field(default_factory=list)

    def attribute_key(self, values: tuple[object, ...]) -> int:
        """The number that stands for these attribute values (in the order of needs.attributes) in a row."""
        # True == 1 in Python, so the types are part of the key.
        key = (*values, *map(type, values))
        number = self._keys.get(key)
        if number is None:
            found = dict(zip(self.needs.attributes, values, strict=True))
            bits = bytes(attribute_holds(test.operator, found[test.field], test.value) for test in self.attribute_tests)
            number = self._keys[key] = len(self._table)
            self._table.append(bits)
        return number

    def begin_batch(self) -> None:
        """Bounds the memory of attribute values; numbers given before are void after."""
        if len(self._table) > ATTRIBUTE_KEYS_MAX:
            self._keys.clear()
            self._table.clear()

    def evaluate(self, rows: Sequence[Sequence[int]]) -> Bits:
        """Which segments hold for which rows: rows x segments, in the order of `slots`."""
        columns = np.array(rows, dtype=np.int64).T
        count = columns.shape[1] if len(rows) else 0
        bits = np.empty((len(self.atoms) + len(self.attribute_tests), count), dtype=np.bool_)
        if not count:
            return np.empty((0, len(self.programs)), dtype=np.bool_)
        for source, first, last, lows, highs in self.groups:
            column = _derive(source, columns)
            np.greater_equal(column, lows, out=bits[first:last])
            bits[first:last] &= column <= highs
        if self.attribute_tests:
            table = np.frombuffer(b"".join(self._table), dtype=np.bool_).reshape(len(self._table), -1)
            bits[len(self.atoms) :] = table[columns[ATTRIBUTES]].T
        result = np.empty((len(self.programs), count), dtype=np.bool_)
        for index, program in enumerate(self.programs):
            result[index] = program(bits)
        return result.T


def _derive(source: Source, columns: NDArray[np.int64]) -> Column:
    column = columns[source.column]
    if source.kind == "value":
        return column
    if source.kind == "age":
        present = column != MISSING
        return np.where(present, columns[AS_OF] - np.where(present, column, 0), NEVER)
    # An average in hundredths of minor units. Bounds are whole there, so that average >= bound <=> floor >= bound and
    # average <= bound <=> ceiling <= bound: cross-multiplied, without a product that could overflow.
    orders = columns[source.orders]
    divisor = np.maximum(orders, 1)
    rounded = column * 100 // divisor if source.kind == "floor" else -(-column * 100 // divisor)
    return np.where(orders > 0, rounded, MISSING)


def compile_plan(segments: Mapping[int, Criteria]) -> Plan:
    """Compiles slot -> criteria; the plan's programs stand in ascending order of slots."""
    slots = sorted(segments)
    compiler = _Compiler(needs_of(segments.values()))
    trees = [compiler.tree(segments[slot]) for slot in slots]
    by_source: dict[Source, list[Atom]] = {}
    for atom in compiler.atoms:
        by_source.setdefault(atom.source, []).append(atom)
    atoms = [atom for source in sorted(by_source) for atom in by_source[source]]
    groups = []
    first = 0
    for source in sorted(by_source):
        some = by_source[source]
        lows = np.array([atom.low for atom in some], dtype=np.int64)[:, None]
        highs = np.array([atom.high for atom in some], dtype=np.int64)[:, None]
        groups.append((source, first, first + len(some), lows, highs))
        first += len(some)
    place = {atom: index for index, atom in enumerate(atoms)}
    place_of_test = {test: len(atoms) + index for index, test in enumerate(compiler.tests)}
    programs = [_program(tree, place, place_of_test) for tree in trees]
    return Plan(compiler.needs, np.array(slots, dtype=np.int64), atoms, groups, list(compiler.tests), programs)


class _Compiler:
    """Turns predicates into trees of atoms, remembering each atom once."""

    def __init__(self, needs: Needs) -> None:
        self.needs = needs
        self.atoms: dict[Atom, None] = {}
        self.tests: dict[AttributePredicate, None] = {}
        self._windows = {window: FIRST_WINDOW + 2 * index for index, window in enumerate(needs.windows)}
        first_purchase = FIRST_WINDOW + 2 * len(needs.windows)
        self._purchases = {key: first_purchase + index for index, key in enumerate(needs.purchases)}

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


def _program(tree: Tree, places: Mapping[Atom, int], tests: Mapping[AttributePredicate, int]) -> Program:
    if isinstance(tree, Atom | AttributePredicate):
        place = places[tree] if isinstance(tree, Atom) else tests[tree]
        return lambda bits: bits[place]
    if isinstance(tree, Opposite):
        inner = _program(tree.part, places, tests)
        return lambda bits: ~inner(bits)
    leaves = [
        places[part] if isinstance(part, Atom) else tests[part]
        for part in tree.parts
        if isinstance(part, Atom | AttributePredicate)
    ]
    others = [_program(part, places, tests) for part in tree.parts if not isinstance(part, Atom | AttributePredicate)]
    combine: Any = np.logical_and if isinstance(tree, Every) else np.logical_or
    picked = np.array(leaves, dtype=np.intp)

    def several(bits: Bits) -> Bits:
        result: Bits = combine.reduce(bits[picked], axis=0)
        for other in others:
            result = combine(result, other(bits))
        return result

    return several
