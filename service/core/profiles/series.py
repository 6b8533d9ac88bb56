"""Activities of one stream, or the values of one of their properties: what figures over them need."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from decimal import Context, Decimal
from typing import Any, Final, TypeGuard

from service.core.criteria.fields import Figure
from service.core.instants import MISSING

#: Sums of numbers of 38 digits and any exponent that an event may have stay exact.
EXACT: Final = Context(prec=200)
Number = int | Decimal


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
        values: of the property, None where it is missing; empty where no property is asked for.
        totals: None where no figure without a window is asked for.
    """

    __slots__ = ("instants", "totals", "values")

    def __init__(self, totals: Totals | None) -> None:
        self.instants: list[int] = []
        self.values: list[Any] = []
        self.totals = totals

    def put(self, at: int, value: object, has_property: bool) -> None:
        """Adds one activity to the entries."""
        place = bisect_right(self.instants, at)
        self.instants.insert(place, at)
        if has_property:
            self.values.insert(place, value)

    def trim(self, horizon: int) -> None:
        """Forgets entries at or before the horizon."""
        if self.instants and self.instants[0] <= horizon:
            end = bisect_right(self.instants, horizon)
            del self.instants[:end], self.values[:end]

    def place(self, figure: Figure, window: int | None, bounds: Sequence[Number], as_of: int) -> int:
        """The figure's place among its bounds at an instant (criteria.needs.Bounded); MISSING where it is missing."""
        if window is None:
            assert self.totals is not None  # noqa: S101 - the shape keeps totals for figures without a window
            return _place_of_totals(figure, self.totals, bounds)
        start = bisect_right(self.instants, as_of - window)
        if figure is Figure.COUNT:
            return place_among(bounds, len(self.instants) - start)
        return _place_of_values(figure, self.values[start:], bounds)

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


def is_number(value: object) -> TypeGuard[Number]:
    """Whether figures can count with it; a boolean is no number."""
    return isinstance(value, int | Decimal) and not isinstance(value, bool)


def exact_sum(numbers: Iterable[Any]) -> Number:
    """The sum to the last digit, an int as long as all are."""
    whole = 0
    rest: Decimal | None = None
    for number in numbers:
        if isinstance(number, int):
            whole += number
        else:
            rest = number if rest is None else EXACT.add(rest, number)
    return whole if rest is None else EXACT.add(rest, Decimal(whole))


def distinct_key(value: object) -> tuple[str, Any]:
    """Equal for equal values of one type: 1 and 1.0 are one value, 1 and true are two."""
    if isinstance(value, bool):
        return ("b", value)
    return ("t", value) if isinstance(value, str) else ("n", value)


def _place_of_totals(figure: Figure, totals: Totals, bounds: Sequence[Number]) -> int:
    if figure is Figure.COUNT:
        return place_among(bounds, totals.count)
    if figure is Figure.DISTINCT:
        return place_among(bounds, len(totals.distinct or ()))
    return _place_of_numbers(figure, totals.numbers, totals.total, totals.low, totals.high, bounds)


def _place_of_values(figure: Figure, values: list[Any], bounds: Sequence[Number]) -> int:
    if figure is Figure.DISTINCT:
        return place_among(bounds, len({distinct_key(value) for value in values if value is not None}))
    numbers = [value for value in values if is_number(value)]
    total = exact_sum(numbers) if figure in (Figure.SUM, Figure.AVG) else 0
    low = min(numbers, default=None) if figure is Figure.MIN else None
    high = max(numbers, default=None) if figure is Figure.MAX else None
    return _place_of_numbers(figure, len(numbers), total, low, high, bounds)


def _place_of_numbers(
    figure: Figure, count: int, total: Number, low: Number | None, high: Number | None, bounds: Sequence[Number]
) -> int:
    if figure is Figure.SUM:
        return place_among(bounds, total)
    if not count:
        return MISSING
    if figure is Figure.AVG:
        # total / count against the bounds, cross-multiplied so that nothing is rounded.
        return place_among([_times(bound, count) for bound in bounds], total)
    found = low if figure is Figure.MIN else high
    assert found is not None  # noqa: S101 - there are numbers
    return place_among(bounds, found)


def _times(bound: Number, count: int) -> Number:
    return bound * count if isinstance(bound, int) else EXACT.multiply(bound, Decimal(count))
