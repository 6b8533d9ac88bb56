"""A customer's timeline: every instant at which membership may change, in order (DESIGN, life of an event, step 5)."""

from __future__ import annotations

from bisect import bisect_right

from service.core.criteria.needs import Needs
from service.core.instants import MISSING
from service.core.profiles.profile import Entries, Profile
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
    instants = profile.entries.instants
    if instants:
        for window in needs.windows:
            place = bisect_right(instants, after - window)
            if place < len(instants):
                edge = min(edge, instants[place] + window)
    for key, offsets in needs.purchase_offsets:
        at = profile.bought.get(shape.places[key], MISSING)
        if at != MISSING:
            edge = min(edge, _edge_of(at, offsets, after))
    return edge


def _edge_of(at: int, offsets: tuple[int, ...], after: int) -> int:
    place = bisect_right(offsets, after - at)
    return at + offsets[place] if place < len(offsets) else NO_EDGE


def fixed_columns(profile: Profile, needs: Needs, shape: Shape, attribute_key: int) -> tuple[list[int], list[int]]:
    """The columns that time alone does not change: those before the windows (without `as_of`) and those after."""
    head = [
        profile.total_orders,
        profile.total_spent,
        profile.registered_at,
        profile.last_order_at,
        profile.last_login_at,
        attribute_key,
    ]
    bought = profile.bought
    if not bought:
        return head, [MISSING] * len(needs.purchases)
    return head, [bought.get(shape.places[key], MISSING) for key in needs.purchases]


def window_figures(entries: Entries, windows: tuple[int, ...], as_of: int) -> list[int]:
    """Orders and their net amount within each window that ends at `as_of`; windows ascend."""
    instants = entries.instants
    if not instants:
        return [0] * (2 * len(windows))
    figures: list[int] = []
    end = len(instants)
    orders = amount = 0
    for window in windows:
        start = bisect_right(instants, as_of - window, 0, end)
        if start < end:
            amount += sum(entries.amounts[start:end])
            orders += sum(entries.orders[start:end])
            end = start
        figures += (orders, amount)
    return figures
