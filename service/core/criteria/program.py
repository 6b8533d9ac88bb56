"""From trees to a program: all segments share one graph of and/or, evaluated step by step over packed rows.

Negations are pushed down to the leaves, groups within groups of their kind are flattened, constants fold away, and what
is equal is one node. A row of the packed matrix is one node; a bit of it is one row of the batch, 64 of them a word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.core.criteria.atoms import HIGHEST, LOWEST, Atom, Every, Opposite, Some, Tree
from service.core.criteria.model import AttributePredicate, MemberPredicate
from service.core.criteria.thresholds import Indices, Threshold

Words = NDArray[np.uint64]

Leaf = Threshold | AttributePredicate | MemberPredicate


class Literal(NamedTuple):
    """A leaf, or its opposite."""

    leaf: Leaf
    is_opposite: bool


class Group(NamedTuple):
    """Every (or some) of at least two nodes, none of which is a group of the same kind; without parts a constant."""

    is_every: bool
    parts: tuple[int, ...]  # numbers of nodes, ascending


Node = Literal | Group


class Graph:
    """Nodes of all trees by number; parts have smaller numbers than their group."""

    def __init__(self, knows: Callable[[MemberPredicate], bool]) -> None:
        self.nodes: list[Node] = []
        self._numbers: dict[Node, int] = {}
        self._knows = knows

    def add(self, tree: Tree, *, is_opposite: bool = False) -> int:
        """The number of the node that holds where the tree (or its opposite) does."""
        if isinstance(tree, Opposite):
            return self.add(tree.part, is_opposite=not is_opposite)
        if isinstance(tree, Every | Some):
            parts = [self.add(part, is_opposite=is_opposite) for part in tree.parts]
            return self._join(parts, is_every=isinstance(tree, Every) is not is_opposite)
        if isinstance(tree, Atom):
            return self._atom(tree, is_opposite=is_opposite)
        if isinstance(tree, MemberPredicate) and not self._knows(tree):
            return self._constant(holds=is_opposite)
        return self._number(Literal(tree, is_opposite))

    def _atom(self, atom: Atom, *, is_opposite: bool) -> int:
        """low <= source <= high is: source >= low, and not source >= high + 1."""
        source, low, high = atom
        if low > high:
            return self._constant(holds=is_opposite)
        parts = []
        if low > LOWEST or source.kind != "age":  # an age is never missing, it is NEVER
            parts.append(self._number(Literal(Threshold(source, low), is_opposite)))
        if high < HIGHEST:
            parts.append(self._number(Literal(Threshold(source, high + 1), not is_opposite)))
        return self._join(parts, is_every=not is_opposite)

    def _join(self, parts: Iterable[int], *, is_every: bool) -> int:
        found: set[int] = set()
        for part in parts:
            node = self.nodes[part]
            if isinstance(node, Group) and node.is_every is is_every:
                found.update(node.parts)
            elif isinstance(node, Group) and not node.parts:
                return part  # false among every, true among some
            else:
                found.add(part)
        return found.pop() if len(found) == 1 else self._number(Group(is_every, tuple(sorted(found))))

    def _constant(self, *, holds: bool) -> int:
        return self._number(Group(holds, ()))

    def _number(self, node: Node) -> int:
        number = self._numbers.setdefault(node, len(self.nodes))
        if number == len(self.nodes):
            self.nodes.append(node)
        return number

    def used(self, roots: Iterable[int]) -> list[int]:
        """Numbers of the nodes that the roots reach, ascending; flattened groups are in no other."""
        found = set(roots)
        for number in range(len(self.nodes) - 1, -1, -1):
            node = self.nodes[number]
            if number in found and isinstance(node, Group):
                found.update(node.parts)
        return sorted(found)

    def leaves(self, roots: Iterable[int]) -> list[Leaf]:
        """The leaves that the roots reach, each once."""
        literals = [node for number in self.used(roots) if isinstance(node := self.nodes[number], Literal)]
        return list(dict.fromkeys(literal.leaf for literal in literals))


class Step(NamedTuple):
    """Groups of one kind whose parts are all there: rows first..last of the packed matrix."""

    combine: np.ufunc
    operands: Indices  # rows of the parts, group by group
    starts: Indices  # where each group's parts begin among the operands
    rows: slice

    def run(self, packed: Words) -> None:
        """Fills this step's rows."""
        self.combine.reduceat(np.take(packed, self.operands, axis=0), self.starts, axis=0, out=packed[self.rows])


class Program(NamedTuple):
    """Steps by level, over a packed matrix whose rows are: leaves, one of ones, the opposites of all these, groups."""

    leaves: list[Leaf]
    steps: list[list[Step]]
    rows: int
    row_of: dict[int, int]  # by number of node

    @property
    def literals(self) -> int:
        """How many rows there are of leaves and ones; the opposite of one stands so many rows after it."""
        return len(self.leaves) + 1


def compile_program(
    graph: Graph, roots: Sequence[int], leaves: list[Leaf], level_of: Mapping[Leaf, int], levels: int
) -> Program:
    """Orders the groups that the roots reach into steps.

    Args:
        graph: with the roots' nodes.
        roots: numbers of nodes.
        leaves: all that the roots reach, in the order of their rows.
        level_of: the level from which on a leaf is known, for those that are not from the start.
        levels: how many there are.
    """
    place = {leaf: index for index, leaf in enumerate(leaves)}
    literals = len(leaves) + 1  # with the row of ones
    row_of: dict[int, int] = {}
    ranks: dict[int, tuple[int, int]] = {}  # level and depth by node
    by_step: dict[tuple[int, int, bool], dict[int, tuple[int, ...]]] = {}
    for number in graph.used(roots):
        node = graph.nodes[number]
        if isinstance(node, Literal):
            row_of[number] = place[node.leaf] + literals * node.is_opposite
            ranks[number] = (level_of.get(node.leaf, 0), 0)
        elif not node.parts:
            row_of[number] = len(leaves) + literals * (not node.is_every)
        else:
            level, depth = (max(ranks[part][index] for part in node.parts) for index in (0, 1))
            ranks[number] = (level, depth + 1)
            by_step.setdefault((level, depth + 1, node.is_every), {})[number] = node.parts
    steps: list[list[Step]] = [[] for _ in range(levels)]
    rows = 2 * literals
    for (level, _, is_every), groups in sorted(by_step.items(), key=lambda item: item[0]):
        parts = [[row_of[part] for part in some] for some in groups.values()]
        steps[level].append(_step(parts, rows, is_every=is_every))
        row_of.update(zip(groups, range(rows, rows + len(groups)), strict=True))
        rows += len(groups)
    return Program(leaves, steps, rows, row_of)


def _step(parts: list[list[int]], first: int, *, is_every: bool) -> Step:
    widths = [len(some) for some in parts]
    return Step(
        np.bitwise_and if is_every else np.bitwise_or,
        np.array([row for some in parts for row in some], dtype=np.intp),
        np.cumsum([0, *widths[:-1]], dtype=np.intp),
        slice(first, first + len(parts)),
    )
