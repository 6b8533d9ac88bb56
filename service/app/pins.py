"""Pins: customers who are in a segment, or out of it, by hand or by import, whatever its criteria say.

The members of a static segment are its pins. On a dynamic or behavioral one a pin outlives every recomputation until it
is removed. The table `pins` says who pinned whom; what counts for membership is the profile's own copy, changed by the
hot path's code under the customer's lock in the same transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NamedTuple, Protocol
from uuid import UUID

from service.app.batch import Manual, Work, run_batch
from service.app.ports import Store
from service.app.segments import STATIC, Author, SegmentMissing
from service.clock import Clock
from service.core import identity
from service.core.instants import MISSING

#: How many customers one request names at most.
CUSTOMER_IDS_MAX: Final = 10_000
#: How many customers one transaction holds, so that batches of events never wait long.
CUSTOMERS_AT_ONCE_MAX: Final = 500
#: How often a transaction is tried that another one got in the way of.
TRIES_MAX: Final = 5
UNKNOWN_IDS_MAX: Final = 10
FAULTS_MAX: Final = 100

_GUEST: Final = str(identity.GUEST)
ADD: Final = "add"
REMOVE: Final = "remove"
UNPIN: Final = "unpin"
MANUAL: Final = "manual"
IMPORT: Final = "import"


class Contention(Exception):
    """Another transaction came first; the same again finds what it left."""


class IdsRefused(Exception):
    """The ids cannot be used; `faults` has (path, sentence) for each."""

    def __init__(self, faults: Sequence[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{path}: {message}" for path, message in faults))
        self.faults = faults


class Named(NamedTuple):
    """A customer as a caller names them."""

    customer_id: UUID
    external_id: str


class Pin(NamedTuple):
    """A pin as it is shown."""

    customer_id: UUID
    external_id: str | None
    is_included: bool
    source: str
    created_by: str
    creator_name: str
    created_at: datetime


class PinnedSegment(NamedTuple):
    """What pinning must know of a segment."""

    slot: int
    segment_type: str


@dataclass
class PinReport:
    """How many customers were pinned or let go, or not, and why; `unknown_ids` are the first of those unknown."""

    added: int = 0
    removed: int = 0
    unchanged: int = 0
    unknown: int = 0
    erased: int = 0
    unknown_ids: list[str] = field(default_factory=list)

    def add(self, other: PinReport) -> None:
        """Counts on."""
        self.added += other.added
        self.removed += other.removed
        self.unchanged += other.unchanged
        self.unknown += other.unknown
        self.erased += other.erased
        self.unknown_ids += other.unknown_ids


@dataclass(frozen=True)
class PinChange:
    """What somebody does to some customers of a segment.

    Attributes:
        action: ADD or REMOVE, which mean a pin or its end by the segment's type, or UNPIN: the criteria alone decide.
        source: MANUAL or IMPORT.
        recorded_at: real time, microseconds.
    """

    segment_id: UUID
    action: str
    author: Author
    recorded_at: int
    source: str = MANUAL

    def pin_for(self, segment_type: str) -> bool | None:
        """Included, excluded, or (None) no pin."""
        if self.action == ADD:
            return True
        return None if self.action == UNPIN or segment_type == STATIC else False


class PinStore(Store, Protocol):
    """The statements of a change by hand, beside those of a batch; all in one transaction."""

    async def pinned_segment(self, segment_id: UUID) -> PinnedSegment | None:
        """The segment unless it has been deleted; it stays so while the catalogue is held."""
        ...

    async def pins_of(self, segment_id: UUID, customer_ids: Sequence[UUID]) -> Mapping[UUID, bool]:
        """Who of the customers is included (True) or excluded (False); they must be locked."""
        ...

    async def put_pins(self, change: PinChange, customer_ids: Sequence[UUID], *, is_included: bool) -> None:
        """Stores these pins in place of those that were there, with author and source."""
        ...

    async def drop_pins(self, segment_id: UUID, customer_ids: Sequence[UUID]) -> None:
        """Forgets these pins."""
        ...

    async def pinned_after(self, segment_id: UUID, after: UUID, customers_max: int) -> list[UUID]:
        """Customers with a pin beyond `after`, ascending."""
        ...


class PinStores(Protocol):
    """Opens transactions; entering or leaving one raises Contention where another came first."""

    def pins(self) -> AbstractAsyncContextManager[PinStore]:
        """A store within a transaction that commits at the end of the block."""
        ...


def read_ids(source: Any, path: str = "customer_ids") -> list[Named]:
    """The customers that a list of ids names, each once, in the order given.

    Raises:
        IdsRefused: with the place of every fault, at most FAULTS_MAX of them.
    """
    if not isinstance(source, list) or not 1 <= len(source) <= CUSTOMER_IDS_MAX:
        raise IdsRefused([(path, f"must be a list of 1 to {CUSTOMER_IDS_MAX} customer ids")])
    found: dict[UUID, Named] = {}
    faults: list[tuple[str, str]] = []
    for index, external_id in enumerate(source):
        fault = fault_of_id(external_id)
        if fault is None:
            customer_id = identity.customer_uuid(external_id)
            found.setdefault(customer_id, Named(customer_id, external_id))
        elif len(faults) < FAULTS_MAX:
            faults.append((f"{path}[{index}]", fault))
    if faults:
        raise IdsRefused(faults)
    return list(found.values())


def fault_of_id(external_id: object) -> str | None:
    """What speaks against an id, by the rules that the ids of events must pass as well."""
    if not isinstance(external_id, str) or not 1 <= len(external_id) <= identity.CUSTOMER_ID_CHARACTERS_MAX:
        return f"must be a text of 1 to {identity.CUSTOMER_ID_CHARACTERS_MAX} characters"
    if "\0" in external_id or any("\ud800" <= character <= "\udfff" for character in external_id):
        return "must not hold U+0000 or half a surrogate pair"
    if external_id == _GUEST:
        return "must not be the UUID of zeros, which stands for guests"
    return None


async def pin_customers(stores: PinStores, clock: Clock, change: PinChange, customers: Collection[Named]) -> PinReport:
    """Adds customers to a segment or removes them, some at a time; the same again changes nothing more.

    A static segment takes ids that nobody has heard of yet: their customers begin with this membership. Elsewhere they
    are skipped and counted. Erased customers are always skipped. A segment that is not active keeps the pins until it
    is.

    Raises:
        SegmentMissing: no such segment.
        Contention: others kept coming first.
    """
    # As PostgreSQL orders them, so that any two transactions lock in one order.
    ordered = sorted(customers, key=lambda one: one.customer_id.int)
    report = PinReport()
    for some in _portions(ordered):
        report.add(await _tried(stores, clock, change, some))
    unknown = set(report.unknown_ids)
    report.unknown_ids = [one.external_id for one in customers if one.external_id in unknown][:UNKNOWN_IDS_MAX]
    return report


async def pin_some(stores: PinStores, clock: Clock, change: PinChange, customers: Collection[Named]) -> PinReport:
    """As `pin_customers`, in one transaction; `unknown_ids` of the answer has all of them."""
    return await _tried(stores, clock, change, sorted(customers, key=lambda one: one.customer_id.int))


async def unpin_all(stores: PinStores, clock: Clock, change: PinChange) -> PinReport:
    """Removes every pin of a segment, some at a time.

    Raises:
        SegmentMissing: no such segment.
        Contention: others kept coming first.
    """
    report, after = PinReport(), UUID(int=0)
    while True:
        async with stores.pins() as store:
            if await store.pinned_segment(change.segment_id) is None:
                raise SegmentMissing(str(change.segment_id))
            found = await store.pinned_after(change.segment_id, after, CUSTOMERS_AT_ONCE_MAX)
        if not found:
            report.unknown_ids = report.unknown_ids[:UNKNOWN_IDS_MAX]
            return report
        report.add(await _tried(stores, clock, change, [Named(one, str(one)) for one in found]))
        after = found[-1]


def _portions(customers: Sequence[Named]) -> Iterator[Sequence[Named]]:
    for first in range(0, len(customers), CUSTOMERS_AT_ONCE_MAX):
        yield customers[first : first + CUSTOMERS_AT_ONCE_MAX]


async def _tried(stores: PinStores, clock: Clock, change: PinChange, customers: Sequence[Named]) -> PinReport:
    for tries_left in reversed(range(TRIES_MAX)):
        try:
            async with stores.pins() as store:
                return await _pin(store, clock(), change, customers)
        except Contention:
            if not tries_left:
                raise
    raise AssertionError


async def _pin(store: PinStore, now: int, change: PinChange, customers: Sequence[Named]) -> PinReport:
    """One transaction; `customers` ascend by id."""
    catalogue = await store.catalogue()
    segment = await store.pinned_segment(change.segment_id)
    if segment is None:
        raise SegmentMissing(str(change.segment_id))
    pin = change.pin_for(segment.segment_type)
    ids = [one.customer_id for one in customers]
    locked = await store.lock_profiles(ids)
    if segment.segment_type != STATIC:
        # Who is here by another list alone, or by an event whose time has not come, does not exist yet.
        locked = [stored for stored in locked if stored.evaluated_to != MISSING]
    known = {stored.customer_id for stored in locked}
    missing = [one for one in customers if one.customer_id not in known]
    if missing:
        await store.hold_erasures(is_erasing=False)
    tombstones = await store.erased([one.customer_id for one in missing]) if missing else set()
    strangers = [one for one in missing if one.customer_id not in tombstones]
    held = await store.pins_of(change.segment_id, ids)
    changed = [stored for stored in locked if held.get(stored.customer_id) is not pin]
    born = strangers if segment.segment_type == STATIC and pin else []
    if changed or born:
        work = Work(
            now, change.recorded_at, stored=changed, unknown=born, manual=Manual(segment.slot, pin, change.source)
        )
        outcome = await run_batch(store, catalogue, work)
        if outcome.transitions:
            await store.write_outbox(outcome.transitions, change.recorded_at, [])
    if pin is None:
        await store.drop_pins(change.segment_id, list(held))
    elif changed or born:
        touched = sorted([stored.customer_id for stored in changed] + [one.customer_id for one in born])
        await store.put_pins(change, touched, is_included=pin)
    count = len(changed) + len(born)
    unknown = [] if born else [one.external_id for one in strangers]
    return PinReport(
        added=count if change.action == ADD else 0,
        removed=0 if change.action == ADD else count,
        unchanged=len(locked) - len(changed),
        unknown=len(unknown),
        erased=len(tombstones),
        unknown_ids=unknown,
    )
