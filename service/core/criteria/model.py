"""Criteria as a tree of predicates; what the interpreters read."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from service.core.criteria.fields import Figure, Instant, Number, Purchase

Scalar = str | int | Decimal | bool


@dataclass(frozen=True, slots=True)
class AttributePredicate:
    """An attribute of the customer, or a property of an activity, against a value; independent of time."""

    field: str  # customer_type, email_subscribed, country, state, city or traits.<key>; in `where` the property's name
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
class Stream:
    """A customer's activities of one name whose properties pass every test of `where`."""

    name: str
    where: tuple[AttributePredicate, ...] = ()


@dataclass(frozen=True, slots=True)
class ActivityPredicate:
    """A figure of a stream against one or two bounds; `window` in microseconds."""

    stream: Stream
    figure: Figure
    property: str | None  # None for count, and only there
    operator: str  # eq, gt, gte, lt, lte, between
    low: Decimal
    high: Decimal | None = None  # of between, inclusive
    window: int | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a sequence: an activity of the stream, or an order that counts where `stream` is None."""

    stream: Stream | None
    is_not: bool = False


@dataclass(frozen=True, slots=True)
class SequencePredicate:
    """Steps one strictly after the other, all within a span (microseconds) of the first, which is never a `not`."""

    steps: tuple[Step, ...]
    within: int


@dataclass(frozen=True, slots=True)
class MemberPredicate:
    """The customer is a member of another segment."""

    segment_id: UUID


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


Predicate = (
    AttributePredicate
    | NumberPredicate
    | DatePredicate
    | AgePredicate
    | PurchasePredicate
    | ActivityPredicate
    | SequencePredicate
    | MemberPredicate
)
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


def references(criteria: Criteria) -> set[UUID]:
    """The segments whose members the criteria ask for."""
    return {one.segment_id for one in predicates(criteria) if isinstance(one, MemberPredicate)}
