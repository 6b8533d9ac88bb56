"""Sequences: one thing, then another or not another, within a span; matched over the instants kept for them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from service.core.criteria.model import SequencePredicate
from service.core.instants import MISSING

#: Later than every instant.
NEVER: Final = 2**63 - 1


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


class Matching:
    """How far matches have come; takes occurrences ascending by instant, and answers after each.

    Of a match it counts when it began and at which steps it waits: it may have gone on to a step and wait at the one
    before all the same, for a later way on. Matches that wait at the same steps fare alike until their spans end. They
    form one group; groups ascend by their beginnings, and neighbours that become alike are united. None comes to a step
    at which one that began later waits already, so there are never more than two groups for each step.
    """

    __slots__ = ("_at", "_mask", "_pattern", "_steps", "_true_from", "groups")

    def __init__(self, pattern: Pattern) -> None:
        self._pattern = pattern
        #: (what must happen, what must not happen after it) of all but the last of the steps that must happen.
        self._steps = tuple(zip(pattern.wanted[:-1], pattern.barred[:-1], strict=True))
        self.groups: list[_Group] = []
        self._true_from = NEVER
        # The latest instant is followed when a later one comes: until then more may happen at it, and what happens at
        # one instant is neither before nor after the rest of it.
        self._at, self._mask = MISSING, 0

    def take(self, at: int, mask: int) -> None:
        """Takes an occurrence in, at the latest instant or after it."""
        if at == self._at:
            self._mask |= mask
            return
        self._follow()
        self._at, self._mask = at, mask
        groups, oldest = self.groups, at - self._pattern.within
        while groups and groups[0].starts[0] < oldest:
            groups[0].starts.popleft()
            if not groups[0].starts:
                del groups[0]

    def true_from(self) -> int:
        """The instant from which the sequence is true, should nothing else happen; NEVER if there is none."""
        pattern, at, mask, found = self._pattern, self._at, self._mask, self._true_from
        if found < at:
            return found  # nothing can undo it any more
        if mask & pattern.barred[-1]:
            found = NEVER
        if mask & pattern.wanted[-1]:
            begun = self._earliest()
            if begun is not None:
                found = min(found, begun + pattern.within) if pattern.ends_with_not else at
        return found

    def _earliest(self) -> int | None:
        """When the earliest match began that the latest instant may take to the last step."""
        if not self._steps:
            return self._at
        waiting = 1 << (len(self._steps) - 1)
        for group in self.groups:
            if group.steps & waiting:
                return group.starts[0]
        return None

    def _follow(self) -> None:
        """Lets matches go on, end and begin by what happened at the latest instant."""
        at, mask = self._at, self._mask
        if self._true_from < at:
            return
        self._true_from = self.true_from()
        reached = left = 0
        for step, (wanted, barred) in enumerate(self._steps):
            if mask & wanted:
                reached |= 1 << step
            if mask & barred:
                left |= 1 << step
        if reached > 1 or left:
            self._move(reached, left)
        if reached & 1:
            if self.groups and self.groups[-1].steps == 1:
                self.groups[-1].starts.append(at)
            else:
                self.groups.append(_Group(1, at))

    def _move(self, reached: int, left: int) -> None:
        groups: list[_Group] = []
        for group in self.groups:
            group.steps = group.steps & ~left | group.steps << 1 & reached
            if groups and groups[-1].steps == group.steps:
                groups[-1].starts += group.starts
            elif group.steps:
                groups.append(group)
        self.groups = groups


class _Group:
    """Matches that wait at the same steps.

    Attributes:
        steps: bit i stands for the i-th step that must happen.
        starts: when they began, ascending; never empty.
    """

    __slots__ = ("starts", "steps")

    def __init__(self, steps: int, start: int) -> None:
        self.steps = steps
        self.starts = deque((start,))


class Occurrences:
    """What happened of a sequence's steps, ascending by instant, as far back as its span reaches.

    Attributes:
        instants: microseconds; masks: the steps that each matches.
        is_settled: a match began before the instants that are kept.
        dropped_to: the latest instant that was dropped, MISSING where none was.
    """

    __slots__ = ("_matching", "dropped_to", "instants", "is_settled", "masks")

    def __init__(self) -> None:
        self.instants: list[int] = []
        self.masks: list[int] = []
        self.is_settled = False
        self.dropped_to = MISSING
        #: Of all that is kept; None: to be made anew.
        self._matching: Matching | None = None

    def put(self, at: int, mask: int) -> None:
        """Adds one occurrence."""
        if not self.instants or at >= self.instants[-1]:
            self.instants.append(at)
            self.masks.append(mask)
            if self._matching is not None:
                self._matching.take(at, mask)
            return
        place = bisect_right(self.instants, at)
        self.instants.insert(place, at)
        self.masks.insert(place, mask)
        self._matching = None

    def drop(self, at: int, mask: int) -> None:
        """Takes one out."""
        for place in range(bisect_left(self.instants, at), bisect_right(self.instants, at)):
            if self.masks[place] == mask:
                del self.instants[place], self.masks[place]
                self._matching = None
                return

    def reaches_dropped(self, at: int, pattern: Pattern) -> bool:
        """Whether something at this instant can belong to a match that began with what was dropped."""
        return self.dropped_to != MISSING and at - pattern.within <= self.dropped_to

    def trim(self, as_of: int, pattern: Pattern) -> None:
        """Forgets what no match can begin with any more: its span ended before the instant."""
        end = bisect_left(self.instants, as_of - pattern.within)
        if not end:
            return
        latest = self.instants[end - 1]
        if not self.is_settled:
            # A match that began with what goes lies within the span after the latest of it; no other counts here.
            stop = bisect_right(self.instants, latest + pattern.within)
            later = (mask & ~pattern.wanted[0] for mask in self.masks[end:stop])
            matching = _matched(pattern, self.instants[:stop], [*self.masks[:end], *later])
            self.is_settled = matching.true_from() <= as_of
        self.dropped_to = max(self.dropped_to, latest)
        del self.instants[:end], self.masks[:end]
        self._matching = None

    def holds(self, pattern: Pattern, as_of: int) -> bool:
        """Whether the sequence has happened by this instant; all occurrences lie at or before it."""
        return self.is_settled or self._matched(pattern).true_from() <= as_of

    def edge(self, pattern: Pattern, after: int) -> int | None:
        """The first instant after this one at which time alone makes it true; None if never."""
        if self.is_settled or not pattern.ends_with_not:
            return None
        true_from = self._matched(pattern).true_from()
        return true_from if after < true_from < NEVER else None

    def _matched(self, pattern: Pattern) -> Matching:
        if self._matching is None:
            self._matching = _matched(pattern, self.instants, self.masks)
        return self._matching


def _matched(pattern: Pattern, instants: Iterable[int], masks: Iterable[int]) -> Matching:
    """The matching of occurrences that ascend by instant."""
    matching = Matching(pattern)
    for at, mask in zip(instants, masks, strict=True):
        matching.take(at, mask)
    return matching
