"""The core without servers: facts in dictionaries, profiles as stored bytes. For exactness tests and properties."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from uuid import UUID, uuid5

from service.app.batch import next_due
from service.core import identity
from service.core.criteria.needs import needs_of
from service.core.criteria.parse import parse_criteria
from service.core.events.decode import Rejected, Rules, decode
from service.core.events.model import Event
from service.core.instants import MISSING
from service.core.profiles.codec import decode_state, encode_state
from service.core.profiles.ledger import ActivityFact, Fact, Ledger, LedgerIncomplete, OrderFact, RefundFact, fact_of
from service.core.profiles.profile import Profile
from service.core.profiles.shape import Shape
from service.core.profiles.timeline import NO_EDGE
from service.core.segments.catalogue import Catalogue, Definition, compile_catalogue
from service.core.segments.ordinals import members_of
from service.core.segments.walk import ENTRIES_MAX, Manual, Transition, Walk, by_stamp

SPACE = UUID("00000000-0000-0000-0000-0000000000aa")


def catalogue_of(segments: Sequence[dict], version: int = 1, since: int = 0) -> Catalogue:
    """A catalogue of definitions in the form of segments.json, introduced at this version."""
    definitions = [
        Definition(uuid5(SPACE, one["key"]), slot, one["key"], 1, parse_criteria(one["criteria"]), version, since)
        for slot, one in enumerate(segments)
    ]
    shape = Shape().grown_for(needs_of(definition.criteria for definition in definitions))
    return compile_catalogue(version, definitions, shape)


@dataclass
class Engine:
    """One customer base in memory, driven like the consumer and the timers drive the database."""

    catalogue: Catalogue
    now: int
    currency: str = "USD"
    entries_max: int = ENTRIES_MAX
    profiles: dict[UUID, Profile] = field(default_factory=dict)
    states: dict[UUID, bytes] = field(default_factory=dict)
    due: dict[UUID, int | None] = field(default_factory=dict)
    facts: dict[UUID, dict[str, Fact]] = field(default_factory=lambda: defaultdict(dict))
    known: set[tuple[UUID, str]] = field(default_factory=set)
    published: list[tuple[str, str, int, str, str, int]] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)

    def read(self, lines: Iterable[bytes]) -> list[Event]:
        """Decodes; rejected records are remembered."""
        rules = Rules(self.currency, 1_048_576, True)
        events = []
        for line in lines:
            found = decode(line, (), rules, self.now)
            if isinstance(found, Rejected):
                self.rejected.append(found)
            else:
                events.append(found)
        return events

    def batch(self, events: Iterable[Event]) -> None:
        """One batch, as the consumer would take it."""
        by_customer: dict[UUID, list[Event]] = defaultdict(list)
        for event in events:
            if (event.customer_id, event.id) not in self.known:
                self.known.add((event.customer_id, event.id))
                if event.customer_id != identity.GUEST:
                    by_customer[event.customer_id].append(event)
        walk = Walk(self.catalogue, self.entries_max)
        for customer_id, some in by_customer.items():
            self._walk(walk, customer_id, by_stamp(some), MISSING)
        self._commit(walk)
        for some in by_customer.values():
            for event in some:
                if event.type.startswith("order.") or event.type == "customer.activity":
                    self.facts[event.customer_id][event.id] = fact_of(event)

    def expire(self, until: int) -> None:
        """Backfills, then fires what is due up to an instant by what is stored of it, as the timers role does."""
        behind = [one for one, profile in self.profiles.items() if profile.mark < self.catalogue.version]
        self._visit(behind, MISSING)
        self._visit([one for one, due in self.due.items() if due is not None and due <= until], until)

    def _visit(self, customer_ids: Iterable[UUID], until: int) -> None:
        walk = Walk(self.catalogue, self.entries_max)
        for customer_id in customer_ids:
            self._walk(walk, customer_id, [], until)
        self._commit(walk)

    def pin(self, external_id: str, segment: str, pin: bool | None) -> None:
        """A change by hand at `now`; the customer may be unknown."""
        slot = next(one.slot for one in self.catalogue.definitions if one.name == segment)
        customer_id = identity.customer_uuid(external_id)
        walk = Walk(self.catalogue, self.entries_max)
        profile = self._load(customer_id, external_id)
        walk.add(profile, [], self._ledger(customer_id, []), now=self.now, manual=Manual(slot, pin, "manual"))
        self._commit(walk)

    def _walk(self, walk: Walk, customer_id: UUID, events: list[Event], until: int) -> None:
        mark = walk.mark()
        try:
            walk.add(
                self._load(customer_id, events[0].external_id if events else ""),
                events,
                self._ledger(customer_id, events),
                now=self.now,
                until=until,
            )
        except LedgerIncomplete:
            walk.rewind(mark)
            ledger = self._ledger(customer_id, None)
            walk.add(
                self._load(customer_id, events[0].external_id if events else ""),
                events,
                ledger,
                now=self.now,
                until=until,
            )

    def _load(self, customer_id: UUID, external_id: str) -> Profile:
        stored = self.profiles.get(customer_id)
        if stored is None:
            profile = Profile(customer_id, external_id)
            profile.is_new = True
            return profile
        profile = copy.copy(stored)
        profile.is_new = False
        decode_state(self.states[customer_id], profile)
        return profile

    def _ledger(self, customer_id: UUID, events: list[Event] | None) -> Ledger:
        """All facts (None), or those of the orders and refunds that the events touch."""
        known = self.facts[customer_id]
        pending = self.profiles[customer_id].pending if customer_id in self.profiles else []
        waiting = {event.id for event in pending}
        touched = [fact_of(event) for event in (*(events or ()), *pending) if event.type.startswith("order.")]
        orders = {fact.order_id for fact in touched if fact.order_id is not None}
        refunds = {fact.refund_id for fact in touched if isinstance(fact, RefundFact)}
        refunds |= {one.refund_id for one in known.values() if isinstance(one, RefundFact) and one.order_id in orders}
        stored: list[Fact] = []
        for event_id, fact in known.items():
            if isinstance(fact, ActivityFact):
                if event_id not in waiting and events is None:
                    stored.append(fact)
                continue
            is_touched = fact.refund_id in refunds if isinstance(fact, RefundFact) else fact.order_id in orders
            if event_id not in waiting and (events is None or is_touched):
                stored.append(fact)
        return Ledger(events is None, stored)

    def _commit(self, walk: Walk) -> None:
        for transition in walk.transitions():
            self._publish(transition)
        for profile in walk.profiles:
            self.profiles[profile.customer_id] = profile
            self.states[profile.customer_id] = encode_state(profile)
            self.due[profile.customer_id] = next_due(profile, self.catalogue)

    def _publish(self, one: Transition) -> None:
        change = "joined" if one.has_joined else "left"
        self.published.append(
            (one.profile.external_id, one.definition.name, one.effective_at, change, one.reason, one.ordinal)
        )

    def members(self) -> dict[str, set[str]]:
        """Members by segment, from the ordinals."""
        found: dict[str, set[str]] = {definition.name: set() for definition in self.catalogue.definitions}
        for profile in self.profiles.values():
            is_member = members_of(profile.ordinals, self.catalogue.plan.slots)
            for definition, member in zip(self.catalogue.definitions, is_member, strict=True):
                if member:
                    found[definition.name].add(profile.external_id)
        return found

    def next_due(self) -> int:
        """The earliest instant at which anybody may change by time alone."""
        return min(NO_EDGE if due is None else due for due in self.due.values())


def collapsed(transitions: Iterable[tuple[str, str, int, str]]) -> list[tuple[str, str, int, str]]:
    """Sorted; changes of one customer in one segment that cancel within one instant are left out."""
    net: dict[tuple[str, str, int], int] = defaultdict(int)
    for customer, segment, at, change in transitions:
        net[customer, segment, at] += 1 if change == "joined" else -1
    assert set(net.values()) <= {-1, 0, 1}
    return sorted((c, s, at, "joined" if sign > 0 else "left") for (c, s, at), sign in net.items() if sign)


__all__ = ["Engine", "OrderFact", "catalogue_of", "collapsed"]
