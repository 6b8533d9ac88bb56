"""Criteria of all segments compiled into one plan over columns: the evaluator of the hot path.

Every predicate becomes one or more atoms: "the value of a column lies within [low, high]". Atoms are shared by all
segments and grouped by column, so that each column is compared once with all its bounds; a segment is then a small
boolean program over rows of atoms. Columns are int64; money is minor units, instants are microseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from service.core.criteria.atoms import AS_OF, ATTRIBUTES, NEVER, Atom, Compiler, Every, Opposite, Source, Tree
from service.core.criteria.model import AttributePredicate, Criteria
from service.core.criteria.needs import Needs, needs_of
from service.core.criteria.operators import attribute_holds
from service.core.instants import MISSING

Column = NDArray[np.int64]
Bits = NDArray[np.bool_]

Program = Callable[[Bits], Bits]

#: Different attribute values that a plan remembers from batch to batch.
ATTRIBUTE_KEYS_MAX: Final = 100_000


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
    compiler = Compiler(needs_of(segments.values()))
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
