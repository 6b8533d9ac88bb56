"""What profiles carry from row to row, computed anew for every question: slow, and plain enough to be believed."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from fractions import Fraction
from typing import Any

from service.core.criteria.fields import Figure
from service.core.instants import MISSING
from service.core.profiles.sequences import Pattern


def place_of_figure(
    entries: list[tuple[int, Any]], figure: Figure, window: int, bounds: tuple[Any, ...], as_of: int
) -> int:
    """The place of a figure over the entries of a window among its bounds."""
    values = [value for at, value in entries if at > as_of - window]
    numbers = [Fraction(value) for value in values if not isinstance(value, str | bool | None)]
    found: Fraction | int | None
    if figure is Figure.COUNT:
        found = len(values)
    elif figure is Figure.DISTINCT:
        found = len({(isinstance(value, bool), value) for value in values if value is not None})
    elif figure is Figure.SUM:
        found = sum(numbers, Fraction(0))
    elif not numbers:
        return MISSING
    elif figure is Figure.AVG:
        found = sum(numbers) / len(numbers)
    else:
        found = min(numbers) if figure is Figure.MIN else max(numbers)
    below = sum(Fraction(bound) < found for bound in bounds)
    return 2 * below + any(Fraction(bound) == found for bound in bounds)


class Occurrences:
    """As service.core.profiles.sequences.Occurrences; every question matches all that is kept from the beginning."""

    def __init__(self) -> None:
        self.told: list[tuple[int, int]] = []
        self.is_settled = False
        self.dropped_to = MISSING

    def put(self, at: int, mask: int) -> None:
        """Adds one occurrence."""
        insort(self.told, (at, mask))

    def drop(self, at: int, mask: int) -> None:
        """Takes one out, if it is there."""
        if (at, mask) in self.told:
            self.told.remove((at, mask))

    def trim(self, as_of: int, pattern: Pattern) -> None:
        """Forgets what no match can begin with any more."""
        end = bisect_left(self.told, (as_of - pattern.within,))
        if end:
            self.is_settled = self.is_settled or _match(self.told, pattern, as_of, self.told[end - 1][0])
            self.dropped_to = max(self.dropped_to, self.told[end - 1][0])
            del self.told[:end]

    def holds(self, pattern: Pattern, as_of: int) -> bool:
        """Whether the sequence has happened by this instant."""
        return self.is_settled or _match(self.told, pattern, as_of, self.told[-1][0] if self.told else MISSING)

    def edge(self, pattern: Pattern, after: int) -> int | None:
        """The first end of a span after this instant at which it becomes true."""
        if self.holds(pattern, after) or not pattern.ends_with_not:
            return None
        ends = (at + pattern.within for at, mask in self.told if mask & pattern.wanted[0])
        return next((end for end in ends if end > after and self.holds(pattern, end)), None)


def _match(told: list[tuple[int, int]], pattern: Pattern, as_of: int, latest_start: int) -> bool:
    """Whether a match begins by `latest_start` and is complete at the instant.

    Each step keeps the instants at which the matches that wait there began. Whatever is barred ends all that wait; what
    lies at the same instant is neither after nor before it.
    """
    wanted, within = pattern.wanted, pattern.within
    last = len(wanted) - 1
    masks: dict[int, int] = {}
    for at, mask in told:
        masks[at] = masks.get(at, 0) | mask
    waiting: list[list[int]] = [[] for _ in wanted]
    for at, mask in masks.items():
        if any(start + within < at for start in waiting[last]):
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
            waiting[step] = sorted({*waiting[step], *starts})
    return pattern.ends_with_not and bisect_right(waiting[last], as_of - within) > 0
