"""Criteria as a tree of predicates; what the interpreters read."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from service.core.criteria.fields import Instant, Number, Purchase

Scalar = str | int | Decimal | bool


@dataclass(frozen=True, slots=True)
class AttributePredicate:
    """An attribute of the customer against a value; independent of time."""

    field: str  # customer_type, email_subscribed, country, state, city or traits.<key>
    operator: str  # a key of operators.ATTRIBUTE_OPERATORS
    value: Scalar | tuple[Scalar, ...]
    #: Part of what makes two predicates equal: in Python True == 1, in the language it is not.
    kinds: tuple[bool, ...] = dataclasses.field(init=False, repr=False)

    def __post_init__(self) -> None:
        values = self.value if isinstance(self.value, tuple) else (self.value,)
        object.__setattr__(self, "kinds", tuple(isinstance(value, bool) for value in values))


@dataclass(frozen=True, slots=True)
class NumberPredicate:
    """A figure from orders against one or two bounds; `window` in microseconds."""

    field: Number
    operator: str  # eq, gt, gte, lt, lte, between
    low: Decimal
    high: Decimal | None = None  # of between, inclusive
    window: int | None = None


@dataclass(frozen=True, slots=True)
class DatePredicate:
    """An instant of the customer's life within [low, high], either of which may be open; inclusive."""

    field: Instant
    low: int | None
    high: int | None


@dataclass(frozen=True, slots=True)
class AgePredicate:
    """How long ago an instant was: within the span (T - span < t) or at least it (t <= T - span)."""

    field: Instant
    is_within: bool
    span: int  # microseconds


@dataclass(frozen=True, slots=True)
class PurchasePredicate:
    """Counting orders hold any, all or none of the names; `window` in microseconds."""

    kind: Purchase
    quantifier: str  # any, all, none
    names: tuple[str, ...]
    window: int | None = None


@dataclass(frozen=True, slots=True)
class All:
    """True where every part is; true without parts."""

    parts: tuple[Criteria, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """True where at least one part is."""

    parts: tuple[Criteria, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """True where the part is false."""

    part: Criteria


Predicate = AttributePredicate | NumberPredicate | DatePredicate | AgePredicate | PurchasePredicate
Criteria = Predicate | All | AnyOf | Not


def predicates(criteria: Criteria) -> Iterator[Predicate]:
    """Every predicate of the tree, left to right."""
    if isinstance(criteria, All | AnyOf):
        for part in criteria.parts:
            yield from predicates(part)
    elif isinstance(criteria, Not):
        yield from predicates(criteria.part)
    else:
        yield criteria
