"""Figures of the entries after a horizon, kept from row to row, so that a row costs little however many there are.

Each takes entries in any order, best ascending by instant, and no entry is ever taken out again: who trims a series
makes them anew.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Sequence
from decimal import Context, Decimal
from typing import Any, Final, Protocol, TypeGuard

Number = int | Decimal
#: Sums of numbers of 38 digits and any exponent that an event may have stay exact.
EXACT: Final = Context(prec=200)


class Running(Protocol):
    """What is kept of a series for one figure."""

    def put(self, at: int, value: object) -> None:
        """Takes an entry in; `at` in microseconds."""
        ...


class RunningSum:
    """The numbers after a horizon that moves along, mostly forward.

    Attributes:
        count, total: how many there are, and their sum.
    """

    __slots__ = ("_horizon", "count", "total")

    def __init__(self, horizon: int) -> None:
        """Begins at a horizon with nothing after it."""
        self._horizon = horizon
        self.count = 0
        self.total: Number = 0

    def put(self, at: int, value: object) -> None:
        """Takes an entry in."""
        if at > self._horizon and is_number(value):
            self.count += 1
            self.total = exact_sum((self.total, value))

    def move(self, horizon: int, instants: Sequence[int], values: Sequence[object]) -> None:
        """Goes to another horizon; the cost is that of what lies between the two."""
        if horizon == self._horizon:
            return
        low, high = sorted((self._horizon, horizon))
        between = values[bisect_right(instants, low) : bisect_right(instants, high)]
        numbers = [value for value in between if is_number(value)]
        if horizon > self._horizon:
            self.count -= len(numbers)
            self.total = exact_difference(self.total, exact_sum(numbers))
        else:
            self.count += len(numbers)
            self.total = exact_sum((self.total, *numbers))
        self._horizon = horizon


class RunningExtreme:
    """Of the numbers those that are better than all after them: the first after a horizon is the best after it."""

    __slots__ = ("_instants", "_is_better", "_values")

    def __init__(self, is_better: Callable[[Any, Any], bool]) -> None:
        """Keeps the least (operator.lt) or the greatest (operator.gt)."""
        self._is_better = is_better
        self._instants: list[int] = []
        self._values: list[Number] = []

    def put(self, at: int, value: object) -> None:
        """Takes an entry in."""
        if not is_number(value):
            return
        instants, values, is_better = self._instants, self._values, self._is_better
        end = bisect_right(instants, at)
        if end < len(values) and not is_better(value, values[end]):
            return  # a later one is as good and stays longer
        start = end
        while start and not is_better(values[start - 1], value):
            start -= 1
        instants[start:end] = [at]
        values[start:end] = [value]

    def after(self, horizon: int) -> Number | None:
        """The best; None where there is none."""
        place = bisect_right(self._instants, horizon)
        return self._values[place] if place < len(self._values) else None


class RunningDistinct:
    """The latest instant of each value."""

    __slots__ = ("_instants", "_latest")

    def __init__(self) -> None:
        self._latest: dict[tuple[str, Any], int] = {}
        #: All that `_latest` holds, ascending.
        self._instants: list[int] = []

    def put(self, at: int, value: object) -> None:
        """Takes an entry in; None is no value."""
        if value is None:
            return
        key = distinct_key(value)
        known = self._latest.get(key)
        if known is not None:
            if known >= at:
                return
            del self._instants[bisect_left(self._instants, known)]
        self._latest[key] = at
        insort(self._instants, at)

    def after(self, horizon: int) -> int:
        """How many different values there are."""
        return len(self._instants) - bisect_right(self._instants, horizon)


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


def exact_difference(one: Number, other: Number) -> Number:
    """One less the other to the last digit, an int if both are."""
    if isinstance(one, int) and isinstance(other, int):
        return one - other
    return EXACT.subtract(Decimal(one), Decimal(other))


def distinct_key(value: object) -> tuple[str, Any]:
    """Equal for equal values of one type: 1 and 1.0 are one value, 1 and true are two."""
    if isinstance(value, bool):
        return ("b", value)
    return ("t", value) if isinstance(value, str) else ("n", value)
