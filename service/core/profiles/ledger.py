"""Orders and refunds of one customer: facts that fold the same in any order (CONTRACT section 3, rules 1 and 4)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from service.core.events.model import (
    Activity,
    Event,
    Item,
    OrderCancelled,
    OrderPlaced,
    OrderRefunded,
    OrderUpdated,
    Stamp,
)


class LedgerIncomplete(Exception):
    """The answer needs the customer's whole ledger; load all facts and walk again."""


class OrderFact(NamedTuple):
    """What one event says about an order."""

    order_id: str
    kind: str  # placed, updated, cancelled
    stamp: Stamp
    minor_units: int | None
    items: list[Item] | None
    is_test: bool


class RefundFact(NamedTuple):
    """What one event says about a refund."""

    refund_id: str
    order_id: str | None
    stamp: Stamp
    minor_units: int | None  # None: the order in full


class ActivityFact(NamedTuple):
    """One activity; properties are scalars, numbers as int or Decimal, None where missing."""

    name: str
    at: int  # microseconds
    properties: Mapping[str, object]


Fact = OrderFact | RefundFact | ActivityFact

_KINDS = {OrderPlaced: "placed", OrderUpdated: "updated", OrderCancelled: "cancelled"}


def fact_of(event: Event) -> Fact:
    """The fact that an order.* or customer.activity event carries."""
    data = event.data
    if isinstance(data, Activity):
        return ActivityFact(data.name, event.at, event.scalars or {})
    if isinstance(data, OrderRefunded):
        return RefundFact(data.refund_id, data.order_id, event.stamp, event.minor_units)
    assert isinstance(data, OrderPlaced | OrderUpdated | OrderCancelled)  # noqa: S101 - callers pass order.* only
    return OrderFact(
        data.order_id,
        _KINDS[type(data)],
        event.stamp,
        event.minor_units,
        None if isinstance(data, OrderCancelled) else data.items,
        isinstance(data, OrderPlaced) and data.test is True,
    )


class Contribution(NamedTuple):
    """What a counting order, or a refund without order, adds to the profile."""

    at: int
    amount: int  # minor units, net of refunds
    is_order: bool
    items: list[Item]
    total: int = 0  # before refunds


class OrderChange(NamedTuple):
    """What became of an order: None where it did not or does not count."""

    order_id: str
    before: Contribution | None
    after: Contribution | None


Change = tuple[Contribution | None, Contribution | None]


class OrderState:
    """One order as its facts fold."""

    __slots__ = (
        "is_cancelled",
        "is_test",
        "items",
        "items_stamp",
        "placed_at",
        "refunded",
        "refunds_in_full",
        "total",
        "total_stamp",
    )

    def __init__(self) -> None:
        self.placed_at: int | None = None
        self.total = 0
        self.total_stamp: Stamp | None = None
        self.items: list[Item] = []
        self.items_stamp: Stamp | None = None
        self.is_cancelled = False
        self.is_test = False
        self.refunded = 0
        self.refunds_in_full = 0

    def fold(self, fact: OrderFact) -> None:
        """Applies one fact; any order of facts gives the same state."""
        if fact.kind == "cancelled":
            self.is_cancelled = True
            return
        if fact.kind == "placed":
            at = fact.stamp[0]
            self.placed_at = at if self.placed_at is None else min(self.placed_at, at)
            self.is_test = self.is_test or fact.is_test
        if fact.minor_units is not None and (self.total_stamp is None or fact.stamp > self.total_stamp):
            self.total, self.total_stamp = fact.minor_units, fact.stamp
        if fact.items is not None and (self.items_stamp is None or fact.stamp > self.items_stamp):
            self.items, self.items_stamp = fact.items, fact.stamp

    def contribution(self) -> Contribution | None:
        """None while the order does not count."""
        if self.placed_at is None or self.is_cancelled or self.is_test:
            return None
        amount = 0 if self.refunds_in_full else self.total - self.refunded
        return Contribution(self.placed_at, amount, True, self.items, self.total)


class RefundState(NamedTuple):
    """One refund: the latest amount and order, the earliest instant."""

    order_id: str | None
    amount: int | None  # None: the order in full
    at: int
    stamp: Stamp


class Ledger:
    """Orders and refunds of one customer: all of them (`is_complete`), or those that a batch touches.

    A partial ledger holds every fact of the orders that a batch touches, and every fact of each refund that ever named
    one of them or that the batch names. Orders it knows only through a refund are not whole.
    """

    __slots__ = ("_is_loading", "_touched", "activities", "is_complete", "orders", "refunds")

    def __init__(self, is_complete: bool = False, stored: Iterable[Fact] = ()) -> None:
        self.is_complete = is_complete
        self.activities: list[ActivityFact] = []
        #: What each order contributed before the facts that came after the stored ones.
        self._touched: dict[str, Contribution | None] = {}
        self.orders: dict[str, OrderState] = {}
        self.refunds: dict[str, RefundState] = {}
        self._is_loading = True
        for fact in stored:
            self.apply(fact)
        self._is_loading = False

    def apply(self, fact: Fact) -> list[Change]:
        """Folds a fact in; gives what the profile must take out and put in."""
        if isinstance(fact, RefundFact):
            return self._refund(fact)
        if isinstance(fact, ActivityFact):
            self.activities.append(fact)
            return []
        order = self.orders.get(fact.order_id)
        if order is None:
            order = self.orders[fact.order_id] = OrderState()
        before = order.contribution()
        order.fold(fact)
        return [self._changed(fact.order_id, before, order.contribution())]

    def _changed(self, order_id: str, before: Contribution | None, after: Contribution | None) -> Change:
        if not self._is_loading:
            self._touched.setdefault(order_id, before)
        return before, after

    def changes(self) -> Iterator[OrderChange]:
        """The orders that contribute something else than by the stored facts alone."""
        for order_id, before in self._touched.items():
            after = self.orders[order_id].contribution()
            if before != after:
                yield OrderChange(order_id, before, after)

    def _refund(self, fact: RefundFact) -> list[Change]:
        known = self.refunds.get(fact.refund_id)
        at = fact.stamp[0]
        state = RefundState(fact.order_id, fact.minor_units, at, fact.stamp)
        changes = []
        if known is not None:
            if known.order_id != fact.order_id and not (self.is_complete or self._is_loading):
                raise LedgerIncomplete  # the refund moves between orders, and one of them may not be whole
            latest = state if fact.stamp > known.stamp else known
            state = latest._replace(at=min(at, known.at))
            changes += self._put(known, -1)
        self.refunds[fact.refund_id] = state
        return changes + self._put(state, 1)

    def _put(self, refund: RefundState, sign: int) -> list[Change]:
        """Adds (1) or takes back (-1) a refund."""
        if refund.order_id is None:
            entry = Contribution(refund.at, -(refund.amount or 0), False, [])
            return [(None, entry) if sign > 0 else (entry, None)]
        order = self.orders.get(refund.order_id)
        if order is None:
            order = self.orders[refund.order_id] = OrderState()
        before = order.contribution()
        if refund.amount is None:
            order.refunds_in_full += sign
        else:
            order.refunded += sign * refund.amount
        return [self._changed(refund.order_id, before, order.contribution())]

    def contributions(self) -> Iterator[Contribution]:
        """All that counts now; only of a complete ledger."""
        for order in self.orders.values():
            contribution = order.contribution()
            if contribution is not None:
                yield contribution
        for refund in self.refunds.values():
            if refund.order_id is None:
                yield Contribution(refund.at, -(refund.amount or 0), False, [])
