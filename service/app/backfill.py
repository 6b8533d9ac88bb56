"""Backfill: brings customers up to definitions that came or changed while they were there (DESIGN, Segments change)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple
from uuid import UUID

from service.app.batch import Work, run_batch
from service.app.ports import Store
from service.app.set_aside import SetAside, WalkFailed

CUSTOMERS_MAX: Final = 500


class Slice(NamedTuple):
    """One step of a backfill: how many customers, and the last of them."""

    customers: int
    last: UUID


async def backfill_slice(
    store: Store,
    *,
    introduced: int,
    after: UUID,
    now: int,
    recorded_at: int,
    aside: SetAside | None = None,
    chosen: Sequence[UUID] | None = None,
) -> Slice:
    """Brings the next customers to the current catalogue; none left where `customers` is 0.

    Args:
        store: the transaction's statements.
        introduced: customers whose mark is below this catalogue version are behind.
        after: customers beyond this one.
        now: the clock.
        recorded_at: real time.
        aside: customers to leave out, and how many to take at once.
        chosen: these customers, ascending, as far as they are behind, instead of everybody.

    Raises:
        WalkFailed: with the customers of this slice.
    """
    catalogue = await store.catalogue()
    size, but = (aside.size, aside.customer_ids) if aside else (CUSTOMERS_MAX, [])
    if chosen is None:
        stored = await store.lock_behind(introduced, after, size, but)
    else:
        locked = await store.lock_profiles([one for one in chosen if one not in but])
        stored = [one for one in locked if one.mark < introduced]
    if not stored:
        return Slice(len(chosen or ()), after)
    try:
        outcome = await run_batch(store, catalogue, Work(now, recorded_at, stored=stored))
        if outcome.transitions:
            await store.write_outbox(outcome.transitions, recorded_at, [])
    except Exception as error:
        raise WalkFailed([one.customer_id for one in stored]) from error
    return Slice(len(stored if chosen is None else chosen), stored[-1].customer_id)
