"""Sequences: one thing, then another or not another, within a span; matched over the instants kept for them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass

from service.core.criteria.model import SequencePredicate
from service.core.instants import MISSING


@dataclass(frozen=True, slots=True)
class Pattern:
    """A sequence as masks; bit i stands for step i.

    Attributes:
        wanted: the bit of each step that must happen, in order.
        barred: for each of them the bits that must not happen after it, before the next (or up to the end).
        within: microseconds.
        is_lasting: nothing can undo a match: no step is barred, and activities, unlike orders, are never taken back.
    """

    wanted: tuple[int, ...]
    barred: tuple[int, ...]
    within: int

    is_lasting: bool

    @property
    def ends_with_not(self) -> bool:
        """Whether it becomes true by time, when the span has passed."""
        return bool(self.barred[-1])


def pattern_of(sequence: SequencePredicate) -> Pattern:
    """The sequence as masks."""
    wanted: list[int] = []
    barred: list[int] = []
    for place, step in enumerate(sequence.steps):
        if step.is_not:
            barred[-1] |= 1 << place
        else:
            wanted.append(1 << place)
            barred.append(0)
    is_lasting = not any(barred) and all(step.stream is not None for step in sequence.steps)
    return Pattern(tuple(wanted), tuple(barred), sequence.within, is_lasting)


class Occurrences:
    """What happened of a sequence's steps, ascending by instant, as far back as its span reaches.

    Attributes:
        instants: microseconds; masks: the steps that each matches.
        is_settled: a match began before the instants that are kept.
        dropped_to: the latest instant that was dropped, MISSING where none was.
    """

    __slots__ = ("_known", "dropped_to", "instants", "is_settled", "masks")

    def __init__(self) -> None:
        self.instants: list[int] = []
        self.masks: list[int] = []
        self.is_settled = False
        self.dropped_to = MISSING
        self._known: bool | None = None

    def put(self, at: int, mask: int) -> None:
        """Adds one occurrence."""
        place = bisect_right(self.instants, at)
        self.instants.insert(place, at)
        self.masks.insert(place, mask)
        self._known = None

    def drop(self, at: int, mask: int) -> None:
        """Takes one out."""
        for place in range(bisect_left(self.instants, at), bisect_right(self.instants, at)):
            if self.masks[place] == mask:
                del self.instants[place], self.masks[place]
                self._known = None
                return

    def reaches_dropped(self, at: int, pattern: Pattern) -> bool:
        """Whether something at this instant can belong to a match that began with what was dropped."""
        return self.dropped_to != MISSING and at - pattern.within <= self.dropped_to

    def trim(self, as_of: int, pattern: Pattern) -> None:
        """Forgets what no match can begin with any more: its span ended before the instant."""
        end = bisect_left(self.instants, as_of - pattern.within)
        if not end:
            return
        self.is_settled = self.is_settled or _match(self.instants, self.masks, pattern, as_of, end)
        self.dropped_to = max(self.dropped_to, self.instants[end - 1])
        del self.instants[:end], self.masks[:end]

    def holds(self, pattern: Pattern, as_of: int) -> bool:
        """Whether the sequence has happened by this instant; all occurrences lie at or before it."""
        if self.is_settled:
            return True
        if pattern.ends_with_not:  # its truth depends on the instant, which may be ahead of the customer's timeline
            return _match(self.instants, self.masks, pattern, as_of, len(self.instants))
        if self._known is None:
            self._known = _match(self.instants, self.masks, pattern, as_of, len(self.instants))
        return self._known

    def edge(self, pattern: Pattern, after: int) -> int | None:
        """The first instant after this one at which time alone may make it true; None if never."""
        if self.is_settled or not pattern.ends_with_not:
            return None
        for place in range(bisect_right(self.instants, after - pattern.within), len(self.instants)):
            if self.masks[place] & pattern.wanted[0]:
                return self.instants[place] + pattern.within
        return None


def _match(instants: list[int], masks: list[int], pattern: Pattern, as_of: int, starts_end: int) -> bool:
    """Whether a match begins with one of the first `starts_end` occurrences and is complete at the instant.

    One pass over the instants. Each step keeps the instants at which the matches that wait there began, ascending.
    Whatever is barred ends all that wait; what lies at the same instant is neither after nor before it.
    """
    wanted, within = pattern.wanted, pattern.within
    last = len(wanted) - 1
    latest_start = instants[starts_end - 1] if starts_end else MISSING
    waiting: list[list[int]] = [[] for _ in wanted]
    for at, mask in _by_instant(instants, masks):
        if waiting[last] and waiting[last][0] + within < at:
            return True  # its span ended, and nothing that is barred came
        reached: list[tuple[int, list[int]]] = []
        for step in range(last, 0, -1):
            if mask & wanted[step]:
                alive = waiting[step - 1][bisect_left(waiting[step - 1], at - within) :]
                if alive and step == last and not pattern.ends_with_not:
                    return True
                reached.append((step, alive))
        if mask & wanted[0] and at <= latest_start:
            reached.append((0, [at]))
        for step, barred in enumerate(pattern.barred):
            if mask & barred:
                waiting[step] = []
        for step, starts in reached:
            waiting[step] = _kept(waiting[step], starts, pattern, is_last=step == last)
    return bool(waiting[last]) and pattern.ends_with_not and waiting[last][0] + within <= as_of


def _kept(waiting: list[int], starts: list[int], pattern: Pattern, *, is_last: bool) -> list[int]:
    """Of the matches that wait at a step those that may still matter, by their beginnings."""
    if not starts or not waiting:
        return starts or waiting
    if is_last:
        return [min(starts[0], waiting[0])]  # its span ends first
    if not pattern.ends_with_not:
        return [max(starts[-1], waiting[-1])]  # its span ends last, and nothing else sets them apart
    return waiting + starts if starts[0] > waiting[-1] else sorted({*waiting, *starts})


def _by_instant(instants: list[int], masks: list[int]) -> list[tuple[int, int]]:
    """One mask for each instant."""
    found: list[tuple[int, int]] = []
    for at, mask in zip(instants, masks, strict=True):
        if found and found[-1][0] == at:
            found[-1] = (at, found[-1][1] | mask)
        else:
            found.append((at, mask))
    return found
