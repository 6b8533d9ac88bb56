"""Sequences, read literally: does any choice of instants follow the steps?"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from service.core.criteria.model import SequencePredicate, Step
from service.core.instants import INSTANT_MAX


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


def match_of(predicate: SequencePredicate, instants_of: Callable[[Step], Iterable[int]]) -> Match | None:
    """The match that is complete first; None where the steps never happened in this way.

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
    if not predicate.steps[-1].is_not:
        reached = _reached(parts, parts[0].instants, INSTANT_MAX)
        ways = (_way_to(end, reached) for end in sorted(reached[-1]))
        return next((Match(way, way[-1]) for way in ways if way[-1] - way[0] <= predicate.within), None)
    for first in parts[0].instants:
        last = first + predicate.within
        ends = _reached(parts, [first], last)
        # The latest end leaves the least time for what must not happen after it.
        if ends[-1] and not _has_within(barred, max(ends[-1]) + 1, last):
            return Match(_way_to(max(ends[-1]), ends), last)
    return None


def _reached(parts: Sequence[_Part], firsts: Sequence[int], last: int) -> list[dict[int, int]]:
    """For each step the instants at which it may stand, each with the instant of the step before.

    The one before is the nearest that may be: it has the least between it and the next, and what lies between is all
    that can be in the way; and so the way back leads to the latest first instant that there is.
    """
    reached = [{first: first for first in firsts}]
    for part in parts[1:]:
        before = sorted(reached[-1])
        found: dict[int, int] = {}
        start = bisect_right(part.instants, before[0]) if before else len(part.instants)
        for at in part.instants[start : bisect_right(part.instants, last)]:
            nearest = before[bisect_left(before, at) - 1]
            if not _has_within(part.barred, nearest + 1, at - 1):
                found[at] = nearest
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
