"""One axis for the timelines of many customers, so that one search answers for all of them.

A key is customer * span + instant: keys of one customer lie together, in the order of time.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from service.core.criteria.needs import Needs
from service.core.instants import MISSING
from service.core.segments.gather import Gathered, Ints, Told

#: Keys stay below this, so that sums and differences of two never overflow.
KEY_MAX: Final = 2**61


class Timescale(NamedTuple):
    """Keys of (customer, instant).

    Attributes:
        first: the earliest instant that has a key, microseconds; the span of each customer begins there.
        span: instants of each customer.
    """

    first: int
    span: int

    def keys(self, customer: Ints, at: Ints) -> Ints:
        """Keys; instants before `first` and after the span would be another customer's."""
        return customer * self.span + (at - self.first)

    def of(self, told: Told) -> Ints:
        """Keys of what was told."""
        return self.keys(told.customer, told.at)


def window_max(needs: Needs) -> int:
    """The longest window, microseconds; 0 without any."""
    return max((window.span for window in needs.windows), default=0)


def timescale_of(found: Gathered, needs: Needs) -> Timescale:
    """The axis of a batch: from before all that it knows and where its customers stand, with room for windows."""
    since = found.base.evaluated_to
    instants = (found.told.at, found.entries.at, since[since != MISSING])
    first = min(int(one.min()) for one in instants if len(one)) - window_max(needs) - 1
    return Timescale(first, int(found.told.at.max()) - first + 2)


def starts_of(told: Told, customers: int) -> Ints:
    """Where each customer's begin, and where the last one's end: customers + 1 places."""
    return np.searchsorted(told.customer, np.arange(customers + 1))
