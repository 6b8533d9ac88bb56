"""What a sweep works on: profiles and their new events as columns, by customer and instant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.core.criteria.attribute_keys import AttributeKeys
from service.core.events.model import CustomerData, Event, LoggedIn, OrderPlaced, Registered
from service.core.instants import MISSING
from service.core.profiles.attributes import set_attributes
from service.core.profiles.ledger import Contribution, OrderChange
from service.core.profiles.profile import Profile, places_of
from service.core.segments.catalogue import Catalogue

Ints = NDArray[np.int64]


class Told(NamedTuple):
    """Things that were told of customers, ascending by customer and instant."""

    customer: Ints
    at: Ints


class Base(NamedTuple):
    """A figure of each customer before the new events."""

    orders: Ints
    spent: Ints
    registered_at: Ints
    last_order_at: Ints
    last_login_at: Ints
    evaluated_to: Ints
    attributes: Ints  # numbers of AttributeKeys


class Gathered(NamedTuple):
    """A batch of customers.

    Attributes:
        base: figures by customer.
        told: all events; new_orders, logins, changes: those of a kind, with what each of them says.
        amounts: of the new orders. numbers: of the changes, what AttributeKeys gave. registered: since when, by
            customer, after the events.
        entries, entry_amounts, entry_orders: counting orders of the windows, old and new.
        bought: column x customer, latest purchases before; purchase_events, purchase_columns: the new ones.
    """

    base: Base
    events: list[Event]
    told: Told
    new_orders: Told
    amounts: Ints
    logins: Told
    changes: Told
    numbers: Ints
    registered: Ints
    entries: Told
    entry_amounts: Ints
    entry_orders: Ints
    bought: Ints
    purchase_events: Ints
    purchase_columns: Ints


class Gatherer:
    """Reads customers one by one, folding their events into their profiles; what windows, totals and latest instants
    become is left to the sweep.
    """

    def __init__(self, catalogue: Catalogue, keys: AttributeKeys) -> None:
        self._shape, self._attributes, self._keys = catalogue.shape, catalogue.plan.needs.attributes, keys
        self._column_of = {self._shape.places[key]: place for place, key in enumerate(catalogue.plan.needs.purchases)}
        self._base: list[tuple[int, ...]] = []
        self._events: list[Event] = []
        self._customers: list[int] = []
        self._orders: list[tuple[int, int, int]] = []
        self._logins: list[tuple[int, int]] = []
        self._changes: list[tuple[int, int, int]] = []
        self._registered: list[int] = []
        self._entries: list[tuple[list[int], list[int], list[int]]] = []
        self._bought: list[tuple[int, int, int]] = []
        self._purchases: list[tuple[int, int]] = []
        self.order_changes: list[tuple[Profile, OrderChange]] = []

    def add(self, profile: Profile, events: Sequence[Event]) -> None:
        """Takes a customer whose walk is plain."""
        customer = len(self._base)
        entries = profile.entries
        self._entries.append((entries.instants[:], entries.amounts[:], entries.orders[:]))
        figures = (profile.total_orders, profile.total_spent, profile.registered_at, profile.last_order_at)
        self._base.append((*figures, profile.last_login_at, profile.evaluated_to, self._number(profile)))
        column_of = self._column_of
        for place, at in profile.bought.items() if column_of else ():
            if place in column_of:
                self._bought.append((column_of[place], customer, at))
        for event in events:
            self._take(customer, profile, event)
        self._registered.append(profile.registered_at)

    def _number(self, profile: Profile) -> int:
        return self._keys.number(tuple(map(profile.attribute, self._attributes))) if self._attributes else 0

    def _take(self, customer: int, profile: Profile, event: Event) -> None:
        at, data = event.at, event.data
        if type(data) is OrderPlaced:
            amount = event.minor_units or 0
            self._orders.append((customer, at, amount))
            profile.entries.put(at, amount, 1)
            items = data.items or []
            order = Contribution(at, amount, True, items, amount)
            self.order_changes.append((profile, OrderChange(data.order_id, None, order)))
            if self._shape.places:
                for place in places_of(items, self._shape):
                    profile.bought[place] = at
                    if place in self._column_of:
                        self._purchases.append((len(self._events), self._column_of[place]))
        elif type(data) is LoggedIn:
            self._logins.append((customer, at))
        elif isinstance(data, CustomerData):
            if type(data) is Registered and profile.registered_at == MISSING:
                profile.registered_at = at
            profile.has_new_attributes |= set_attributes(profile.attributes, event, data)
            if self._attributes:
                self._changes.append((customer, at, self._number(profile)))
        self._events.append(event)
        self._customers.append(customer)

    def gathered(self) -> Gathered:
        """All of it as columns."""
        count = len(self._base)
        new_orders, logins, changes = _columns(self._orders, 3), _columns(self._logins, 2), _columns(self._changes, 3)
        lengths = [len(instants) for instants, _, _ in self._entries]
        owners = np.concatenate((np.repeat(np.arange(count), lengths), new_orders[0]))
        order = np.argsort(owners, kind="stable")  # new ones come after the old ones of their customer
        instants, amounts, orders = (
            np.array([one for entries in self._entries for one in entries[part]], dtype=np.int64) for part in range(3)
        )
        bought = np.full((len(self._column_of), count), MISSING, dtype=np.int64)
        places = _columns(self._bought, 3)
        bought[places[0], places[1]] = places[2]
        purchases = _columns(self._purchases, 2)
        return Gathered(
            base=Base(*_columns(self._base, len(Base._fields))),
            events=self._events,
            told=Told(np.array(self._customers, dtype=np.int64), np.array([one.at for one in self._events])),
            new_orders=Told(new_orders[0], new_orders[1]),
            amounts=new_orders[2],
            logins=Told(logins[0], logins[1]),
            changes=Told(changes[0], changes[1]),
            numbers=changes[2],
            registered=np.array(self._registered, dtype=np.int64),
            entries=Told(owners[order], np.concatenate((instants, new_orders[1]))[order]),
            entry_amounts=np.concatenate((amounts, new_orders[2]))[order],
            entry_orders=np.concatenate((orders, np.ones(len(new_orders[0]), dtype=np.int64)))[order],
            bought=bought,
            purchase_events=purchases[0],
            purchase_columns=purchases[1],
        )


def _columns(rows: Sequence[tuple[int, ...]], width: int) -> Ints:
    """Columns x rows, each contiguous."""
    return np.ascontiguousarray(np.array(rows, dtype=np.int64).reshape(-1, width).T)
