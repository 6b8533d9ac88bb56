"""Segments that ask for members of others: in which order they are evaluated, and whom a change touches."""

from __future__ import annotations

from collections.abc import Sequence
from graphlib import CycleError, TopologicalSorter


def levels_of(asks: Sequence[set[int]], slots: Sequence[int]) -> list[int]:
    """The level of each place: 0 asks for nobody, n for lower levels only, and for one at n - 1.

    Args:
        asks: by place, the places whose members it asks for.
        slots: by place; how the error names segments.

    Raises:
        ValueError: segments ask for each other in a circle.
    """
    levels = [0] * len(asks)
    try:
        for place in TopologicalSorter(dict(enumerate(asks))).static_order():
            levels[place] = 1 + max((levels[one] for one in asks[place]), default=-1)
    except CycleError as error:
        circle = ", ".join(str(slots[place]) for place in error.args[1][1:])
        msg = f"the segments in slots {circle} ask for each other's members in a circle; one of them must not"
        raise ValueError(msg) from error
    return levels


def dependants_of(asks: Sequence[set[int]], levels: Sequence[int]) -> dict[int, tuple[int, ...]]:
    """By place, all places that ask for its members, themselves or through others, ascending; without them no entry."""
    found: list[set[int]] = [set() for _ in asks]
    for place in sorted(range(len(asks)), key=lambda place: -levels[place]):  # those who ask come first
        for one in asks[place]:
            found[one] |= {place, *found[place]}
    return {place: tuple(sorted(some)) for place, some in enumerate(found) if some}
