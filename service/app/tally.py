"""What one process counts, in memory: sums that somebody takes now and then."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from service.app.metrics import Metric, Values

#: The last bucket of every histogram.
INFINITE = "+Inf"


class Tally:
    """Sums by metric and labels. Not for threads: count on the event loop alone."""

    def __init__(self) -> None:
        self._sums: Values = {}

    def count(self, metric: Metric, *labels: str, by: float = 1) -> None:
        """So many more."""
        key = (metric.name, labels)
        self._sums[key] = self._sums.get(key, 0) + by

    def count_all(self, metric: Metric, counted: Mapping[tuple[str, ...], int]) -> None:
        """So many more for each of these values of its labels."""
        for labels, by in counted.items():
            if by:
                self.count(metric, *labels, by=by)

    def observe(self, metric: Metric, value: float, *labels: str) -> None:
        """One more value of a histogram."""
        self._note(metric, labels, bisect_left(metric.edges, value), 1)
        self._sum(metric, labels, value)

    def observe_all(self, metric: Metric, values: NDArray[np.float64], *labels: str) -> None:
        """Many more values of a histogram at once."""
        if not len(values):
            return
        counts = np.bincount(np.searchsorted(metric.edges, values), minlength=len(metric.edges) + 1)
        for place in np.flatnonzero(counts):
            self._note(metric, labels, int(place), int(counts[place]))
        self._sum(metric, labels, float(values.sum()))

    def _note(self, metric: Metric, labels: tuple[str, ...], place: int, by: int) -> None:
        edge = str(metric.edges[place]) if place < len(metric.edges) else INFINITE
        key = (f"{metric.name}_bucket", (*labels, edge))
        self._sums[key] = self._sums.get(key, 0) + by

    def _sum(self, metric: Metric, labels: tuple[str, ...], value: float) -> None:
        key = (f"{metric.name}_sum", labels)
        self._sums[key] = self._sums.get(key, 0) + value

    def look(self) -> Values:
        """All sums; they stay."""
        return dict(self._sums)

    def take(self) -> Values:
        """All sums since they were taken last; they begin at nothing again."""
        taken, self._sums = self._sums, {}
        return taken

    def put_back(self, taken: Values) -> None:
        """Sums that could not be told."""
        for key, value in taken.items():
            self._sums[key] = self._sums.get(key, 0) + value
