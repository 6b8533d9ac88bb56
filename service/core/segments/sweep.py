"""Many customers walked at once, where their events only add: the figures of every instant are looked up in columns.

What a walk finds by going from event to event is here a function of (customer, instant): how many orders there were,
which was the last, how much lay within a window. One search over the sorted instants of all customers answers it for
all rows. Rows and transitions are those of the walk, but for rows in which nothing changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.core.criteria.attribute_keys import AttributeKeys
from service.core.criteria.needs import Needs
from service.core.events.model import Event
from service.core.instants import MISSING
from service.core.profiles.ledger import OrderChange
from service.core.profiles.profile import Profile
from service.core.profiles.timeline import NO_EDGE
from service.core.segments.catalogue import Catalogue
from service.core.segments.gather import Gathered, Gatherer, Ints, Told
from service.core.segments.ordinals import ORDINAL_BYTES
from service.core.segments.sweep_edges import Sums, edge_keys, next_edges
from service.core.segments.timescale import KEY_MAX, Timescale, starts_of, timescale_of, window_max


class Rows(NamedTuple):
    """Instants at which something may change, ascending by customer and instant.

    Attributes:
        customer, at: of each row.
        event: which event it shows, -1 for an edge.
        columns: columns x rows, as the plan takes them.
        firsts: the first row of each customer.
    """

    customer: Ints
    at: Ints
    event: Ints
    columns: Ints
    firsts: Ints


#: (customer, place of the definition, ordinal, instant, event) of a join, whose ordinal is odd, or a leave.
Change = tuple[int, int, int, int, Event | None]


class Swept(NamedTuple):
    """What came of it.

    Attributes:
        changes: by customer in the order of time; profiles have counted them.
        due: by customer, when time alone may change something next; NO_EDGE if ever.
        order_changes: orders that began to count.
    """

    changes: list[Change]
    due: list[int]
    order_changes: list[tuple[Profile, OrderChange]]


def fits(some: Sequence[tuple[Profile, Sequence[Event]]], needs: Needs) -> bool:
    """Whether their instants lie close enough together for one axis."""
    firsts = [profile.entries.instants[0] for profile, _ in some if profile.entries.instants]
    firsts += [profile.evaluated_to for profile, _ in some if profile.evaluated_to != MISSING]
    first = min(min(events[0].at for _, events in some), *firsts, NO_EDGE)
    last = max(events[-1].at for _, events in some)
    return (last - first + window_max(needs) + 3) * (len(some) + 1) < KEY_MAX


def sweep(catalogue: Catalogue, keys: AttributeKeys, some: Sequence[tuple[Profile, Sequence[Event]]]) -> Swept:
    """Walks customers whose walk is plain (`plain.is_plain`) and who fit.

    Args:
        catalogue: what is evaluated.
        keys: gives the numbers of attribute values.
        some: profiles, changed in place but for being trimmed, with their new events.
    """
    gatherer = Gatherer(catalogue, keys)
    for profile, events in some:
        gatherer.add(profile, events)
    found, needs = gatherer.gathered(), catalogue.plan.needs
    scale = timescale_of(found, needs)
    sums = Sums(found, scale)
    rows = _rows(found, sums, needs, scale)
    lasts = np.append(rows.firsts[1:], len(rows.at)) - 1
    due = next_edges(found, sums, needs, scale, rows.columns[:, lasts])
    profiles = [profile for profile, _ in some]
    _store(profiles, catalogue, rows, lasts)
    changes = _changes(catalogue, keys, profiles, rows, found.events) if catalogue.definitions else []
    return Swept(changes, due.tolist(), gatherer.order_changes)


def _rows(found: Gathered, sums: Sums, needs: Needs, scale: Timescale) -> Rows:
    told = scale.of(found.told)
    keys = np.concatenate((told, edge_keys(found, sums, needs, scale)))
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    customer = keys // scale.span
    at = keys - customer * scale.span + scale.first
    event = np.where(order < len(told), order, -1)
    firsts = np.searchsorted(customer, np.arange(len(found.base.orders)))
    figures = _figures(found, scale, keys, customer, at)
    begins = sums.starts[customer]
    last = sums.end_of(keys)
    for window in needs.windows:
        begin = np.maximum(sums.end_of(keys - window.span), begins)
        figures += (sums.orders[last] - sums.orders[begin], sums.amounts[last] - sums.amounts[begin])
    columns = np.array(figures, dtype=np.int64)
    if len(found.bought):
        columns = np.concatenate((columns, _purchases(found, customer, at, event, firsts)))
    return Rows(customer, at, event, columns, firsts)


def _figures(found: Gathered, scale: Timescale, keys: Ints, customer: Ints, at: Ints) -> list[Ints]:
    """The columns before the windows."""
    base, count = found.base, len(found.base.orders)
    begin, end = _passed(found.new_orders, keys, customer, count, scale)
    running = np.append(0, np.cumsum(found.amounts))
    logins = _passed(found.logins, keys, customer, count, scale)
    changes = _passed(found.changes, keys, customer, count, scale)
    was, since = base.registered_at[customer], found.registered[customer]
    return [
        at,
        base.orders[customer] + (end - begin),
        base.spent[customer] + (running[end] - running[begin]),
        np.where((was != MISSING) | (since > at), was, since),
        _latest(found.new_orders.at, begin, end, base.last_order_at[customer]),
        _latest(found.logins.at, *logins, base.last_login_at[customer]),
        _latest(found.numbers, *changes, base.attributes[customer]),
    ]


def _passed(told: Told, keys: Ints, customer: Ints, count: int, scale: Timescale) -> tuple[Ints, Ints]:
    """Of each row the places of what was told of its customer until then: from, to."""
    return starts_of(told, count)[customer], np.searchsorted(scale.of(told), keys, "right")


def _latest(values: Ints, begin: Ints, end: Ints, before: Ints) -> Ints:
    """The last value among those places, else what was before."""
    if not len(values):
        return before
    return np.where(end > begin, values[np.maximum(end - 1, 0)], before)


def _purchases(found: Gathered, customer: Ints, at: Ints, event: Ints, firsts: Ints) -> Ints:
    """The latest purchase of each product or category at each row: columns x rows."""
    row_of = np.empty(len(found.events), dtype=np.int64)
    shown = np.flatnonzero(event >= 0)
    row_of[event[shown]] = shown
    latest = np.full((len(found.bought), len(at)), -1, dtype=np.int32)
    rows = row_of[found.purchase_events]
    latest[found.purchase_columns, rows] = rows
    np.maximum.accumulate(latest, axis=1, out=latest)
    return np.where(latest >= firsts[customer], at[np.maximum(latest, 0)], found.bought[:, customer])


def _store(profiles: Sequence[Profile], catalogue: Catalogue, rows: Rows, lasts: Ints) -> None:
    figures = rows.columns[[1, 2, 4, 5, 0]][:, lasts].T.tolist()
    starts = rows.at[rows.firsts].tolist()
    for profile, start, (orders, spent, last_order_at, last_login_at, at) in zip(
        profiles, starts, figures, strict=True
    ):
        profile.total_orders, profile.total_spent = orders, spent
        profile.last_order_at, profile.last_login_at = last_order_at, last_login_at
        profile.evaluated_to = at
        if profile.is_new:
            profile.first_seen_at = start
            profile.born, profile.shape_version = catalogue.version, catalogue.shape.version
        profile.mark = catalogue.version


def _changes(
    catalogue: Catalogue, keys: AttributeKeys, profiles: Sequence[Profile], rows: Rows, events: Sequence[Event]
) -> list[Change]:
    """Differences between consecutive rows of one customer; the profiles' ordinals count them."""
    slots = catalogue.plan.slots
    bits = catalogue.plan.evaluate(rows.columns.T, None, keys)
    counts = _counts(profiles, (int(slots[-1]) + 1) * ORDINAL_BYTES)
    before = np.empty_like(bits)
    before[1:] = bits[:-1]
    before[rows.firsts] = (counts[:, slots] & 1).astype(np.bool_)
    places, changed = np.nonzero((bits != before).T)  # by columns, as both lie in memory
    order = np.argsort(changed, kind="stable")
    places, changed = places[order], changed[order]
    customers = rows.customer[changed]
    ordinals = _count_on(counts, customers, slots[places])
    for customer in np.unique(customers).tolist():
        counted = counts[customer].tobytes()
        length = -(-len(counted.rstrip(b"\0")) // ORDINAL_BYTES) * ORDINAL_BYTES
        profiles[customer].ordinals = counted[:length]
    found = (customers, places, ordinals, rows.at[changed], rows.event[changed])
    return [
        (customer, place, ordinal, at, None if event < 0 else events[event])
        for customer, place, ordinal, at, event in zip(*(column.tolist() for column in found), strict=True)
    ]


def _counts(profiles: Sequence[Profile], width: int) -> NDArray[np.uint32]:
    """Ordinals of all: customers x slots."""
    width = max(width, *(len(one.ordinals) for one in profiles))
    joined = b"".join([one.ordinals.ljust(width, b"\0") for one in profiles])
    return np.frombuffer(joined, dtype="<u4").reshape(len(profiles), -1).copy()


def _count_on(counts: NDArray[np.uint32], customers: Ints, slots: Ints) -> Ints:
    """The ordinal of each change, in the order of time for each customer; `counts` counts them."""
    cells = customers * counts.shape[1] + slots
    order = np.argsort(cells, kind="stable")
    ascending = cells[order]
    begins = np.flatnonzero(np.append(True, ascending[1:] != ascending[:-1])) if len(cells) else cells
    repeats = np.diff(np.append(begins, len(cells)))
    flat = counts.reshape(-1)
    ordinals = np.empty(len(cells), dtype=np.int64)
    ordinals[order] = flat[ascending].astype(np.int64) + 1 + np.arange(len(cells)) - np.repeat(begins, repeats)
    flat[ascending[begins]] += repeats.astype(np.uint32)
    return ordinals
