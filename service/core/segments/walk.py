"""Walks customers through their timelines and finds who joined and who left (DESIGN, life of an event, steps 5 and 6).

Before each event come the instants at which time alone may change membership, then the event, up to the last event and
never beyond. Each step is one row of columns. All rows of a batch are evaluated at once; a transition is a difference
between consecutive rows of one customer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.core.events.model import Deleted, Event, Stamp
from service.core.instants import MISSING
from service.core.profiles.ledger import Ledger, LedgerIncomplete
from service.core.profiles.profile import Profile
from service.core.profiles.timeline import NO_EDGE, fixed_columns, next_edge, window_figures
from service.core.segments.catalogue import Catalogue, Definition

EDGES_MAX: Final = 1_000_000


class Transition(NamedTuple):
    """One customer joined or left one segment; the n-th time (ordinal) anything changed between the two."""

    profile: Profile
    definition: Definition
    ordinal: int
    has_joined: bool
    effective_at: int
    reason: str  # event, time, definition, erasure
    event: Event | None


class _Row(NamedTuple):
    """What a row of columns stands for."""

    profile: Profile
    as_of: int
    event: Event | None
    frozen: tuple[int, ...]  # places (not slots) of definitions that do not change in this row
    only: tuple[int, ...] | None  # places of the definitions that this row is about; None = all
    is_definition: bool


class Walk:
    """One batch's walk; use once."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self._plan = catalogue.plan
        self._plan.begin_batch()
        self._columns: list[list[int]] = []
        self._rows: list[_Row] = []
        self.profiles: list[Profile] = []

    def mark(self) -> tuple[int, int]:
        """A place to go back to when a customer must be walked again."""
        return len(self._rows), len(self.profiles)

    def rewind(self, mark: tuple[int, int]) -> None:
        """Forgets all since the mark."""
        del self._columns[mark[0] :], self._rows[mark[0] :], self.profiles[mark[1] :]

    def add(self, profile: Profile, events: Sequence[Event], ledger: Ledger, *, now: int, until: int = MISSING) -> None:
        """Walks one customer.

        Args:
            profile: changed in place.
            events: new ones, ascending by stamp; those after `now` are kept for later.
            ledger: the orders and refunds that the events touch, without what `pending` holds.
            now: the clock.
            until: timers go on to this instant without an event; MISSING for batches.

        Raises:
            LedgerIncomplete: walk this customer again, from its stored profile, with a complete ledger.
        """
        self.profiles.append(profile)
        shape = self.catalogue.shape
        if profile.is_new:
            profile.born = profile.mark = self.catalogue.version
            profile.shape_version = shape.version
        elif profile.shape_version != shape.version:
            if not ledger.is_complete:
                raise LedgerIncomplete
            profile.refold(ledger, shape)
        customer = _Customer(self, profile, ledger)
        # Another worker's clock may have been a little ahead and taken the customer further.
        now = max(now, profile.evaluated_to)
        due = [event for event in events if event.at <= now]
        if len(due) < len(events):
            profile.pending = sorted((*profile.pending, *events[len(due) :]), key=_stamp)
        limit = max(until, due[-1].at if due else MISSING)
        if profile.pending and profile.pending[0].at <= limit:
            ripe = [event for event in profile.pending if event.at <= limit]
            if not ledger.is_complete and any(event.type.startswith("order.") for event in ripe):
                raise LedgerIncomplete  # the facts of the orders they touch were not asked for
            due = sorted((*ripe, *due), key=_stamp)
            profile.pending = [event for event in profile.pending if event.at > limit]
        for event in due:
            customer.event(event)
            if profile.is_erased:
                break
        else:
            if until != MISSING:
                customer.edges(until + 1)
        customer.end()
        profile.mark = self.catalogue.version
        profile.trim(shape)

    def append(self, row: _Row, columns: list[int]) -> None:
        """Adds a row."""
        self._columns.append(columns)
        self._rows.append(row)

    def transitions(self) -> list[Transition]:
        """Evaluates all rows; counts each profile's ordinals on. Per customer in the order of time."""
        rows, definitions = self._rows, self.catalogue.definitions
        if not rows or not definitions:
            return []
        bits = self._plan.evaluate(self._columns)
        before = self._previous(bits)
        found = []
        for place, column in np.argwhere(bits != before):
            row, definition = rows[place], definitions[column]
            found.append(_transition(row, definition, bool(bits[place, column])))
        return found

    def _previous(self, bits: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """For each row the membership before it; corrects `bits` where a row leaves a definition alone."""
        before = np.empty_like(bits)
        before[1:] = bits[:-1]
        slots = self._plan.slots
        current: Profile | None = None
        for place, row in enumerate(self._rows):
            if row.profile is not current:
                current = row.profile
                before[place] = members_of(current.ordinals, slots)
            if row.event is not None and isinstance(row.event.data, Deleted):
                bits[place] = False
            if row.frozen or row.only is not None:
                keep = np.zeros(len(slots), dtype=np.bool_)
                keep[list(row.frozen)] = True
                if row.only is not None:
                    keep[:] = True
                    keep[list(row.only)] = False
                bits[place] = np.where(keep, before[place], bits[place])
                if place + 1 < len(self._rows):
                    before[place + 1] = bits[place]
        return before


class _Customer:
    """The walk of one customer."""

    def __init__(self, walk: Walk, profile: Profile, ledger: Ledger) -> None:
        self.walk, self.profile, self.ledger = walk, profile, ledger
        catalogue = walk.catalogue
        self.shape, self.plan, self.needs = catalogue.shape, catalogue.plan, catalogue.plan.needs
        self._fixed: tuple[list[int], list[int]] | None = None
        #: Definitions that came when the customer was there already hold from their own instant on.
        self.floors: list[tuple[int, int]] = []
        self.switches: list[int] = []
        if profile.born < catalogue.newest:
            for place, definition in enumerate(catalogue.definitions):
                if definition.introduced > profile.born:
                    self.floors.append((definition.since, place))
                if definition.introduced > profile.mark:
                    self.switches.append(place)
        self._switch_at = {definition: catalogue.definitions[definition].since for definition in self.switches}
        self.last_event: Event | None = None

    def event(self, event: Event) -> None:
        at = max(event.at, self.profile.evaluated_to)
        self.edges(at)
        if isinstance(event.data, Deleted):
            self._erase(max([at, *(since for since, _ in self.floors)]), event)
            return
        self._switch(at)
        self.profile.apply(event, self.ledger, self.shape)
        self._fixed = None
        self.last_event = event
        self._step(at, event)

    def _erase(self, at: int, event: Event) -> None:
        """Leaves everything, at an instant from which on every definition holds."""
        self.profile.apply(event, self.ledger, self.shape)
        self.profile.is_erased = True
        self._step(at, event)

    def edges(self, before: int) -> None:
        """Steps through the instants earlier than `before` at which time alone may change membership."""
        if self.profile.evaluated_to == MISSING:
            return
        for _ in range(EDGES_MAX):
            edge = next_edge(self.profile, self.needs, self.shape)
            if edge >= before or edge == NO_EDGE:
                return
            self._switch(edge)
            self._step(edge, None)
        msg = f"more than {EDGES_MAX} edges in one walk"
        raise OverflowError(msg)

    def end(self) -> None:
        """Definitions whose instant lies after the customer's last one are evaluated at their own."""
        if self.profile.is_erased:
            return
        self._switch(NO_EDGE)
        late: dict[int, list[int]] = {}
        for since, place in self.floors:
            if since > self.profile.evaluated_to and self.last_event is not None:
                late.setdefault(since, []).append(place)
        for since in sorted(late):
            self._append(since, self.last_event, only=tuple(late[since]), is_definition=False)

    def _step(self, at: int, event: Event | None) -> None:
        self.profile.evaluated_to = at
        self._append(at, event)

    def _switch(self, before: int) -> None:
        """Brings definitions that are new to this customer in, at their own instant."""
        if not self._switch_at:
            return
        for since in sorted({since for since in self._switch_at.values() if since < before}):
            places = tuple(place for place, at in self._switch_at.items() if at == since)
            for place in places:
                del self._switch_at[place]
            if self.profile.first_seen_at != MISSING:  # else there is no customer yet
                self._append(max(since, self.profile.evaluated_to), None, only=places, is_definition=True)

    def _append(
        self, at: int, event: Event | None, only: tuple[int, ...] | None = None, is_definition: bool = False
    ) -> None:
        frozen = () if only or not self.floors else tuple(place for since, place in self.floors if since > at)
        if self._fixed is None:
            values = tuple(map(self.profile.attribute, self.needs.attributes))
            key = self.plan.attribute_key(values) if values else 0
            self._fixed = fixed_columns(self.profile, self.needs, self.shape, key)
        head, purchases = self._fixed
        windows = window_figures(self.profile.entries, self.needs.windows, at)
        self.walk.append(_Row(self.profile, at, event, frozen, only, is_definition), [at, *head, *windows, *purchases])


def _transition(row: _Row, definition: Definition, has_joined: bool) -> Transition:
    profile = row.profile
    ordinal = int(ordinals_of(profile.ordinals, definition.slot)) + 1
    profile.ordinals = with_ordinal(profile.ordinals, definition.slot, ordinal)
    if row.is_definition:
        reason = "definition"
    elif row.event is None:
        reason = "time"
    else:
        reason = "erasure" if isinstance(row.event.data, Deleted) else "event"
    return Transition(profile, definition, ordinal, has_joined, row.as_of, reason, row.event)


ORDINAL_BYTES: Final = 4


def ordinals_of(ordinals: bytes, slot: int) -> int:
    """How many transitions there were in this slot."""
    return int.from_bytes(ordinals[slot * ORDINAL_BYTES : (slot + 1) * ORDINAL_BYTES], "little")


def with_ordinal(ordinals: bytes, slot: int, ordinal: int) -> bytes:
    """The ordinals with one replaced."""
    start = slot * ORDINAL_BYTES
    padded = ordinals.ljust(start + ORDINAL_BYTES, b"\0")
    return padded[:start] + ordinal.to_bytes(ORDINAL_BYTES, "little") + padded[start + ORDINAL_BYTES :]


def members_of(ordinals: bytes, slots: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Membership by slot: an odd number of transitions means member."""
    if not len(slots):
        return np.zeros(0, dtype=np.bool_)
    counts = np.frombuffer(ordinals.ljust((int(slots[-1]) + 1) * ORDINAL_BYTES, b"\0"), dtype="<u4")
    return (counts[slots] & 1).astype(np.bool_)


def _stamp(event: Event) -> Stamp:
    return event.stamp


def by_stamp(events: Iterable[Event]) -> list[Event]:
    """Events in the order of their timeline."""
    return sorted(events, key=_stamp)
