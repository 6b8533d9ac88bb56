"""One customer's facts in memory, and what is known from those of them whose time has come.

The form is the reference interpreter's own (criteria.scalar): stored rows and decoded events both fill it. Nothing here
is kept from one instant to the next; what is known is folded anew from the facts up to the instant that is asked for.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from service.core.criteria.fields import CUSTOMER_TYPE, EMAIL_SUBSCRIBED, LOCATION_PARTS, TRAIT_PREFIX

LOGGED_IN: Final = "logged_in"
DELETED: Final = "deleted"
PLACED: Final = "placed"
UPDATED: Final = "updated"
CANCELLED: Final = "cancelled"


class Stamp(NamedTuple):
    """The place of an event among its customer's: by instant (microseconds), sequence (missing first), then id."""

    at: int
    has_sequence: bool
    sequence: str
    id: str


def stamp_of(at: int, sequence: str | None, event_id: str) -> Stamp:
    """The stamp of an event."""
    return Stamp(at, sequence is not None, sequence or "", event_id)


class AttributesFact(NamedTuple):
    """`customer.registered` or `customer.updated`.

    Attributes:
        values: of customer_type, email_subscribed, location and traits those that the event names; None = becomes
            missing. `location` is an object of country, state and city, `traits` an object of exact scalars.
    """

    stamp: Stamp
    is_registration: bool
    values: Mapping[str, Any]


class MomentFact(NamedTuple):
    """`customer.logged_in` or `customer.deleted`: nothing but when."""

    stamp: Stamp
    kind: str  # LOGGED_IN, DELETED


class ActivityFact(NamedTuple):
    """`customer.activity`; properties are exact scalars, None = missing."""

    stamp: Stamp
    name: str
    properties: Mapping[str, Any]


class OrderFact(NamedTuple):
    """`order.placed`, `order.updated` or `order.cancelled`.

    Attributes:
        total: minor units; None where the event names none.
        items: (product, category) of each line; None where the event names none.
    """

    stamp: Stamp
    order_id: str
    kind: str  # PLACED, UPDATED, CANCELLED
    total: int | None = None
    items: Sequence[tuple[str, str | None]] | None = None
    is_test: bool = False


class RefundFact(NamedTuple):
    """`order.refunded`; amount in minor units, None = in full; order_id None = a refund without order."""

    stamp: Stamp
    refund_id: str
    order_id: str | None
    amount: int | None


Fact = AttributesFact | MomentFact | ActivityFact | OrderFact | RefundFact


class Order(NamedTuple):
    """An order that counts: its date, its total less its refunds (minor units), and what it holds."""

    at: int
    amount: int
    products: frozenset[str]
    categories: frozenset[str]


class Refund(NamedTuple):
    """A refund as its facts fold: earliest instant, latest order and amount (minor units; None: the order in full)."""

    at: int
    order_id: str | None
    amount: int | None


@dataclass(frozen=True)
class Known:
    """What some facts say, folded.

    Attributes:
        exists: there is a fact, and none is a deletion.
        attributes: by criteria field (customer_type, country, traits.<key>, ...); missing ones are None or absent.
        registered_at, last_login_at: microseconds, None where there is none.
        orders: those that count, ascending by instant.
        refunds: those without order, ascending by instant.
        activities: each event once, ascending by stamp.
        memo: what the interpreter has found out about these very facts, so that it need not look twice.
    """

    exists: bool
    attributes: Mapping[str, Any]
    registered_at: int | None
    last_login_at: int | None
    orders: Sequence[Order]
    refunds: Sequence[Refund]
    activities: Sequence[ActivityFact]
    memo: dict[Hashable, Any] = field(default_factory=dict, compare=False, repr=False)


