"""A customer's timeline: every instant at which membership may change, in order (DESIGN, life of an event, step 5)."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from service.core.criteria.needs import Needs, WindowBounds
from service.core.instants import MISSING
from service.core.profiles.entries import Entries
from service.core.profiles.profile import Profile
from service.core.profiles.shape import Shape

#: Later than every instant.
NO_EDGE = 2**63 - 1
#: How many leaving entries one look follows until a sum passes a bound; beyond them it is looked at again.
LEAVING_MAX = 64


def next_edge(profile: Profile, needs: Needs, shape: Shape) -> int:
    """The first instant after `evaluated_to` at which time alone may make a predicate flip; NO_EDGE if none.

    An instant t flips a predicate of span W at t + W: it ages out of `within_last` and into `more_than_ago`. A window's
    figures flip a predicate only where one passes a bound, by the entry whose leaving does it.
    """
    after = profile.evaluated_to
    edge = profile.retry_at if profile.over else NO_EDGE
    for at, offsets in (
        (profile.registered_at, needs.registration_offsets),
        (profile.last_order_at, needs.order_offsets),
        (profile.last_login_at, needs.login_offsets),
    ):
        if offsets and at != MISSING:
            edge = min(edge, _edge_of(at, offsets, after))
    if profile.entries.instants:
        for window in needs.windows:
            edge = min(edge, _window_edge(profile.entries, window, after))
    for key, offsets in needs.purchase_offsets:
        at = profile.bought.get(shape.places[key], MISSING)
        if at != MISSING:
            edge = min(edge, _edge_of(at, offsets, after))
    behaviour = profile.behaviour
    return behaviour.edge(needs, shape, after, edge) if behaviour.series or behaviour.occurrences else edge


def _window_edge(entries: Entries, window: WindowBounds, after: int) -> int:
    """The first instant at which an entry that leaves the window takes a figure past a bound."""
    instants = entries.instants
    start = bisect_right(instants, after - window.span)
    end = len(instants)
    if start == end:
        return NO_EDGE
    if window.has_average:
        return instants[start] + window.span
    leaves = end
    orders, amounts = entries.sums()
    if window.orders:
        bounds_met = bisect_right(window.orders, orders[end] - orders[start])
        if bounds_met:
            # So many orders must leave until there are fewer than the highest bound that is met.
            gone = orders[end] - window.orders[bounds_met - 1] + 1
            leaves = min(leaves, bisect_left(orders, gone, start + 1) - 1)
    if window.amounts:
        total = amounts[end]
        bounds_met = bisect_right(window.amounts, total - amounts[start])
        low = window.amounts[bounds_met - 1] if bounds_met else None
        high = window.amounts[bounds_met] if bounds_met < len(window.amounts) else None
        limit = min(leaves, end, start + LEAVING_MAX)
        for place in range(start + 1, limit + 1):
            left = total - amounts[place]
            if (low is not None and left < low) or (high is not None and left >= high):
                leaves = min(leaves, place - 1)
                break
        else:
            if limit == start + LEAVING_MAX:
                leaves = min(leaves, limit - 1)
    return instants[leaves] + window.span if leaves < end else NO_EDGE


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


def window_figures(entries: Entries, windows: tuple[WindowBounds, ...], as_of: int) -> list[int]:
    """Orders and their net amount within each window that ends at `as_of`; windows ascend."""
    instants = entries.instants
    if not instants:
        return [0] * (2 * len(windows))
    orders, amounts = entries.sums()
    figures: list[int] = []
    end = len(instants)
    start = end
    for window in windows:
        start = bisect_right(instants, as_of - window.span, 0, start)
        figures += (orders[end] - orders[start], amounts[end] - amounts[start])
    return figures
