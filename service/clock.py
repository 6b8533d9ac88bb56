"""The clock that evaluation and windows go by; tokens, leases and timeouts keep real time."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

from service.core import instants

Clock = Callable[[], int]


def make_clock(fixed: datetime | None) -> Clock:
    """Microseconds since the epoch: of the wall, or always of the fixed instant."""
    if fixed is None:
        return lambda: time.time_ns() // 1_000
    standing = instants.from_datetime(fixed)
    return lambda: standing
