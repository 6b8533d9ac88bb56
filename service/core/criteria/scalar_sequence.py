"""Sequences, read literally: does any choice of instants follow the steps?"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from typing import NamedTuple

from service.core.criteria.model import SequencePredicate, Step


class Match(NamedTuple):
    """The instants of the steps without `not`, and the one from which the sequence is true."""

    instants: tuple[int, ...]
    true_from: int


class _Part(NamedTuple):
    """A step without `not`: when it happened, and when something did that must not lie between it and the one before.

    Instants ascend.
    """

    instants: list[int]
    barred: list[int]


def match_of(predicate: SequencePredicate, instants_of: Callable[[Step], Sequence[int]]) -> Match | None:
    """The match with the earliest first step; None where the steps never happened in this way.

    Args:
        predicate: the steps and the span that holds them.
        instants_of: the instants of what a step names, whether or not it is a `not`.
    """
    parts: list[_Part] = []
    barred: list[int] = []
    for step in predicate.steps:
        instants = sorted(set(instants_of(step)))
        if step.is_not:
            barred = sorted({*barred, *instants})
        else:
            parts.append(_Part(instants, barred))
            barred = []
    has_end = predicate.steps[-1].is_not
    for first in parts[0].instants:
        last = first + predicate.within
        reached = _reached(parts, first, last)
        if not has_end and reached[-1]:
            end = min(reached[-1])
            return Match(_way_to(end, reached), end)
        # The latest end leaves the least time for what must not happen after it.
        if has_end and reached[-1] and not _has_within(barred, max(reached[-1]) + 1, last):
            return Match(_way_to(max(reached[-1]), reached), last)
    return None


def _reached(parts: Sequence[_Part], first: int, last: int) -> list[dict[int, int]]:
    """For each step the instants at which it may stand, each with the instant of the step before."""
    reached = [{first: first}]
    for part in parts[1:]:
        before = sorted(reached[-1])
        found = {}
        for at in part.instants[bisect_right(part.instants, first) : bisect_right(part.instants, last)]:
            place = bisect_left(before, at)
            # The nearest instant before has the least between it and this one; a farther one cannot do better.
            if place and not _has_within(part.barred, before[place - 1] + 1, at - 1):
                found[at] = before[place - 1]
        reached.append(found)
    return reached


def _way_to(end: int, reached: Sequence[dict[int, int]]) -> tuple[int, ...]:
    way = [end]
    for level in reversed(reached[1:]):
        way.append(level[way[-1]])
    return tuple(reversed(way))


def _has_within(instants: Sequence[int], low: int, high: int) -> bool:
    place = bisect_left(instants, low)
    return place < len(instants) and instants[place] <= high
