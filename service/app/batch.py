"""One batch: customers walked through new events, edges and definitions, and all that follows, in one transaction.

The steps are numbered as in ARCHITECTURE.md, "The life of an event".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from service.app.ports import DeadLetter, Store, StoredFact, StoredProfile
from service.core import identity
from service.core.events.model import Deleted, Event
from service.core.instants import MISSING
from service.core.profiles.codec import decode_state
from service.core.profiles.ledger import Ledger, LedgerIncomplete
from service.core.profiles.profile import Profile
from service.core.profiles.timeline import NO_EDGE, next_edge
from service.core.segments.catalogue import Catalogue
from service.core.segments.walk import Manual, Transition, Walk, by_stamp
from service.crash import crash_point


@dataclass
class Work:
    """What a batch has to do.

    Attributes:
        now: the clock, microseconds.
        recorded_at: real time, microseconds.
        events: new events by customer; guests under identity.GUEST.
        stored: profiles already locked, for timers, backfills and changes by hand.
        until: timers go on to this instant; MISSING for batches of events.
        manual: a change by hand for each of `stored` and `unknown`.
        unknown: (customer id, external id) of customers without a profile that a change by hand names.
    """

    now: int
    recorded_at: int
    events: Mapping[UUID, Sequence[Event]] = field(default_factory=dict)
    stored: Sequence[StoredProfile] = ()
    until: int = MISSING
    manual: Manual | None = None
    unknown: Sequence[tuple[UUID, str]] = ()


@dataclass
class Outcome:
    """What a batch did.

    Attributes:
        transitions: who joined and left.
        duplicates: how many events were known.
        fresh: the others, by customer, but for those of customers who were erased before.
        erased: events of customers who were erased before, or are by an earlier event of this batch.
        letters: dead letters that were not stored before.
        customers: how many were walked.
    """

    transitions: list[Transition] = field(default_factory=list)
    duplicates: int = 0
    fresh: Mapping[UUID, Sequence[Event]] = field(default_factory=dict)
    erased: list[Event] = field(default_factory=list)
    letters: Sequence[DeadLetter] = ()
    customers: int = 0


async def run_batch(store: Store, catalogue: Catalogue, work: Work) -> Outcome:
    """Locks, walks and writes; everything but dead letters, the outbox row and offsets."""
    outcome = Outcome()
    locked = await _lock(store, work)  # 3
    crash_point("customers-locked")
    events = {}
    for customer_id, some in work.events.items():
        if customer_id in locked.tombstones:
            outcome.erased.extend(some)
        else:
            events[customer_id] = some
    fresh, touched = await _new_events(store, events, locked.waiting, outcome)  # 4
    outcome.fresh = fresh
    crash_point("known-dropped")
    walked = _Walker(Walk(catalogue, store.entries_max), work, locked.profiles, fresh, touched)
    behind = walked.walk_all()  # 5
    if behind:
        names = catalogue.shape.activity_names
        walked.walk_again(behind, locked.stored, await store.all_facts(sorted(behind), names))
    outcome.transitions = walked.walk.transitions()  # 6
    crash_point("walked")
    outcome.customers = len(walked.walk.profiles)
    await _write(store, catalogue, walked, fresh, outcome, work)  # 7
    return outcome


class _Locked(NamedTuple):
    """Whom a batch is about, by id; `waiting` are events whose time had not come."""

    stored: dict[UUID, StoredProfile]
    profiles: dict[UUID, Profile]
    waiting: list[Event]
    tombstones: set[UUID]


async def _lock(store: Store, work: Work) -> _Locked:
    # By bytes, as PostgreSQL orders them; comparing UUID objects costs ten times as much.
    named = sorted((one for one in work.events if one != identity.GUEST), key=lambda one: one.int)
    stored = {one.customer_id: one for one in (await store.lock_profiles(named) if named else work.stored)}
    profiles = {customer_id: _profile(one) for customer_id, one in stored.items()}
    waiting = [event for profile in profiles.values() for event in profile.pending]
    missing = [customer_id for customer_id in named if customer_id not in stored]
    # Changes by hand and backfills take nobody further in time, so that no event of theirs ripens.
    ripe = waiting if work.events or work.until != MISSING else []
    is_erasing = any(isinstance(event.data, Deleted) for some in (ripe, *work.events.values()) for event in some)
    if missing or work.unknown or is_erasing:
        await store.hold_erasures(is_erasing=is_erasing)
    if is_erasing and missing:  # somebody may have stored one of them while this waited
        came = {one.customer_id: one for one in await store.lock_profiles(missing)}
        stored |= came
        profiles |= {customer_id: _profile(one) for customer_id, one in came.items()}
        missing = [customer_id for customer_id in missing if customer_id not in came]
    return _Locked(stored, profiles, waiting, await store.erased(missing) if missing else set())


async def _new_events(
    store: Store, events: Mapping[UUID, Sequence[Event]], waiting: Sequence[Event], outcome: Outcome
) -> tuple[dict[UUID, list[Event]], dict[UUID, list[StoredFact]]]:
    """Drops what is already known, by natural key; gives the rest by customer.

    And the facts that they touch, and those that wait in their profiles for their time.
    """
    with_orders: list[Event] = [event for event in waiting if event.type.startswith("order.")]
    others: list[Event] = []
    for some in events.values():
        for event in some:
            (with_orders if event.type.startswith("order.") else others).append(event)
    touched: dict[UUID, list[StoredFact]] = {}
    known = set()
    for stored in await store.touched_facts(with_orders) if with_orders else ():
        touched.setdefault(stored.customer_id, []).append(stored)
        known.add((stored.customer_id, stored.event_id))
    if others:
        known |= await store.known_ids(others)
    fresh: dict[UUID, list[Event]] = {}
    for customer_id, some in events.items():
        kept = []
        for event in some if len(some) == 1 else by_stamp(some):
            key = (customer_id, event.id)
            if key in known:
                outcome.duplicates += 1
            else:
                known.add(key)
                kept.append(event)
        if kept:
            fresh[customer_id] = kept
    return fresh, touched


class _Walker:
    """Walks every customer of a batch; those whose whole ledger is needed come again."""

    def __init__(
        self,
        walk: Walk,
        work: Work,
        stored: Mapping[UUID, Profile],
        events: Mapping[UUID, list[Event]],
        touched: Mapping[UUID, list[StoredFact]],
    ) -> None:
        self.walk = walk
        self.work = work
        self.unknown = dict(work.unknown)
        self.stored = stored
        self.events = events
        self.touched = touched

    def walk_all(self) -> list[UUID]:
        """Gives the customers that need their whole ledger."""
        behind = []
        named = self.events if self.work.events else [*self.stored, *self.unknown]
        for customer_id in (one for one in named if one != identity.GUEST):
            mark = self.walk.mark()
            try:
                profile = self.stored.get(customer_id)
                self._walk(customer_id, profile, self.touched.get(customer_id, ()), is_complete=False)
            except LedgerIncomplete:
                self.walk.rewind(mark)
                behind.append(customer_id)
        return behind

    def walk_again(
        self, customer_ids: Sequence[UUID], stored: Mapping[UUID, StoredProfile], facts: Sequence[StoredFact]
    ) -> None:
        """Walks customers with all their facts at hand, from their profiles as they are stored."""
        by_customer: dict[UUID, list[StoredFact]] = {customer_id: [] for customer_id in customer_ids}
        for fact in facts:
            by_customer[fact.customer_id].append(fact)
        for customer_id, some in by_customer.items():
            profile = _profile(stored[customer_id]) if customer_id in stored else None
            self._walk(customer_id, profile, some, is_complete=True)

    def _walk(
        self, customer_id: UUID, profile: Profile | None, facts: Sequence[StoredFact], *, is_complete: bool
    ) -> None:
        events = self.events.get(customer_id, [])
        if profile is None:
            external_id = events[0].external_id if events else self.unknown.get(customer_id, "")
            profile = _new_profile(customer_id, external_id)
        waiting = {event.id for event in profile.pending}
        ledger = Ledger(is_complete, [one.fact for one in facts if one.event_id not in waiting])
        work = self.work
        self.walk.add(profile, events, ledger, now=work.now, until=work.until, manual=work.manual)


def _new_profile(customer_id: UUID, external_id: str) -> Profile:
    profile = Profile(customer_id, external_id)
    profile.is_new = profile.has_new_attributes = True
    return profile


def _profile(stored: StoredProfile) -> Profile:
    profile = Profile(stored.customer_id, "")
    profile.total_orders, profile.total_spent = stored.total_orders, stored.total_spent
    profile.last_order_at = MISSING if stored.last_order_at is None else stored.last_order_at
    profile.evaluated_to = stored.evaluated_to
    profile.born, profile.mark, profile.shape_version = stored.born, stored.mark, stored.shape_version
    profile.ordinals = stored.ordinals
    decode_state(stored.state, profile)
    return profile


async def _write(
    store: Store,
    catalogue: Catalogue,
    walked: _Walker,
    fresh: Mapping[UUID, Sequence[Event]],
    outcome: Outcome,
    work: Work,
) -> None:
    profiles = walked.walk.profiles
    erased = {profile.customer_id for profile in profiles if profile.is_erased}
    facts = [event for customer_id, some in fresh.items() if customer_id not in erased for event in some]
    if facts:
        await store.write_facts(facts)
    kept = [profile for profile in profiles if not profile.is_erased]
    if kept:
        await store.write_profiles(kept, {one.customer_id: _due(walked.walk, one, catalogue) for one in kept})
    orders = [one for one in walked.walk.order_changes if not one[0].is_erased]
    if orders:
        await store.write_orders(orders)
    if outcome.transitions:
        await store.write_memberships(outcome.transitions, work.recorded_at)
    if erased:
        outcome.erased.extend(walked.walk.dropped)
        await store.erase(sorted(erased))


def _due(walk: Walk, profile: Profile, catalogue: Catalogue) -> int | None:
    """As next_due, which the walk may have found out already."""
    due = walk.due.get(profile.customer_id)
    if due is None:
        return next_due(profile, catalogue)
    return None if due == NO_EDGE else due


def next_due(profile: Profile, catalogue: Catalogue) -> int | None:
    """The next instant at which time alone may change this customer's membership; None where there is none."""
    due = next_edge(profile, catalogue.plan.needs, catalogue.shape)
    if profile.pending:
        due = min(due, profile.pending[0].at)
    return None if due == NO_EDGE else due


__all__ = ["DeadLetter", "Manual", "Outcome", "Work", "next_due", "run_batch"]
