"""The walk of one customer: every instant at which membership may change, in order, each as one row of columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple, Protocol

from service.core.criteria.attribute_keys import AttributeKeys
from service.core.events.model import Deleted, Event
from service.core.instants import MISSING
from service.core.profiles.ledger import Ledger, LedgerIncomplete
from service.core.profiles.profile import Profile
from service.core.profiles.timeline import NO_EDGE, fixed_columns, next_edge, window_figures
from service.core.segments.catalogue import Catalogue

EDGES_MAX: Final = 1_000_000
DEFINITION: Final = "definition"


class Row(NamedTuple):
    """What a row of columns stands for.

    Attributes:
        event: whose effect the row shows, None for an edge or a change by hand or of a definition.
        frozen: places of definitions that do not change in this row.
        unknown: places of definitions that cannot be evaluated, for there are too many entries or nobody understands
            the criteria; only what stands above the criteria changes them.
        only: places of the definitions that this row is about; None = all.
        pins: slot -> included or excluded by hand, as they are at this row.
        reason: of the transitions, where neither the event nor time is the cause.
        is_nobody: there are no facts of this customer, so that pins alone make a member; such a row has `only`.
    """

    profile: Profile
    as_of: int
    event: Event | None
    frozen: tuple[int, ...]
    unknown: tuple[int, ...]
    only: tuple[int, ...] | None
    pins: Mapping[int, bool]
    reason: str | None
    is_nobody: bool = False

    @property
    def is_deletion(self) -> bool:
        """Whether the customer leaves everything in this row."""
        return self.event is not None and isinstance(self.event.data, Deleted)

    @property
    def is_plain(self) -> bool:
        """Whether the row is just what the criteria say."""
        return not (self.frozen or self.unknown or self.pins or self.only is not None or self.is_deletion)


class Rows(Protocol):
    """Where rows go.

    Attributes:
        keys: gives the numbers of attribute values in their columns.
    """

    keys: AttributeKeys

    def append(self, row: Row, columns: list[int]) -> None:
        """Adds a row with its columns."""
        ...


class CustomerWalk:
    """The walk of one customer; use once."""

    def __init__(
        self, rows: Rows, catalogue: Catalogue, profile: Profile, ledger: Ledger, retry_at: int = NO_EDGE
    ) -> None:
        """Begins where the profile stands.

        Args:
            rows: where rows go.
            catalogue: what is evaluated.
            profile: changed in place.
            ledger: orders and refunds.
            retry_at: an instant at which to look again, of a profile that had too many entries and was folded anew.
        """
        self._retry_at = retry_at
        self.rows, self.catalogue, self.profile, self.ledger = rows, catalogue, profile, ledger
        self.shape, self.needs = catalogue.shape, catalogue.plan.needs
        self._fixed: tuple[list[int], list[int]] | None = None
        self._has_behaviour = bool(self.needs.measures or self.needs.sequences)
        #: (instant, place): memberships that hold from that instant on and do not change at earlier ones, because the
        #: definition came, or somebody changed them by hand, when the customer was there already.
        self.floors: list[tuple[int, int]] = [
            (at, catalogue.places[slot]) for slot, at in profile.held.items() if slot in catalogue.places
        ]
        #: Instant -> rows of definitions that are new to this customer, as they are before the events of this walk.
        self._switches: dict[int, tuple[Row, list[int]]] = {}
        if profile.born < catalogue.newest:
            self._note_definitions()
        self.last_event: Event | None = None
        self._has_moved = False

    def _note_definitions(self) -> None:
        """Evaluates what is new to this customer, each definition at its own instant.

        By what is known before the events of this walk, however late the customer is visited: what the definition does
        and what later input does must not depend on who comes first.
        """
        # A customer who is here by a pin alone begins with the first event, as one who was not here at all.
        is_stub = self.profile.first_seen_at == MISSING
        places: dict[int, list[int]] = {}
        for place, definition in enumerate(self.catalogue.definitions):
            if is_stub and definition.slot not in self.profile.pins:
                continue
            if definition.introduced > self.profile.born:
                self.floors.append((definition.since, place))
            if definition.introduced > self.profile.mark:
                places.setdefault(definition.since, []).append(place)
        for since in sorted(places):
            at = max(since, self.profile.evaluated_to)
            self._switches[since] = self._row(at, None, only=tuple(places[since]), reason=DEFINITION)

    def event(self, event: Event) -> None:
        """Steps through the edges before the event, then the event.

        Raises:
            LedgerIncomplete: walk this customer again with a complete ledger.
        """
        at = max(event.at, self.profile.evaluated_to)
        self.edges(at)
        if isinstance(event.data, Deleted):
            self._erase(max([at, *(since for since, _ in self.floors)]), event)
            return
        self._switch(at)
        self._cross_floors(at)
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
        """Steps through the instants earlier than `before` at which time alone may change membership.

        Raises:
            LedgerIncomplete: a kind of which there were too many entries may have few enough by now.
        """
        profile = self.profile
        if profile.evaluated_to == MISSING or profile.first_seen_at == MISSING:
            return
        for _ in range(EDGES_MAX):
            edge = min(next_edge(profile, self.needs, self.shape), self._retry_at)
            if edge >= before or edge == NO_EDGE:
                return
            if profile.over and edge >= profile.retry_at:
                raise LedgerIncomplete
            if edge == self._retry_at:
                self._retry_at = NO_EDGE
            self._switch(edge)
            self._cross_floors(edge)
            self._step(edge, None)
        msg = f"more than {EDGES_MAX} edges in one walk"
        raise OverflowError(msg)

    def change_pin(self, slot: int, pin: bool | None, reason: str, now: int) -> None:
        """Pins the customer into or out of a segment, or (None) takes the pin away, at an instant not before now.

        Nothing else moves on to that instant: events from before it may still be unread.
        """
        profile = self.profile
        pins = {other: held for other, held in profile.pins.items() if other != slot}
        profile.pins = pins if pin is None else {**pins, slot: pin}
        place = self.catalogue.places.get(slot)
        if place is None:
            return
        # Who is here by a pin alone is in no other segment yet, but will not be in one before this instant.
        places = self.catalogue.with_dependants([place])
        self._change(places, (place,) if profile.first_seen_at == MISSING else places, reason, now)

    def _change(self, places: tuple[int, ...], only: tuple[int, ...], reason: str, now: int) -> None:
        """Shows the memberships `only` at an instant not before now, and holds all of `places` from then on."""
        profile = self.profile
        at = self._instant_of(places, now)
        self._append(at, None, only=only, reason=reason)
        profile.held = {**profile.held, **{self.catalogue.definitions[place].slot: at for place in places}}

    def _instant_of(self, places: tuple[int, ...], now: int) -> int:
        """The instant of a change by hand: not before now, and not before one at which any of these must hold."""
        floors = (since for since, floor in self.floors if floor in places)
        return max(now, self.profile.evaluated_to, *floors, MISSING)

    def end(self) -> None:
        """Definitions whose instant lies after the customer's last one are evaluated at their own."""
        profile = self.profile
        if profile.is_erased:
            return
        self._switch(NO_EDGE)
        self._cross_floors(NO_EDGE)
        if profile.held:
            profile.held = {slot: at for slot, at in profile.held.items() if at > profile.evaluated_to}

    def _cross_floors(self, before: int) -> None:
        """Shows what the past means to memberships that hold from a later instant on, however input is split.

        What came late, or what time did to a segment that they ask for.
        """
        if not self._has_moved:
            return
        late: dict[int, list[int]] = {}
        for since, place in self.floors:
            if self.profile.evaluated_to < since < before:
                late.setdefault(since, []).append(place)
        for since in sorted(late):
            self._append(since, self.last_event, only=tuple(late[since]))

    def _step(self, at: int, event: Event | None) -> None:
        self._has_moved = True
        self.profile.evaluated_to = at
        self._append(at, event)

    def _switch(self, until: int) -> None:
        """Brings definitions that are new to this customer in, at their own instant, before what happens at it."""
        while self._switches and (since := next(iter(self._switches))) <= until:
            self.rows.append(*self._switches.pop(since))

    def _append(
        self, at: int, event: Event | None, only: tuple[int, ...] | None = None, reason: str | None = None
    ) -> None:
        self.rows.append(*self._row(at, event, only, reason))

    def _row(
        self, at: int, event: Event | None, only: tuple[int, ...] | None = None, reason: str | None = None
    ) -> tuple[Row, list[int]]:
        profile = self.profile
        frozen: tuple[int, ...] = ()
        if self.floors and only is None:
            frozen = tuple(place for since, place in self.floors if since > at)
        unknown = self.catalogue.unreadable
        if profile.over:
            unknown += tuple(place for kind in profile.over for place in self.catalogue.users.get(kind, ()))
        if self._fixed is None:
            values = tuple(map(profile.attribute, self.needs.attributes))
            key = self.rows.keys.number(values) if values else 0
            self._fixed = fixed_columns(profile, self.needs, self.shape, key)
        head, purchases = self._fixed
        columns = [at, *head, *window_figures(profile.entries, self.needs.windows, at), *purchases]
        if self._has_behaviour:
            columns += profile.behaviour.columns(self.needs, self.shape, at)
        return Row(profile, at, event, frozen, unknown, only, profile.pins, reason), columns
