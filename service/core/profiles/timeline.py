"""A customer's timeline: every instant at which membership may change, in order (DESIGN, life of an event, step 5)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

from service.core.criteria.fields import Needs
from service.core.instants import MISSING
from service.core.profiles.profile import Profile
from service.core.profiles.shape import Shape

#: Later than every instant.
NO_EDGE = 2**63 - 1


def next_edge(profile: Profile, needs: Needs, shape: Shape) -> int:
    """The first instant after `evaluated_to` at which time alone may make a predicate flip; NO_EDGE if none.

    An instant t flips a predicate of span W at t + W: it ages out of `within_last` and windows, and into
    `more_than_ago`.
    """
    after = profile.evaluated_to
    edge = NO_EDGE
    for at, offsets in (
        (profile.registered_at, needs.registration_offsets),
        (profile.last_order_at, needs.order_offsets),
        (profile.last_login_at, needs.login_offsets),
    ):
        if offsets and at != MISSING:
            edge = min(edge, _edge_of(at, offsets, after))
    entries = profile.entries
    if entries:
        for window in needs.windows:
            place = bisect_right(entries, after - window, key=_at)
            if place < len(entries):
                edge = min(edge, entries[place][0] + window)
    for key, offsets in needs.purchase_offsets:
        at = profile.bought.get(shape.places[key], MISSING)
        if at != MISSING:
            edge = min(edge, _edge_of(at, offsets, after))
    return edge


def _edge_of(at: int, offsets: tuple[int, ...], after: int) -> int:
    place = bisect_right(offsets, after - at)
    return at + offsets[place] if place < len(offsets) else NO_EDGE


def _at(entry: tuple[int, int, int]) -> int:
    return entry[0]


def row_of(profile: Profile, needs: Needs, shape: Shape, as_of: int, attribute_key: int) -> list[int]:
    """The columns of criteria.plan at an instant."""
    row = [
        as_of,
        profile.total_orders,
        profile.total_spent,
        profile.registered_at,
        profile.last_order_at,
        profile.last_login_at,
        attribute_key,
    ]
    if needs.windows:
        row.extend(_window_figures(profile, needs, as_of))
    if needs.purchases:
        bought = profile.bought
        if bought:
            row.extend([bought.get(shape.places[key], MISSING) for key in needs.purchases])
        else:
            row.extend([MISSING] * len(needs.purchases))
    return row


def _window_figures(profile: Profile, needs: Needs, as_of: int) -> Iterator[int]:
    """Orders and their net amount within each window that ends at `as_of`; windows ascend."""
    entries = profile.entries
    if not entries:
        return iter([0] * (2 * len(needs.windows)))
    figures: list[int] = []
    end = len(entries)
    orders = amount = 0
    for window in needs.windows:
        start = bisect_right(entries, as_of - window, 0, end, key=_at)
        for entry in entries[start:end]:
            amount += entry[1]
            orders += entry[2]
        end = start
        figures += (orders, amount)
    return iter(figures)
