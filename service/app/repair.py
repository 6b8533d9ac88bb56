"""One slice of a rebuild: some customers made what their facts say, in one transaction; who is sound stays as is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Final, Protocol
from uuid import UUID

from service.app.batch import next_due
from service.app.pins import Contention
from service.app.ports import Store
from service.app.refold import Kept, Span, Stays, counted, orders_told, recounted
from service.core.events.model import Event
from service.core.profiles.ledger import Contribution, Ledger
from service.core.profiles.profile import Profile
from service.core.segments.catalogue import Catalogue
from service.core.segments.repair import REBUILD, RepairWalk
from service.core.segments.walk import Transition

#: How many customers one transaction holds, so that batches of events never wait long.
CUSTOMERS_AT_ONCE_MAX: Final = 500
ERASURE: Final = "erasure"


class RepairStore(Store, Protocol):
    """The statements of a slice, beside those of a batch; all in one transaction. Customers must be locked."""

    async def spans(self, customer_ids: Sequence[UUID], now: int) -> Mapping[UUID, Span]:
        """Who has facts: the instants of the first, and of the last at or before now."""
        ...

    async def told(self, customer_ids: Sequence[UUID]) -> Sequence[Event]:
        """Registrations, attributes, logins and deletions."""
        ...

    async def leaving(self, customer_ids: Sequence[UUID]) -> set[UUID]:
        """Those that are tombstones, or have a deletion among their facts."""
        ...

    async def later(self, after: Mapping[UUID, int]) -> Sequence[Event]:
        """All facts later than an instant of each customer, as events; they name the customer by the UUID."""
        ...

    async def stays(self, customer_ids: Sequence[UUID]) -> Sequence[Stays]:
        """Their memberships, one for each segment there ever was."""
        ...

    async def pins_by_slot(self, customer_ids: Sequence[UUID]) -> Mapping[UUID, Mapping[int, bool]]:
        """All pins of these customers."""
        ...

    async def names(self, customer_ids: Sequence[UUID]) -> Mapping[UUID, str]:
        """The external ids in `customers`."""
        ...

    async def renumber(self, moved: Mapping[UUID, Mapping[UUID, int]]) -> None:
        """Gives open memberships (customer, segment) another ordinal."""
        ...

    async def mend_profiles(self, profiles: Sequence[Profile], due: Mapping[UUID, int | None]) -> set[UUID]:
        """Stores profiles and customers that differ from what is stored; gives those that did."""
        ...

    async def mend_orders(self, told: Mapping[UUID, Mapping[str, Contribution]]) -> set[UUID]:
        """Stores the orders of these customers that differ, deletes those that are too many; gives whose they are."""
        ...

    async def forget(self, customer_ids: Sequence[UUID]) -> None:
        """Deletes customers nothing else is known of."""
        ...


class RepairStopped(Exception):
    """The database refuses what no customer is at fault for; the message says what it answered."""


class RepairStores(Protocol):
    """Opens transactions; entering or leaving one raises Contention, ConnectionError or RepairStopped."""

    def repairs(self) -> AbstractAsyncContextManager[RepairStore]:
        """A store within a transaction that commits at the end of the block."""
        ...


@dataclass
class Repaired:
    """What was repaired.

    Attributes:
        joined, left: by segment.
        customers: how many had anything stored that was not what the facts say.
        set_aside: customers that could not be recounted.
    """

    joined: Counter[UUID] = field(default_factory=Counter)
    left: Counter[UUID] = field(default_factory=Counter)
    customers: int = 0
    set_aside: list[UUID] = field(default_factory=list)

    def add(self, other: Repaired) -> None:
        """Counts on."""
        self.joined += other.joined
        self.left += other.left
        self.customers += other.customers
        self.set_aside += other.set_aside


@dataclass
class _Case:
    """A customer in repair: what is stored, and the profile that follows from it; `ledger` holds its orders."""

    kept: Kept
    profile: Profile
    ledger: Ledger


async def repair_slice(store: RepairStore, customer_ids: Sequence[UUID], *, now: int, recorded_at: int) -> Repaired:
    """Repairs these customers, in one transaction.

    Args:
        store: the transaction's statements.
        customer_ids: ascending; whether they still differ is found out under their locks.
        now: the clock, microseconds; memberships change at this instant, or where a customer is beyond it, at that.
        recorded_at: real time, microseconds.

    Raises:
        Contention: somebody stored or erased one of the customers first.
    """
    catalogue = await store.catalogue()
    all_kept = await _read(store, catalogue, customer_ids, now)
    cases = [_Case(kept, *recounted(kept, catalogue, now)) for kept in all_kept if not kept.is_nobody]
    transitions = _walk(catalogue, cases, now, store.entries_max)
    touched = {one.profile.customer_id for one in transitions}
    moved = {case.kept.customer_id: moves for case in cases if (moves := counted(case.kept)[1])}
    if moved:
        await store.renumber(moved)
    staying = [case for case in cases if not case.kept.must_go]
    profiles = [case.profile for case in staying]
    touched |= await store.mend_profiles(profiles, {one.customer_id: next_due(one, catalogue) for one in profiles})
    orders: dict[UUID, Mapping[str, Contribution]] = {one: {} for one in customer_ids}
    orders |= {case.kept.customer_id: orders_told(case.ledger) for case in staying}
    touched |= await store.mend_orders(orders)
    if transitions:
        await store.write_memberships(transitions, recorded_at)
    touched |= await _remove(store, all_kept)
    if transitions:
        await store.write_outbox(transitions, recorded_at, [])
    return _counted_up(transitions, len(touched | moved.keys()))


async def _read(store: RepairStore, catalogue: Catalogue, customer_ids: Sequence[UUID], now: int) -> Collection[Kept]:
    """Locks these customers and reads all that is stored of them."""
    leaving = await store.leaving(customer_ids)
    locked = {one.customer_id: one for one in await store.lock_profiles(customer_ids)}
    await store.hold_erasures(is_erasing=bool(leaving))
    missing = [one for one in customer_ids if one not in locked]
    if missing:  # somebody may have stored one of them while this waited
        locked |= {one.customer_id: one for one in await store.lock_profiles(missing)}
    found = {one: Kept(one, locked.get(one)) for one in customer_ids}
    for customer_id in await store.erased(customer_ids):
        found[customer_id].is_erased = True
    for customer_id, span in (await store.spans(customer_ids, now)).items():
        found[customer_id].span = span
    for event in await store.told(customer_ids):
        found[event.customer_id].told.append(event)
    if any(kept.must_go and kept.customer_id not in leaving for kept in found.values()):
        raise Contention
    for fact in await store.all_facts(customer_ids, catalogue.shape.activity_names):
        found[fact.customer_id].facts.append(fact)
    for stays in await store.stays(customer_ids):
        found[stays.customer_id].memberships.append(stays)
    for customer_id, pins in (await store.pins_by_slot(customer_ids)).items():
        found[customer_id].pins = pins
    for customer_id, name in (await store.names(customer_ids)).items():
        found[customer_id].names.append(name)
    for event in await store.later({one: kept.evaluated_to for one, kept in found.items()}):
        found[event.customer_id].later.append(event)
    return found.values()


def _walk(catalogue: Catalogue, cases: Sequence[_Case], now: int, entries_max: int) -> list[Transition]:
    """Finds the memberships that are wrong, then changes them, and those of definitions that are new to a customer."""
    looking = RepairWalk(catalogue, entries_max)
    before = [(case.profile.ordinals, case.profile.mark) for case in cases]
    for case in cases:
        looking.look(case.profile, case.ledger, now)
    wrong: dict[UUID, set[int]] = {}
    for one in looking.transitions():
        if one.reason == REBUILD:
            wrong.setdefault(one.profile.customer_id, set()).add(one.definition.slot)
    mending = RepairWalk(catalogue, entries_max)
    for case, (ordinals, mark) in zip(cases, before, strict=True):
        case.profile.ordinals, case.profile.mark = ordinals, mark
        reason = ERASURE if case.kept.must_go else REBUILD
        mending.mend(case.profile, case.ledger, now, wrong.get(case.kept.customer_id, ()), reason)
    return mending.transitions()


async def _remove(store: RepairStore, all_kept: Collection[Kept]) -> set[UUID]:
    """Deletes who was erased, or is nobody; gives those of whom anything was left."""
    going = sorted(kept.customer_id for kept in all_kept if kept.must_go)
    if going:
        await store.erase(going)
    nobodies = sorted(kept.customer_id for kept in all_kept if kept.is_nobody and kept.names and not kept.must_go)
    if nobodies:
        await store.forget(nobodies)
    return {*going, *nobodies}


def _counted_up(transitions: Sequence[Transition], customers: int) -> Repaired:
    joined = Counter(one.definition.segment_id for one in transitions if one.has_joined)
    left = Counter(one.definition.segment_id for one in transitions if not one.has_joined)
    return Repaired(joined, left, customers)
