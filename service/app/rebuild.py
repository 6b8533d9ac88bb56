"""Rebuild: everything stored that does not follow from the facts is found by verify, then repaired slice by slice.

Each slice is a transaction of its own that looks again under its customers' locks and does only what differs, so that
one that is killed is run again, and one that finds nothing changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol
from uuid import UUID

from service.app.pins import Contention
from service.app.repair import CUSTOMERS_AT_ONCE_MAX, Repaired, RepairStopped, RepairStores, repair_slice
from service.app.set_aside import SetAside, WalkFailed
from service.app.verify import Report
from service.clock import Clock, make_clock

#: How often a slice is tried that another transaction got in the way of, and how long it waits before.
TRIES_MAX: Final = 10
RETRY_SECONDS: Final = 0.1
_real_time: Final = make_clock(None)


class Count(NamedTuple):
    """A segment's count of members, and what it must be; what waits in the outbox is not counted in either."""

    stored: int
    told: int


class Base(RepairStores, Protocol):
    """What a rebuild asks of the outside."""

    async def verify(self, segment_ids: Collection[UUID] | None, now: int) -> Report:
        """As app.verify, in one snapshot."""
        ...

    async def stale(self) -> set[UUID]:
        """Customers of whom app.refold.is_stale is true, in one snapshot."""
        ...

    async def counts(self, segment_ids: Collection[UUID] | None) -> Mapping[UUID, Count]:
        """The counts of members of these segments, or of all, by the memberships that are stored."""
        ...

    async def mend_count(self, segment_id: UUID) -> None:
        """Sets the count of members right, beside whoever counts on; one transaction."""
        ...


@dataclass
class Rebuilt:
    """What a rebuild found, and what it did about it.

    Attributes:
        report: what verify found before.
        stale: customers whose next timer or whose pins were wrong, which verify does not look at.
        counts: counts of members that were wrong.
        repaired: None for a dry run.
    """

    report: Report
    stale: Collection[UUID]
    counts: Mapping[UUID, Count]
    repaired: Repaired | None = None

    @property
    def differs(self) -> bool:
        """Whether there was anything to repair."""
        return bool(self.customer_ids or self.counts)

    @property
    def customer_ids(self) -> set[UUID]:
        """Everybody of whom anything differs."""
        return self.report.customer_ids.union(self.stale)

    def to_json(self) -> dict[str, Any]:
        """As `segments rebuild --json` prints it: the report of verify, and what was or would be done."""
        found = self.report.to_json()
        repaired = self.repaired
        for one in found["segments"]:
            segment_id = UUID(one["id"])
            count = self.counts.get(segment_id)
            one["count_drift"] = None if count is None else {"stored": count.stored, "facts": count.told}
            if repaired is not None:
                one |= {"joined": repaired.joined[segment_id], "left": repaired.left[segment_id]}
        found |= {"stale": len(self.stale), "customers": len(self.customer_ids)}
        found["emitted"] = repaired is not None
        if repaired is not None:
            found["repaired"] = {
                "customers": repaired.customers,
                "joined": repaired.joined.total(),
                "left": repaired.left.total(),
                "counts": len(self.counts),
                "set_aside": [str(one) for one in repaired.set_aside],
            }
        return found


async def rebuild(
    base: Base,
    clock: Clock,
    segment_ids: Collection[UUID] | None,
    *,
    is_emitting: bool,
    note: Callable[[int, int], None] = lambda done, total: None,
) -> Rebuilt:
    """Finds what does not follow from the facts, and repairs it.

    A customer who differs anywhere is repaired as a whole, in other segments too.

    Args:
        base: the database.
        clock: gives the instants at which memberships change.
        segment_ids: whose members to look at; None for all. Profiles are looked at either way.
        is_emitting: False only finds.
        note: told how many customers are done, of how many.

    Raises:
        VerifyError: a segment that is asked for is not kept, or stored criteria cannot be read.
        RepairStopped, ConnectionError: what is repaired so far stays; the same again does the rest.
        Contention: others kept coming first.
    """
    report = await base.verify(segment_ids, clock())
    kept = [one.segment.segment_id for one in report.segments]
    found = Rebuilt(report, await base.stale(), _wrong(await base.counts(kept), report))
    if not is_emitting:
        return found
    # As PostgreSQL orders them, so that any two transactions lock in one order.
    found.repaired = await _repair(base, clock, sorted(found.customer_ids, key=lambda one: one.int), note)
    # Of all segments, for customers were repaired as a whole.
    for segment_id, count in (await base.counts(None)).items():
        if count.stored != count.told:
            await base.mend_count(segment_id)
    return found


def _wrong(counts: Mapping[UUID, Count], report: Report) -> dict[UUID, Count]:
    """Those that are not right either once the memberships are."""
    found = {}
    for one in report.segments:
        stored, told = counts[one.segment.segment_id]
        told += one.missing - one.surplus
        if stored != told:
            found[one.segment.segment_id] = Count(stored, told)
    return found


async def _repair(
    stores: RepairStores, clock: Clock, customer_ids: Sequence[UUID], note: Callable[[int, int], None]
) -> Repaired:
    """All of these, ascending; who cannot be recounted is set aside, and the others go on."""
    repaired, aside, place = Repaired(), SetAside(CUSTOMERS_AT_ONCE_MAX), 0
    while place < len(customer_ids):
        some = customer_ids[place : place + aside.size]
        try:
            repaired.add(await _tried(stores, clock, some))
        except WalkFailed as failed:
            customer_id = aside.note(failed)
            if customer_id is None:
                continue
            repaired.set_aside.append(customer_id)
        place += len(some)
        note(place, len(customer_ids))
    return repaired


async def _tried(stores: RepairStores, clock: Clock, customer_ids: Sequence[UUID]) -> Repaired:
    """One slice.

    Raises:
        WalkFailed: one of the customers is at fault.
    """
    for tries_left in reversed(range(TRIES_MAX)):
        try:
            async with stores.repairs() as store:
                return await repair_slice(store, customer_ids, now=clock(), recorded_at=_real_time())
        except Contention:
            if not tries_left:
                raise
            await asyncio.sleep(RETRY_SECONDS)
        except (OSError, RepairStopped):
            raise
        except Exception as error:  # facts that nobody foresaw, or values that the database refuses
            raise WalkFailed(customer_ids) from error
    raise AssertionError
