"""One customer recounted: a profile made of what is stored about the customer, whatever became of the profile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from msgspec import MsgspecError

from service.app.batch import next_due
from service.app.ports import StoredFact, StoredProfile
from service.core import identity
from service.core.events.model import Deleted, Event, Stamp
from service.core.instants import MISSING
from service.core.profiles.codec import StateCorrupt, decode_state
from service.core.profiles.ledger import ActivityFact, Contribution, Fact, Ledger
from service.core.profiles.profile import Profile
from service.core.segments.catalogue import Catalogue
from service.core.segments.ordinals import ordinal_of, with_ordinal


class Stays(NamedTuple):
    """The stored memberships of a customer in one segment, all of them together.

    Attributes:
        counted: how many transitions they tell of.
        changed_at: the latest instant at which one began or ended, microseconds.
        ordinal: of the one that is open; None where none is.
    """

    customer_id: UUID
    segment_id: UUID
    slot: int
    counted: int
    changed_at: int
    ordinal: int | None


class Span(NamedTuple):
    """The instants of a customer's first fact and of the last one whose time has come, microseconds; None if none."""

    first_at: int
    last_at: int | None


@dataclass
class Kept:
    """All that is stored of one customer.

    Attributes:
        profile: the row as it is; None where it is lost.
        names: what the customer may be called beside what profile and events say.
        span: None without any fact.
        told: registrations, attributes, logins, deletions.
        facts: orders, refunds, and the activities that profiles keep something of.
        later: what is known of after the instant that the profile has been evaluated to.
        memberships: by segment.
        pins: slot -> included or excluded.
        is_erased: whether the id is a tombstone.
    """

    customer_id: UUID
    profile: StoredProfile | None = None
    names: list[str] = field(default_factory=list)
    span: Span | None = None
    told: list[Event] = field(default_factory=list)
    facts: list[StoredFact] = field(default_factory=list)
    later: list[Event] = field(default_factory=list)
    memberships: list[Stays] = field(default_factory=list)
    pins: Mapping[int, bool] = field(default_factory=dict)
    is_erased: bool = False

    @property
    def evaluated_to(self) -> int:
        """The instant up to which facts count: the profile's own, else that of the last fact."""
        if self.profile is not None:
            return self.profile.evaluated_to
        return MISSING if self.span is None or self.span.last_at is None else self.span.last_at

    @property
    def must_go(self) -> bool:
        """Whether the customer was erased, or should have been."""
        to = self.evaluated_to
        return self.is_erased or any(isinstance(one.data, Deleted) and one.at <= to for one in self.told)

    @property
    def is_nobody(self) -> bool:
        """Whether there is nothing a profile could be made of."""
        return self.profile is None and self.span is None and not self.pins and not self.memberships


def external_id_of(kept: Kept, before: Profile | None) -> str:
    """What the customer goes by: the first name that means this customer, else the UUID."""
    known = [] if before is None else [before.external_id]
    for name in (*known, *kept.names, *(event.external_id for event in kept.told)):
        try:
            if identity.customer_uuid(name) == kept.customer_id:
                return name
        except ValueError:
            continue
    return str(kept.customer_id)


def counted(kept: Kept) -> tuple[bytes, dict[UUID, int]]:
    """How many transitions there were, by what is stored of memberships; and open ones that need another ordinal.

    The numbers go on after the greatest that is stored anywhere, so that none is given away twice. Who is a member is
    the table's to say: it is what everybody reads.
    """
    ordinals = kept.profile.ordinals if kept.profile is not None else b""
    moved: dict[UUID, int] = {}
    known = {one.slot: one for one in kept.memberships}
    for slot in {*known, *range(len(ordinals) // 4)}:
        stays = known.get(slot)
        is_open = stays is not None and stays.ordinal is not None
        count = ordinal_of(ordinals, slot)
        if stays is not None:
            count = max(count, stays.counted)
        count += count % 2 != is_open
        ordinals = with_ordinal(ordinals, slot, count)
        if stays is not None and is_open and stays.ordinal != count:
            moved[stays.segment_id] = count
    return ordinals, moved


def recounted(kept: Kept, catalogue: Catalogue, now: int) -> tuple[Profile, Ledger]:
    """The profile by facts and pins, and the ledger that has its orders and activities; neither is folded yet.

    Of the profile that is stored it keeps how far the customer has been taken; of memberships that somebody changed by
    hand, since when they hold. A lost one begins at the last fact, older than every definition: these hold from their
    own instants on, and each membership from its last change.
    """
    stored, evaluated_to = kept.profile, kept.evaluated_to
    before = _readable(stored)
    profile = Profile(kept.customer_id, external_id_of(kept, before))
    profile.evaluated_to = evaluated_to
    profile.born, profile.mark = (0, catalogue.version) if stored is None else (stored.born, stored.mark)
    profile.ordinals, _ = counted(kept)
    if before is not None:
        profile.held = before.held
    else:
        profile.held = {one.slot: one.changed_at for one in kept.memberships if evaluated_to < one.changed_at <= now}
    if kept.must_go:
        profile.first_seen_at = MISSING
        return profile, Ledger(is_complete=True)
    profile.pins = dict(kept.pins)
    ledger = Ledger(True, [one.fact for one in kept.facts if _instant(one.fact) <= evaluated_to])
    for event in kept.told:
        if event.at <= evaluated_to:
            profile.apply(event, ledger, catalogue.shape)
    if kept.span is not None and kept.span.first_at <= evaluated_to:
        profile.first_seen_at = kept.span.first_at
    waiting = {} if before is None else {event.id: event for event in before.pending}
    profile.pending = sorted((waiting.get(event.id, event) for event in kept.later), key=_stamp)
    return profile, ledger


def _readable(stored: StoredProfile | None) -> Profile | None:
    """The profile's own state, where it can be read."""
    if stored is None:
        return None
    profile = Profile(stored.customer_id, "")
    profile.evaluated_to = stored.evaluated_to
    profile.last_order_at = MISSING if stored.last_order_at is None else stored.last_order_at
    try:
        decode_state(stored.state, profile)
    except (StateCorrupt, MsgspecError):
        return None
    return profile


def is_stale(stored: StoredProfile, due: int | None, pins: Mapping[int, bool], catalogue: Catalogue) -> bool:
    """Whether a profile that follows from the facts waits for another instant, or knows other pins, than it must.

    Nobody notices until the instant comes, or the criteria say something else than the pin. Only of a profile that has
    been brought up to this catalogue.
    """
    profile = _readable(stored)
    if profile is None or stored.mark != catalogue.version or profile.over:
        return False
    return next_due(profile, catalogue) != due or profile.pins != pins


def orders_told(ledger: Ledger) -> dict[str, Contribution]:
    """The orders that count, by their ids."""
    found = {order_id: order.contribution() for order_id, order in ledger.orders.items()}
    return {order_id: order for order_id, order in found.items() if order is not None}


def _instant(fact: Fact) -> int:
    return fact.at if isinstance(fact, ActivityFact) else fact.stamp[0]


def _stamp(event: Event) -> Stamp:
    return event.stamp
