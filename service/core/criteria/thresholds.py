"""Thresholds: what all segments ask of columns; each distinct question is answered once, column by column."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.core.criteria.atoms import AS_OF, NEVER, Source
from service.core.criteria.scratch import Scratch
from service.core.instants import MISSING

Columns = NDArray[np.int64]
Bits = NDArray[np.bool_]
Indices = NDArray[np.intp]

_KINDS: Final = ("value", "age", "floor", "ceiling")


class Threshold(NamedTuple):
    """True where source >= bound."""

    source: Source
    bound: int


class _Run(NamedTuple):
    """Consecutive sources with equally many bounds: one call compares them all."""

    sources: slice
    thresholds: slice
    bounds: Columns  # sources x bounds of each x 1


class Thresholds:
    """All thresholds, by kind of source, number of its bounds, source and bound; `ordered` is their order."""

    def __init__(self, thresholds: Iterable[Threshold], scratch: Scratch) -> None:
        bounds: dict[Source, list[int]] = {}
        for one in sorted(thresholds):
            bounds.setdefault(one.source, []).append(one.bound)

        def rank(source: Source) -> tuple[int, int]:
            return _KINDS.index(source.kind), len(bounds[source])

        sources = sorted(bounds, key=lambda source: (rank(source), source))
        self.ordered = [Threshold(source, bound) for source in sources for bound in bounds[source]]
        self._columns = np.array([source.column for source in sources], dtype=np.intp)
        self._orders = np.array([source.orders for source in sources], dtype=np.intp)
        kinds = [source.kind for source in sources]
        self._kinds = {kind: slice(kinds.index(kind), kinds.index(kind) + kinds.count(kind)) for kind in set(kinds)}
        self._runs: list[_Run] = []
        first = place = 0
        for _, some in groupby(sources, key=rank):
            values = np.array([bounds[source] for source in some], dtype=np.int64)
            run = _Run(slice(first, first + len(values)), slice(place, place + values.size), values[:, :, None])
            self._runs.append(run)
            first, place = run.sources.stop, run.thresholds.stop
        self._scratch = scratch

    def fill(self, columns: Columns, bits: Bits) -> None:
        """Answers all thresholds.

        Args:
            columns: columns x rows.
            bits: thresholds x rows, contiguous, in the order of `ordered`; filled in place.
        """
        derived = self._derive(columns)
        for run in self._runs:
            out = bits[run.thresholds].reshape(*run.bounds.shape[:2], -1)
            np.greater_equal(derived[run.sources, None, :], run.bounds, out=out)

    def _derive(self, columns: Columns) -> Columns:
        """Sources x rows."""
        derived = self._scratch.array("derived", (len(self._columns), columns.shape[1]), np.int64)
        np.take(columns, self._columns, axis=0, out=derived, mode="clip")  # "raise" would go through a buffer
        for kind, part in self._kinds.items():
            if kind == "age":
                _to_age(derived[part], columns[AS_OF])
            elif kind != "value":
                _to_average(derived[part], columns[self._orders[part]], is_floor=kind == "floor")
        return derived


def _to_age(instants: Columns, as_of: Columns) -> None:
    """How long ago, in place; NEVER for what is missing."""
    is_missing = instants == MISSING
    np.subtract(as_of, instants, out=instants)
    np.copyto(instants, NEVER, where=is_missing)


def _to_average(amounts: Columns, orders: Columns, *, is_floor: bool) -> None:
    """An average in hundredths of minor units, rounded down or up, in place; MISSING without orders.

    Bounds are whole there, so that average >= bound <=> floor >= bound and average <= bound <=> ceiling <= bound:
    cross-multiplied, without a product that could overflow.
    """
    sign = 1 if is_floor else -1
    np.multiply(amounts, 100 * sign, out=amounts)
    np.floor_divide(amounts, np.maximum(orders, 1), out=amounts)
    np.multiply(amounts, sign, out=amounts)
    np.copyto(amounts, MISSING, where=orders <= 0)
