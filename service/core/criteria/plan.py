"""Criteria of all segments compiled into one plan over columns: the evaluator of the hot path.

Every predicate becomes one or more atoms: "the value of a column lies within [low, high]", and every atom one or two
thresholds, shared by all segments and compared once each. Their answers are packed, 64 rows to a word; all segments
together are one program of and/or over the words. Segments that ask for members of others come in a level after them.
Columns are int64; money is minor units, instants are microseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final, NamedTuple
from uuid import UUID

import numpy as np

from service.core.criteria.atoms import ATTRIBUTES, Compiler
from service.core.criteria.attribute_keys import AttributeKeys
from service.core.criteria.levels import dependants_of, levels_of
from service.core.criteria.model import AttributePredicate, Criteria, MemberPredicate, references
from service.core.criteria.needs import Needs, needs_of
from service.core.criteria.program import Graph, Leaf, Program, Step, Words, compile_program
from service.core.criteria.scratch import Scratch
from service.core.criteria.thresholds import Bits, Columns, Indices, Threshold, Thresholds

#: Given the result (rows x segments) and the places of one level, corrects those columns in place.
Settle = Callable[[Bits, Indices], None]

WORD_BITS: Final = 64
ALL_ONES: Final = np.uint64(2**64 - 1)
#: Rows whose columns are compared at once: a multiple of WORD_BITS, and little enough for the processor's cache.
BLOCK_ROWS: Final = 1_024
UNPACKED_BYTES: Final = 65_536


class Level(NamedTuple):
    """Segments that ask for members of lower levels only."""

    steps: list[Step]
    places: Indices
    roots: Indices  # rows of the packed matrix, one for each place
    asked: Indices  # places whose members later levels ask for
    answers: Indices  # the rows where they look


@dataclass(eq=False)
class Plan:
    """All segments' criteria, ready to be evaluated over rows; not by two threads at once.

    Attributes:
        needs: what a row's columns hold.
        slots: of the segments, ascending; a segment's place is its index here.
        dependants: by place, the places of all segments that ask for its members, themselves or through others,
            ascending; a place that nobody asks for is not in it.
    """

    needs: Needs
    slots: Columns
    dependants: Mapping[int, tuple[int, ...]]
    _thresholds: Thresholds
    _program: Program
    _levels: list[Level]
    _scratch: Scratch
    _keys: AttributeKeys

    def begin_batch(self) -> AttributeKeys:
        """What gives the numbers of attribute values in this batch's rows; another batch may be under way beside it."""
        if self._keys.is_full:
            self._keys = AttributeKeys(self._keys.tests)
        return self._keys

    def evaluate(
        self, rows: Sequence[Sequence[int]] | Columns, settle: Settle | None = None, keys: AttributeKeys | None = None
    ) -> Bits:
        """Which segments hold for which rows.

        Args:
            rows: rows x columns.
            settle: called once a level, in ascending order, with the result and the places of the level; what it
                corrects in these columns is what later levels see. Columns of later levels are still false.
            keys: what gave the numbers of attribute values in the rows; the latest that begin_batch gave if left out.

        Returns:
            rows x segments, in the order of `slots`; each segment's column is contiguous.
        """
        count = len(rows)
        result = np.zeros((len(self.slots), count), dtype=np.bool_)
        packed = self._scratch.array("packed", (self._program.rows, -(-count // WORD_BITS)), np.uint64)
        for first in range(0, count, BLOCK_ROWS):
            words = slice(first // WORD_BITS, (first + BLOCK_ROWS) // WORD_BITS)
            self._fill_leaves(
                packed[:, words], _columns(rows[first : first + BLOCK_ROWS], self._scratch), keys or self._keys
            )
        for level in self._levels:
            for step in level.steps:
                step.run(packed)
            _unpack(packed, level, result)
            if settle is not None:
                settle(result.T, level.places)
            if len(level.asked):
                _pack(result[level.asked], packed, level.answers)
                packed[level.answers + self._program.literals] = ~packed[level.answers]
        return result.T

    def _fill_leaves(self, packed: Words, columns: Columns, keys: AttributeKeys) -> None:
        """Leaves and their opposites; those on members are filled level by level."""
        thresholds, tests = len(self._thresholds.ordered), sum(map(len, keys.tests))
        bits = self._scratch.array("bits", (thresholds + tests, columns.shape[1]), np.bool_)
        self._thresholds.fill(columns, bits[:thresholds])
        if tests:
            bits[thresholds:] = keys.tested(columns[ATTRIBUTES])
        _pack(bits, packed, slice(len(bits)))
        literals = self._program.literals
        packed[literals - 1] = ALL_ONES
        np.invert(packed[:literals], out=packed[literals : 2 * literals])


def _columns(rows: Sequence[Sequence[int]] | Columns, scratch: Scratch) -> Columns:
    """Columns x rows, each column contiguous."""
    found = np.asarray(rows, dtype=np.int64)
    columns = scratch.array("columns", found.shape[::-1], np.int64)
    columns[:] = found.T
    return columns


def _pack(bits: Bits, packed: Words, rows: slice | Indices) -> None:
    """Stores bits in rows of the packed matrix; what is beyond them in the last word means nothing."""
    octets = np.packbits(bits, axis=1)
    packed.view(np.uint8)[rows, : octets.shape[1]] = octets


def _unpack(packed: Words, level: Level, result: Bits) -> None:
    """Fills a level's rows of the result, some at a time: a large array of octets would be fresh pages each time."""
    count = result.shape[1]
    some = max(1, UNPACKED_BYTES // max(1, count))
    for first in range(0, len(level.places), some):
        octets = packed[level.roots[first : first + some]].view(np.uint8)
        result[level.places[first : first + some]] = np.unpackbits(octets, axis=1, count=count).view(np.bool_)


def compile_plan(segments: Mapping[int, Criteria], slots: Mapping[UUID, int] | None = None) -> Plan:
    """Compiles slot -> criteria.

    Args:
        segments: criteria by slot.
        slots: of segments that others may name, by id; who is not there, or has no criteria, has no members.

    Raises:
        ValueError: segments ask for each other's members in a circle.
    """
    order = sorted(segments)
    place_of_slot = {slot: place for place, slot in enumerate(order)}
    places = {one: place_of_slot[slot] for one, slot in (slots or {}).items() if slot in place_of_slot}
    asks = [{places[one] for one in references(segments[slot]) if one in places} for slot in order]
    levels = levels_of(asks, order)
    compiler = Compiler(needs_of(segments.values()))
    graph = Graph(lambda predicate: predicate.segment_id in places)
    roots = [graph.add(compiler.tree(segments[slot])) for slot in order]
    used = graph.leaves(roots)
    scratch = Scratch()
    thresholds = Thresholds((one for one in used if isinstance(one, Threshold)), scratch)
    tests = _by_attribute((one for one in used if isinstance(one, AttributePredicate)), compiler.needs)
    members = [one for one in used if isinstance(one, MemberPredicate)]
    leaves: list[Leaf] = [*thresholds.ordered, *chain.from_iterable(tests), *members]
    known: dict[Leaf, int] = {one: levels[places[one.segment_id]] + 1 for one in members}
    program = compile_program(graph, roots, leaves, known, len(set(levels)))
    answers = {len(leaves) - len(members) + index: places[one.segment_id] for index, one in enumerate(members)}
    return Plan(
        needs=compiler.needs,
        slots=np.array(order, dtype=np.int64),
        dependants=dependants_of(asks, levels),
        _thresholds=thresholds,
        _program=program,
        _scratch=scratch,
        _keys=AttributeKeys(tests),
        _levels=_levels(program, levels, [program.row_of[root] for root in roots], answers),
    )


def _by_attribute(tests: Iterable[AttributePredicate], needs: Needs) -> list[list[AttributePredicate]]:
    found: dict[str, list[AttributePredicate]] = {attribute: [] for attribute in needs.attributes}
    for test in tests:
        found[test.field].append(test)
    return list(found.values())


def _levels(program: Program, levels: list[int], rows: list[int], answers: Mapping[int, int]) -> list[Level]:
    """Levels ascending; `levels` and `rows` by place, `answers`: the place by the leaf that asks for its members."""
    found = []
    for level, steps in enumerate(program.steps):
        places = [place for place, one in enumerate(levels) if one == level]
        asked = [(place, row) for row, place in answers.items() if levels[place] == level]
        found.append(
            Level(
                steps,
                places=np.array(places, dtype=np.intp),
                roots=np.array([rows[place] for place in places], dtype=np.intp),
                asked=np.array([place for place, _ in asked], dtype=np.intp),
                answers=np.array([row for _, row in asked], dtype=np.intp),
            )
        )
    return found
