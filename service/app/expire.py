"""Timers: customers whose membership changes by time alone (DESIGN, Time). They never overtake unread input."""

from __future__ import annotations

from typing import Final

from service.app.batch import Work, run_batch
from service.app.ports import Store
from service.app.set_aside import SetAside, WalkFailed

#: So many customers are locked at once; the rows of their walks are evaluated as they come.
CUSTOMERS_MAX: Final = 500


async def expire(store: Store, *, now: int, until: int, recorded_at: int, aside: SetAside | None = None) -> int:
    """Fires what was due at `until` for some customers; gives how many there were.

    Args:
        store: the transaction's statements.
        now: the clock; events of the future stay pending.
        until: the limit, at or before `now`.
        recorded_at: real time.
        aside: customers to leave out, and how many to take at once.

    Raises:
        WalkFailed: with the customers of this batch.
    """
    catalogue = await store.catalogue()
    size, but = (aside.size, aside.customer_ids) if aside else (CUSTOMERS_MAX, [])
    stored = await store.lock_due(until, size, but)
    if not stored:
        return 0
    try:
        outcome = await run_batch(store, catalogue, Work(now, recorded_at, stored=stored, until=until))
        if outcome.transitions:
            await store.write_outbox(outcome.transitions, recorded_at, [])
    except Exception as error:
        raise WalkFailed([one.customer_id for one in stored]) from error
    return len(stored)
