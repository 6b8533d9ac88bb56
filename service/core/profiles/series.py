"""Activities of one stream, or the values of one of their properties: what figures over them need."""

from __future__ import annotations

import operator
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Final, TypeVar

from service.core.criteria.fields import Figure
from service.core.instants import MISSING
from service.core.profiles.running import (
    EXACT,
    Number,
    Running,
    RunningDistinct,
    RunningExtreme,
    RunningSum,
    distinct_key,
    exact_sum,
    is_number,
)

_Kept = TypeVar("_Kept", RunningDistinct, RunningExtreme, RunningSum)


class Totals:
    """Figures over all time.

    Attributes:
        count: activities.
        numbers: how many of the values are numbers; total, low, high: their sum, least and greatest.
        distinct: each value once, with its type; None where nobody asks.
    """

    __slots__ = ("count", "distinct", "high", "low", "numbers", "total")

    def __init__(self, has_distinct: bool) -> None:
        self.count = self.numbers = 0
        self.total: Number = 0
        self.low: Number | None = None
        self.high: Number | None = None
        self.distinct: set[tuple[str, Any]] | None = set() if has_distinct else None

    def put(self, value: object) -> None:
        """Adds one activity's value; None where there is no such property."""
        self.count += 1
        if self.distinct is not None and value is not None:
            self.distinct.add(distinct_key(value))
        if is_number(value):
            self.numbers += 1
            self.total = exact_sum((self.total, value))
            self.low = value if self.low is None else min(self.low, value)
            self.high = value if self.high is None else max(self.high, value)


class Series:
    """Activities ascending by instant as far back as windows reach, and figures over all time.

    Attributes:
        instants: microseconds.
        values: of the property, None where it is missing or nobody asks for it; empty where no property is asked for.
        totals: None where no figure without a window is asked for.
    """

    __slots__ = ("_running", "instants", "totals", "values")

    def __init__(self, totals: Totals | None) -> None:
        self.instants: list[int] = []
        self.values: list[Any] = []
        self.totals = totals
        #: Made of the entries when first asked for: sums and averages by window, the others by figure.
        self._running: dict[Figure | int, Running] = {}

    def put(self, at: int, value: object, has_property: bool) -> None:
        """Adds one activity to the entries."""
        place = bisect_right(self.instants, at)
        self.instants.insert(place, at)
        if has_property:
            self.values.insert(place, value)
            for running in self._running.values():
                running.put(at, value)

    def trim(self, horizon: int) -> None:
        """Forgets entries at or before the horizon."""
        if self.instants and self.instants[0] <= horizon:
            end = bisect_right(self.instants, horizon)
            del self.instants[:end], self.values[:end]
            self._running.clear()

    def place(self, figure: Figure, window: int | None, bounds: Sequence[Number], as_of: int) -> int:
        """The figure's place among its bounds at an instant (criteria.needs.Bounded); MISSING where it is missing."""
        if window is None:
            assert self.totals is not None  # noqa: S101 - the shape keeps totals for figures without a window
            return _place_of_totals(figure, self.totals, bounds)
        horizon = as_of - window
        if not self.instants or self.instants[-1] <= horizon:
            return MISSING if figure in _MISSING_OVER_NOTHING else place_among(bounds, 0)
        if figure is Figure.COUNT:
            return place_among(bounds, len(self.instants) - bisect_right(self.instants, horizon))
        if figure is Figure.DISTINCT:
            return place_among(bounds, self._kept(figure, RunningDistinct).after(horizon))
        if figure in _IS_BETTER:
            extreme = self._kept(figure, lambda: RunningExtreme(_IS_BETTER[figure]))
            return _place_of_best(extreme.after(horizon), bounds)
        running = self._kept(window, lambda: RunningSum(self.instants[-1]))
        running.move(horizon, self.instants, self.values)
        return _place_of_sum(figure, running.count, running.total, bounds)

    def _kept(self, key: Figure | int, make: Callable[[], _Kept]) -> _Kept:
        found: Any = self._running.get(key)
        if found is None:
            found = self._running[key] = make()
            for at, value in zip(self.instants, self.values, strict=True):
                found.put(at, value)
        kept: _Kept = found
        return kept

    def edge(self, figure: Figure, window: int, bounds: Sequence[Number], after: int) -> int | None:
        """The first instant after this one at which time alone may move the figure past a bound; None if never.

        Counts: exactly the entry whose leaving does it. Other figures: the oldest.
        """
        start = bisect_right(self.instants, after - window)
        count = len(self.instants) - start
        if not count:
            return None
        leaving = 1
        if figure is Figure.COUNT:
            below = bisect_left(bounds, count)
            if below < len(bounds) and bounds[below] == count:
                leaving = 1
            elif below == 0 or bounds[below - 1] < 0:
                return None
            else:
                leaving = count - int(bounds[below - 1])
        return self.instants[start + leaving - 1] + window


def place_among(bounds: Sequence[Number], value: Number) -> int:
    """2i + 1 where the value equals bound i, 2i where it lies between bound i - 1 and bound i."""
    place = bisect_left(bounds, value)
    return 2 * place + 1 if place < len(bounds) and bounds[place] == value else 2 * place


def _place_of_totals(figure: Figure, totals: Totals, bounds: Sequence[Number]) -> int:
    if figure is Figure.COUNT:
        return place_among(bounds, totals.count)
    if figure is Figure.DISTINCT:
        return place_among(bounds, len(totals.distinct or ()))
    if figure in _IS_BETTER:
        return _place_of_best(totals.low if figure is Figure.MIN else totals.high, bounds)
    return _place_of_sum(figure, totals.numbers, totals.total, bounds)


def _place_of_best(best: Number | None, bounds: Sequence[Number]) -> int:
    return MISSING if best is None else place_among(bounds, best)


def _place_of_sum(figure: Figure, count: int, total: Number, bounds: Sequence[Number]) -> int:
    if figure is Figure.SUM:
        return place_among(bounds, total)
    if not count:
        return MISSING
    # total / count against the bounds, cross-multiplied so that nothing is rounded.
    return place_among([_times(bound, count) for bound in bounds], total)


def _times(bound: Number, count: int) -> Number:
    return bound * count if isinstance(bound, int) else EXACT.multiply(bound, Decimal(count))


#: How an extreme is chosen.
_IS_BETTER: Final[dict[Figure, Callable[[Any, Any], bool]]] = {Figure.MIN: operator.lt, Figure.MAX: operator.gt}
#: What figures over nothing are: 0, or missing.
_MISSING_OVER_NOTHING: Final = frozenset({Figure.AVG, Figure.MIN, Figure.MAX})
