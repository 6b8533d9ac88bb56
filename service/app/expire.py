"""Timers: customers whose membership changes by time alone (DESIGN, Time). They never overtake unread input."""

from __future__ import annotations

from typing import Final

from service.app.batch import Work, run_batch
from service.app.ports import Store

CUSTOMERS_MAX: Final = 1_000


async def expire(store: Store, *, now: int, until: int, recorded_at: int) -> int:
    """Fires what was due at `until` for some customers; gives how many there were.

    Args:
        now: the clock; events of the future stay pending.
        until: the limit, at or before `now`.
    """
    catalogue = await store.catalogue()
    stored = await store.lock_due(until, CUSTOMERS_MAX)
    if not stored:
        return 0
    outcome = await run_batch(store, catalogue, Work(now, recorded_at, stored=stored, until=until))
    if outcome.transitions:
        await store.write_outbox(outcome.transitions, recorded_at, [])
    return len(stored)
