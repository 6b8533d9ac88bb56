"""Things that should not happen, counted where every process and `status` can see them."""

from __future__ import annotations

from typing import Any, Final

#: Input stood still for TIMER_HOLD_SECONDS_MAX, and timers fired ahead of it.
TIMERS_OVERTOOK: Final = "timers_overtook"

#: Customers whose profile could not be walked by timers or backfills.
CUSTOMERS_SET_ASIDE: Final = "customers_set_aside"

#: Customers of whom anything differed when all was verified last; set, not counted.
DRIFT_CUSTOMERS: Final = "drift_customers"

VALUE: Final = "SELECT value FROM counters WHERE name = $1"
COUNT: Final = """
INSERT INTO counters AS c (name, value) VALUES ($1, 1)
ON CONFLICT (name) DO UPDATE SET value = c.value + 1, at = now()
"""
SET: Final = """
INSERT INTO counters (name, value) VALUES ($1, $2)
ON CONFLICT (name) DO UPDATE SET value = EXCLUDED.value, at = now()
"""


async def count(connection: Any, name: str) -> None:
    """One more."""
    await connection.execute(COUNT, name)


async def note(connection: Any, name: str, value: int) -> None:
    """What it is now."""
    await connection.execute(SET, name, value)