class Life:
    """All facts of one customer, those included whose time has not come; `facts` ascend by stamp."""

    def __init__(self, facts: Iterable[Fact]) -> None:
        self.facts: tuple[Fact, ...] = tuple(sorted(facts, key=_stamp))
        self._instants = [fact.stamp.at for fact in self.facts]
        self._last: tuple[int, Known] | None = None

    def known(self, as_of: int) -> Known:
        """What the facts at or before this instant say. The answer for the same facts is given again."""
        count = bisect_right(self._instants, as_of)
        if self._last is None or self._last[0] != count:
            self._last = (count, fold(self.facts[:count]))
        return self._last[1]


def fold(facts: Sequence[Fact]) -> Known:
    """What these facts say; they must ascend by stamp."""
    told = [fact for fact in facts if isinstance(fact, AttributesFact)]
    moments = [fact for fact in facts if isinstance(fact, MomentFact)]
    refunds = _refunds([fact for fact in facts if isinstance(fact, RefundFact)])
    # An event that is told twice is one activity; for all else a repeat changes nothing by itself.
    activities = {fact.stamp.id: fact for fact in facts if isinstance(fact, ActivityFact)}
    return Known(
        exists=bool(facts) and not any(fact.kind == DELETED for fact in moments),
        attributes=_attributes(told),
        registered_at=min((fact.stamp.at for fact in told if fact.is_registration), default=None),
        last_login_at=max((fact.stamp.at for fact in moments if fact.kind == LOGGED_IN), default=None),
        orders=_orders([fact for fact in facts if isinstance(fact, OrderFact)], refunds),
        refunds=[refund for refund in refunds if refund.order_id is None],
        activities=list(activities.values()),
    )


def _stamp(fact: Fact) -> Stamp:
    return fact.stamp


def _attributes(facts: Sequence[AttributesFact]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for fact in facts:
        values = fact.values
        for name in (CUSTOMER_TYPE, EMAIL_SUBSCRIBED):
            if name in values:
                found[name] = values[name]
        if "location" in values:
            place = values["location"] or {}
            found |= {part: place.get(part) for part in LOCATION_PARTS.values()}
        if "traits" in values:
            if values["traits"] is None:
                found = {name: value for name, value in found.items() if not name.startswith(TRAIT_PREFIX)}
            found |= {TRAIT_PREFIX + key: value for key, value in (values["traits"] or {}).items()}
    return found


def _refunds(facts: Sequence[RefundFact]) -> list[Refund]:
    first = {fact.refund_id: fact for fact in reversed(facts)}
    latest = {fact.refund_id: fact for fact in facts}
    # A dict keeps the place at which a key came in, so these ascend by the earliest fact.
    return [Refund(first[key].stamp.at, fact.order_id, fact.amount) for key, fact in latest.items()]


def _orders(facts: Sequence[OrderFact], refunds: Sequence[Refund]) -> list[Order]:
    by_order: dict[str, list[OrderFact]] = {}
    for fact in facts:
        by_order.setdefault(fact.order_id, []).append(fact)
    returned: dict[str | None, int] = {}
    in_full = {refund.order_id for refund in refunds if refund.amount is None}
    for refund in refunds:
        returned[refund.order_id] = returned.get(refund.order_id, 0) + (refund.amount or 0)
    found = []
    for order_id, told in by_order.items():
        placed = [fact for fact in told if fact.kind == PLACED]
        if not placed or any(fact.is_test for fact in placed) or any(fact.kind == CANCELLED for fact in told):
            continue
        totals = [fact.total for fact in told if fact.total is not None]
        items = [fact.items for fact in told if fact.items is not None]
        lines = items[-1] if items else ()
        found.append(
            Order(
                at=placed[0].stamp.at,
                amount=0 if order_id in in_full else (totals[-1] if totals else 0) - returned.get(order_id, 0),
                products=frozenset(product for product, _ in lines),
                categories=frozenset(category for _, category in lines if category is not None),
            )
        )
    return sorted(found, key=_at)


def _at(order: Order) -> int:
    return order.at
