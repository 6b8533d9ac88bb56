"""Walks customers through their timelines and finds who joined and who left (DESIGN, life of an event, steps 5 and 6).

Before each event come the instants at which time alone may change membership, then the event, up to the last event and
never beyond. Each step is one row of columns. All rows of a batch are evaluated at once; a transition is a difference
between consecutive rows of one customer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from service.core.events.model import Event, Stamp
from service.core.instants import MISSING
from service.core.profiles.ledger import Ledger, LedgerIncomplete, OrderChange
from service.core.profiles.profile import Profile
from service.core.profiles.timeline import NO_EDGE
from service.core.segments.catalogue import Catalogue, Definition
from service.core.segments.customer import CustomerWalk, Row
from service.core.segments.ordinals import members_of, ordinal_of, with_ordinal
from service.core.segments.plain import is_plain, may_sweep
from service.core.segments.sweep import fits, sweep

#: Rows that wait to be evaluated; beyond them they are, so that memory stays bounded.
ROWS_MAX: Final = 50_000
#: So many customers are swept at once.
SWEPT_MAX: Final = 4_000
#: How many entries of one kind a profile keeps, unless the settings say otherwise.
ENTRIES_MAX: Final = 10_000


class Transition(NamedTuple):
    """One customer joined or left one segment; the n-th time (ordinal) anything changed between the two."""

    profile: Profile
    definition: Definition
    ordinal: int
    has_joined: bool
    effective_at: int
    reason: str  # event, time, definition, manual, import, erasure, rebuild
    event: Event | None


class Manual(NamedTuple):
    """A change by hand: the customer is pinned into the segment or out of it; None takes the pin away."""

    slot: int
    pin: bool | None
    reason: str  # manual or import


class Walk:
    """One batch's walk; use once."""

    def __init__(self, catalogue: Catalogue, entries_max: int = ENTRIES_MAX) -> None:
        self.catalogue = catalogue
        self._entries_max = entries_max
        self._plan = catalogue.plan
        self.keys = self._plan.begin_batch()
        self._columns: list[list[int]] = []
        self._rows: list[Row] = []
        self._found: list[Transition] = []
        self.profiles: list[Profile] = []
        #: Events that stand after their customer's erasure.
        self.dropped: list[Event] = []
        self.order_changes: list[tuple[Profile, OrderChange]] = []
        #: When time alone may change something next, of those who were swept; NO_EDGE if ever.
        self.due: dict[UUID, int] = {}
        self._may_sweep = may_sweep(catalogue)
        self._plain: list[tuple[Profile, Sequence[Event]]] = []

    def mark(self) -> tuple[int, int]:
        """A place to go back to when a customer must be walked again."""
        if len(self._rows) > ROWS_MAX:
            self._collect()
        return len(self._rows), len(self.profiles)

    def rewind(self, mark: tuple[int, int]) -> None:
        """Forgets all since the mark."""
        del self._columns[mark[0] :], self._rows[mark[0] :], self.profiles[mark[1] :]

    def add(
        self,
        profile: Profile,
        events: Sequence[Event],
        ledger: Ledger,
        *,
        now: int,
        until: int = MISSING,
        manual: Manual | None = None,
    ) -> None:
        """Walks one customer.

        Args:
            profile: changed in place.
            events: new ones, ascending by stamp; those after `now` are kept for later.
            ledger: the orders and refunds that the events and the pending ones touch, without what `pending` holds.
            now: the clock.
            until: timers go on to this instant without an event; MISSING for batches.
            manual: a change by hand, at `now`, after the events.

        Raises:
            LedgerIncomplete: walk this customer again, from its stored profile, with a complete ledger.
        """
        self.profiles.append(profile)
        if (
            self._may_sweep
            and until == MISSING
            and manual is None
            and is_plain(profile, events, ledger, self.catalogue, now)
        ):
            self._plain.append((profile, events))
            if len(self._plain) >= SWEPT_MAX:
                self._sweep()
        else:
            self._walk(profile, events, ledger, now=now, until=until, manual=manual)

    def _walk(
        self, profile: Profile, events: Sequence[Event], ledger: Ledger, *, now: int, until: int, manual: Manual | None
    ) -> None:
        shape = self.catalogue.shape
        retry_at = NO_EDGE
        if profile.is_new:
            profile.born = profile.mark = self.catalogue.version
            profile.shape_version = shape.version
        elif ledger.is_complete:
            retry_at = profile.retry_at
            profile.refold(ledger, shape)
        elif profile.shape_version != shape.version:
            raise LedgerIncomplete
        customer = CustomerWalk(self, self.catalogue, profile, ledger, retry_at)
        is_stub = profile.first_seen_at == MISSING
        for event in _due(profile, events, max(now, profile.evaluated_to), until):
            customer.event(event)
            if profile.is_erased:
                self.dropped += (one for one in events if _stamp(one) > _stamp(event))
                break
        else:
            if until != MISSING:
                customer.edges(until + 1)
        customer.end()
        if is_stub and profile.first_seen_at != MISSING:
            profile.born = self.catalogue.version
        if manual is not None and not profile.is_erased:
            customer.change_pin(manual.slot, manual.pin, manual.reason, now)
        profile.mark = self.catalogue.version
        profile.trim(shape, self._entries_max)
        self.order_changes += ((profile, change) for change in ledger.changes())

    def _sweep(self) -> None:
        """Walks the customers whose walk is plain, all at once."""
        some, self._plain = self._plain, []
        if not some:
            return
        if not fits(some, self._plan.needs):
            for profile, events in some:
                self._walk(profile, events, Ledger(), now=events[-1].at, until=MISSING, manual=None)
            return
        swept = sweep(self.catalogue, self.keys, some)
        self.order_changes += swept.order_changes
        for (profile, _), due in zip(some, swept.due, strict=True):
            self.due[profile.customer_id] = due
            profile.trim(self.catalogue.shape, self._entries_max)
        definitions = self.catalogue.definitions
        for customer, place, ordinal, at, event in swept.changes:
            reason = "time" if event is None else "event"
            self._found.append(
                Transition(some[customer][0], definitions[place], ordinal, ordinal % 2 == 1, at, reason, event)
            )

    def append(self, row: Row, columns: list[int]) -> None:
        """Adds a row."""
        self._columns.append(columns)
        self._rows.append(row)

    def transitions(self) -> list[Transition]:
        """Evaluates all rows; counts each profile's ordinals on. Per customer in the order of time."""
        self._sweep()
        self._collect()
        return self._found

    def _collect(self) -> None:
        rows, definitions = self._rows, self.catalogue.definitions
        if rows and definitions:
            settled = _Settled(rows, self.catalogue)
            bits = self._plan.evaluate(self._columns, settled.settle, self.keys)
            # By columns, as both lie in memory; then in the order of rows, which is that of time.
            columns, places = np.nonzero((bits != settled.before).T)
            for index in np.argsort(places, kind="stable"):
                place, column = places[index], columns[index]
                self._found.append(_transition(rows[place], definitions[column], bool(bits[place, column])))
        self._rows, self._columns = [], []


