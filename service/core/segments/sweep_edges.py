"""The instants at which time alone may change the membership of customers who are swept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from service.core.criteria.needs import Needs, WindowBounds
from service.core.instants import MISSING
from service.core.profiles.timeline import NO_EDGE
from service.core.segments.gather import Gathered, Ints, Told
from service.core.segments.timescale import Timescale, starts_of

#: Rows of the columns that instants stand in.
_REGISTERED: Final = 3
_LAST_ORDER: Final = 4
_LAST_LOGIN: Final = 5
_FIRST_WINDOW: Final = 7


class Sums:
    """Entries of all customers, with running sums: sums[i] is that of the first i entries."""

    def __init__(self, found: Gathered, scale: Timescale) -> None:
        self.customer, self.at = found.entries
        self.keys = scale.of(found.entries)
        self.orders: Ints = np.append(0, np.cumsum(found.entry_orders))
        # Beyond 64 bits this wraps around, and the differences, which are figures of one customer, are right again.
        self.amounts: Ints = np.append(0, np.cumsum(found.entry_amounts))
        self.starts = starts_of(found.entries, len(found.base.orders))

    def end_of(self, keys: Ints) -> Ints:
        """How many entries lie at or before each key."""
        return np.searchsorted(self.keys, keys, "right")

    def crosses(self, window: WindowBounds, gone: Ints, end: Ints, begin: Ints) -> np.ndarray:
        """Whether, among entries that end before `end`, a figure lies between other bounds from `gone` + 1 on than from
        `begin` on.
        """
        if window.has_average:
            return np.ones(len(gone), dtype=np.bool_)
        found = np.zeros(len(gone), dtype=np.bool_)
        for sums, bounds in ((self.orders, window.orders), (self.amounts, window.amounts)):
            if bounds:
                held = np.array(bounds, dtype=np.int64)
                after = np.searchsorted(held, sums[end] - sums[gone + 1], "right")
                found |= after != np.searchsorted(held, sums[end] - sums[begin], "right")
        return found


def edge_keys(found: Gathered, sums: Sums, needs: Needs, scale: Timescale) -> Ints:
    """Keys of the instants between a customer's first and last one at which something may change, but for the events'.

    All at which something does, and some at which nothing does, because something else came in between.
    """
    told = found.told
    starts = starts_of(told, len(found.base.orders))
    last = told.at[starts[1:] - 1]
    after = np.where(found.base.evaluated_to == MISSING, told.at[starts[:-1]], found.base.evaluated_to)
    parts = [np.empty(0, dtype=np.int64)]
    for customer, at in _aging(found, needs):
        within = (at > after[customer]) & (at < last[customer])
        parts.append(scale.keys(customer[within], at[within]))
    for window in needs.windows:
        at = sums.at + window.span
        leaving = np.flatnonzero((at > after[sums.customer]) & (at < last[sums.customer]))
        keys = scale.keys(sums.customer[leaving], at[leaving])
        parts.append(keys[sums.crosses(window, leaving, sums.end_of(keys), leaving)])
    edges = np.unique(np.concatenate(parts))
    events = scale.of(told)
    places = np.minimum(np.searchsorted(events, edges), len(events) - 1)
    return edges[events[places] != edges]


def _aging(found: Gathered, needs: Needs) -> Iterator[Told]:
    """What was told, or known before, as many spans later as its age is compared with."""
    everybody = np.arange(len(found.base.orders))
    base = found.base
    known = [
        (needs.order_offsets, everybody, base.last_order_at),
        (needs.order_offsets, *found.new_orders),
        (needs.login_offsets, everybody, base.last_login_at),
        (needs.login_offsets, *found.logins),
        (needs.registration_offsets, everybody, found.registered),
    ]
    columns = {key: place for place, key in enumerate(needs.purchases)}
    for key, offsets in needs.purchase_offsets:
        column = columns[key]
        events = found.purchase_events[found.purchase_columns == column]
        known += [
            (offsets, everybody, found.bought[column]),
            (offsets, found.told.customer[events], found.told.at[events]),
        ]
    for offsets, customer, at in known:
        is_known = at != MISSING
        for offset in offsets:
            yield Told(customer[is_known], at[is_known] + offset)


def next_edges(found: Gathered, sums: Sums, needs: Needs, scale: Timescale, last: Ints) -> Ints:
    """By customer, the first instant after the last row at which time alone may change something; NO_EDGE if none.

    Args:
        found, sums, scale: of the batch.
        needs: what is asked for.
        last: the columns of each customer's last row.
    """
    count = len(found.base.orders)
    at = last[0]
    due = np.full(count, NO_EDGE, dtype=np.int64)
    instants = [
        (needs.registration_offsets, last[_REGISTERED]),
        (needs.order_offsets, last[_LAST_ORDER]),
        (needs.login_offsets, last[_LAST_LOGIN]),
    ]
    columns = {key: _FIRST_WINDOW + 2 * len(needs.windows) + place for place, key in enumerate(needs.purchases)}
    instants += [(offsets, last[columns[key]]) for key, offsets in needs.purchase_offsets]
    for offsets, known in instants:
        for offset in offsets:
            edge = known + offset
            comes = (known != MISSING) & (edge > at)
            due[comes] = np.minimum(due[comes], edge[comes])
    ends = sums.starts[1:]
    for window in needs.windows:
        begins = np.maximum(sums.end_of(scale.keys(np.arange(count), at - window.span)), sums.starts[:-1])
        lengths = ends - begins
        places = np.repeat(begins - np.append(0, np.cumsum(lengths)[:-1]), lengths) + np.arange(lengths.sum())
        customer = sums.customer[places]
        crossing = sums.crosses(window, places, ends[customer], begins[customer])
        np.minimum.at(due, customer[crossing], sums.at[places[crossing]] + window.span)
    return due
