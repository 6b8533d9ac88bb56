"""Whose walk is plain: new events in the order of time that only add, and nothing else to think of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from service.core.events.model import Event, LoggedIn, OrderPlaced, Registered, Updated
from service.core.instants import MISSING
from service.core.profiles.ledger import Ledger
from service.core.profiles.profile import Profile
from service.core.segments.catalogue import Catalogue

#: Beyond so many entries a customer is walked alone, so that the columns of a sweep stay small.
ENTRIES_MAX: Final = 2_000
_ADDING: Final = frozenset({OrderPlaced, LoggedIn, Registered, Updated})


def may_sweep(catalogue: Catalogue) -> bool:
    """Whether the definitions ask for nothing that only a walk one by one can tell."""
    needs, shape = catalogue.plan.needs, catalogue.shape
    asks_behaviour = needs.measures or needs.sequences or shape.order_steps
    return not (asks_behaviour or catalogue.unreadable)


def is_plain(profile: Profile, events: Sequence[Event], ledger: Ledger, catalogue: Catalogue, now: int) -> bool:
    """Whether a sweep does what the walk would.

    Args:
        profile: as it is stored, or new.
        events: new ones, ascending.
        ledger: with what is stored of the orders that the events name.
        catalogue: may_sweep.
        now: the clock.
    """
    if not events or events[-1].at > now or ledger.is_complete or ledger.orders or ledger.refunds:
        return False
    if profile.pending or profile.over or profile.held or profile.pins:
        return False
    if not profile.is_new and (
        profile.born < catalogue.newest
        or profile.shape_version != catalogue.shape.version
        or profile.first_seen_at == MISSING
    ):
        return False
    return len(profile.entries.instants) + len(events) <= ENTRIES_MAX and _only_adds(events, profile.evaluated_to)


def _only_adds(events: Sequence[Event], after: int) -> bool:
    """Strictly ascending after an instant; orders that were not there, each once."""
    orders = set()
    for event in events:
        data = event.data
        if event.at <= after or type(data) not in _ADDING:
            return False
        after = event.at
        if type(data) is OrderPlaced:
            if data.test is True or data.order_id in orders:
                return False
            orders.add(data.order_id)
    return True
