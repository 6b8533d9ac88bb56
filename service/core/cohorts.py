"""Cohorts: customers by the month of their beginning, and how many of them were there in each month after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from service.core.calendar import Bucket
from service.core.ratios import percent


class Cell(NamedTuple):
    """One month of a cohort.

    Attributes:
        offset: months after the cohort's own.
        present: how many of the cohort were there.
        is_partial: the month is not over.
    """

    offset: int
    month: Bucket
    present: int
    share: Decimal
    is_partial: bool


class Cohort(NamedTuple):
    """Customers who began in one month."""

    month: Bucket
    size: int
    cells: Sequence[Cell]


def cohorts_of(
    months: Sequence[Bucket], sizes: Mapping[int, int], counts: Mapping[tuple[int, int], int], at: int
) -> list[Cohort]:
    """The cohorts that have anybody, each with every month up to that of the instant.

    Args:
        months: ascending, without gaps; the last is that of `at`.
        sizes: place of the month -> how many began.
        counts: (place of the cohort's month, place of a month) -> how many of them were there; left out: nobody.
        at: microseconds.
    """
    found = []
    for place in sorted(sizes):
        cells = []
        for later in range(place, len(months)):
            count = counts.get((place, later), 0)
            is_partial = months[later].end - 1 > at
            cells.append(Cell(later - place, months[later], count, percent(count, sizes[place]), is_partial))
        found.append(Cohort(months[place], sizes[place], cells))
    return found