class _Settled:
    """Membership before each row, and what stands above the criteria in it: pins, erasure, frozen definitions."""

    def __init__(self, rows: Sequence[Row], catalogue: Catalogue) -> None:
        self._rows, self._catalogue = rows, catalogue
        slots = catalogue.plan.slots
        self._firsts = [
            place for place, row in enumerate(rows) if not place or row.profile is not rows[place - 1].profile
        ]
        self._members = np.array([members_of(rows[place].profile.ordinals, slots) for place in self._firsts])
        self._special = [place for place, row in enumerate(rows) if not row.is_plain]
        self.before = np.empty((len(rows), len(slots)), dtype=np.bool_, order="F")

    def settle(self, bits: NDArray[np.bool_], places: NDArray[np.intp]) -> None:
        """Corrects the columns of these places in `bits` (rows x segments) and fills them in `before`."""
        before = self.before
        if len(places) == bits.shape[1]:
            before[1:] = bits[:-1]
            before[self._firsts] = self._members
        else:
            before[1:, places] = bits[:-1, places]
            before[np.array(self._firsts)[:, None], places] = self._members[:, places]
        if not self._special:
            return
        chosen = np.zeros(bits.shape[1], dtype=np.bool_)
        chosen[places] = True
        for place in self._special:
            row = self._rows[place]
            self._correct(row, bits[place], before[place], chosen)
            if place + 1 < len(self._rows) and self._rows[place + 1].profile is row.profile:
                before[place + 1, places] = bits[place, places]

    def _correct(self, row: Row, bits: NDArray[np.bool_], before: NDArray[np.bool_], chosen: NDArray[np.bool_]) -> None:
        for place in row.unknown:
            if chosen[place]:
                bits[place] = before[place]
        if row.is_nobody:
            bits[chosen] = False
        for slot, pin in row.pins.items():
            pinned = self._catalogue.places.get(slot)
            if pinned is not None and chosen[pinned] and self._catalogue.definitions[pinned].is_live:
                bits[pinned] = pin
        if row.is_deletion:
            bits[chosen] = False
        if row.frozen or row.only is not None:
            keep = np.zeros(len(bits), dtype=np.bool_)
            if row.only is not None:
                keep[:] = True
                keep[list(row.only)] = False
            keep[list(row.frozen)] = True
            keep &= chosen
            bits[keep] = before[keep]


def _due(profile: Profile, events: Sequence[Event], now: int, until: int) -> list[Event]:
    """The events whose time has come, those that waited included; the others wait in `pending`.

    `now` is at least where the customer has been taken to: another worker's clock may be a little ahead.
    """
    due = [event for event in events if event.at <= now]
    if len(due) < len(events):
        profile.pending = sorted((*profile.pending, *events[len(due) :]), key=_stamp)
    limit = max(until, due[-1].at if due else MISSING)
    if profile.pending and profile.pending[0].at <= limit:
        ripe = [event for event in profile.pending if event.at <= limit]
        due = sorted((*ripe, *due), key=_stamp)
        profile.pending = [event for event in profile.pending if event.at > limit]
    return due


def _transition(row: Row, definition: Definition, has_joined: bool) -> Transition:
    profile = row.profile
    ordinal = ordinal_of(profile.ordinals, definition.slot) + 1
    profile.ordinals = with_ordinal(profile.ordinals, definition.slot, ordinal)
    if row.reason is not None:
        reason = row.reason
    elif row.event is None:
        reason = "time"
    else:
        reason = "erasure" if row.is_deletion else "event"
    return Transition(profile, definition, ordinal, has_joined, row.as_of, reason, row.event)


def _stamp(event: Event) -> Stamp:
    return event.stamp


def by_stamp(events: Iterable[Event]) -> list[Event]:
    """Events in the order of their timeline."""
    return sorted(events, key=_stamp)
