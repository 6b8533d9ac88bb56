"""Thresholds: the tests of all segments on columns, each distinct one evaluated once."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.core.criteria.atoms import AS_OF, NEVER, Source
from service.core.instants import MISSING

Columns = NDArray[np.int64]
Bits = NDArray[np.bool_]
Indices = NDArray[np.intp]

_KINDS: Final = ("value", "age", "floor", "ceiling")


class Threshold(NamedTuple):
    """True where source >= bound."""

    source: Source
    bound: int


class _Group(NamedTuple):
    """Sources with equally many bounds, so that one call compares them all."""

    sources: slice
    thresholds: slice
    bounds: Columns  # sources x bounds of each x 1


class Thresholds:
    """All thresholds in the order in which they are evaluated: by kind of source, number of bounds, source, bound."""

    def __init__(self, thresholds: Iterable[Threshold]) -> None:
        bounds: dict[Source, list[int]] = {}
        for one in thresholds:
            bounds.setdefault(one.source, []).append(one.bound)

        def rank(source: Source) -> tuple[int, int]:
            return _KINDS.index(source.kind), len(bounds[source])

        sources = sorted(bounds, key=lambda source: (rank(source), source))
        self.ordered = [Threshold(source, bound) for source in sources for bound in sorted(bounds[source])]
        self._columns = np.array([source.column for source in sources], dtype=np.intp)
        self._orders = np.array([source.orders for source in sources], dtype=np.intp)
        kinds = [source.kind for source in sources]
        self._kinds = {kind: slice(kinds.index(kind), kinds.index(kind) + kinds.count(kind)) for kind in set(kinds)}
        self._groups: list[_Group] = []
        source_at = threshold_at = 0
        for (_, width), some in groupby(sources, key=rank):
            values = np.array([sorted(bounds[source]) for source in some], dtype=np.int64)
            last, end = source_at + len(values), threshold_at + len(values) * width
            self._groups.append(_Group(slice(source_at, last), slice(threshold_at, end), values[:, :, None]))
            source_at, threshold_at = last, end

    def fill(self, columns: Columns, bits: Bits) -> None:
        """Evaluates all thresholds.

        Args:
            columns: columns x rows.
            bits: thresholds x rows, in the order of `ordered`; filled in place.
        """
        derived = self._derive(columns)
        for group in self._groups:
            sources, width, _ = group.bounds.shape
            out = bits[group.thresholds].reshape(sources, width, -1)
            np.greater_equal(derived[group.sources, None, :], group.bounds, out=out)

    def _derive(self, columns: Columns) -> Columns:
        """Sources x rows."""
        derived = np.empty((len(self._columns), columns.shape[1]), dtype=np.int64)
        derived[:] = columns[self._columns]
        for kind, part in self._kinds.items():
            if kind == "age":
                _to_age(derived[part], columns[AS_OF])
            elif kind != "value":
                _to_average(derived[part], columns[self._orders[part]], is_floor=kind == "floor")
        return derived


def _to_age(instants: Columns, as_of: Columns) -> None:
    """How long ago; NEVER for what is missing."""
    is_missing = instants == MISSING
    np.subtract(as_of, instants, out=instants)
    np.copyto(instants, NEVER, where=is_missing)


def _to_average(amounts: Columns, orders: Columns, *, is_floor: bool) -> None:
    """An average in hundredths of minor units; MISSING without orders.

    Bounds are whole there, so that average >= bound <=> floor >= bound and average <= bound <=> ceiling <= bound:
    cross-multiplied, without a product that could overflow.
    """
    sign = 1 if is_floor else -1
    np.multiply(amounts, 100 * sign, out=amounts)
    np.floor_divide(amounts, np.maximum(orders, 1), out=amounts)
    np.multiply(amounts, sign, out=amounts)
    np.copyto(amounts, MISSING, where=orders <= 0)
