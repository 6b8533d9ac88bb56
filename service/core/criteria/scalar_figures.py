"""What predicates look at, computed literally from what is known of one customer at one instant."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from typing import Any, Final, NamedTuple, TypeVar
from uuid import UUID

from service.core.criteria.fields import Figure, Instant, Number, Purchase
from service.core.criteria.model import (
    ActivityPredicate,
    AttributePredicate,
    NumberPredicate,
    PurchasePredicate,
    SequencePredicate,
    Step,
    Stream,
)
from service.core.criteria.operators import attribute_holds
from service.core.criteria.scalar_facts import ActivityFact, Known, Order, Refund
from service.core.criteria.scalar_sequence import Match, match_of

Members = Callable[[UUID], bool]
_Dated = TypeVar("_Dated", Order, Refund)

#: Sums of numbers of 38 digits and exponents up to 38 either way, without rounding.
SUMS: Final = Context(prec=400)


class Scene(NamedTuple):
    """What a predicate is asked about: the facts known at an instant, and who belongs to other segments then."""

    known: Known
    as_of: int
    members: Members


def figure_of(predicate: NumberPredicate | ActivityPredicate, scene: Scene) -> Fraction | None:
    """The exact figure; amounts of orders in whole currency units. None where it is missing."""
    if isinstance(predicate, ActivityPredicate):
        return _of_activities(predicate, scene)
    return _of_orders(predicate, scene)


def _of_orders(predicate: NumberPredicate, scene: Scene) -> Fraction | None:
    window, known = predicate.window, scene.known
    orders = _within(known.orders, window, scene.as_of)
    if predicate.field is Number.TOTAL_ORDERS:
        return Fraction(len(orders))
    refunds = _within(known.refunds, window, scene.as_of)
    spent = Fraction(sum(order.amount for order in orders) - sum(refund.amount or 0 for refund in refunds), 100)
    if predicate.field is Number.TOTAL_SPENT:
        return spent
    return spent / len(orders) if orders else None


def _of_activities(predicate: ActivityPredicate, scene: Scene) -> Fraction | None:
    series = _series(predicate, scene.known)
    start = 0 if predicate.window is None else bisect_right(series.instants, scene.as_of - predicate.window)
    if predicate.figure is Figure.COUNT:
        return Fraction(len(series.instants) - start)
    values = series.values[start:]
    if predicate.figure is Figure.DISTINCT:
        return Fraction(len(set(values)))
    if predicate.figure is Figure.SUM:
        return _sum(values)
    if not values:
        return None
    if predicate.figure is Figure.AVG:
        return _sum(values) / len(values)
    return Fraction(min(values) if predicate.figure is Figure.MIN else max(values))


class _Series(NamedTuple):
    """What a figure is computed of: instants, ascending, and the value at each."""

    instants: list[int]
    values: list[Any]


def _series(predicate: ActivityPredicate, known: Known) -> _Series:
    """Of the stream's activities those with a value, or with a number where only numbers count."""
    stream, figure, name = predicate.stream, predicate.figure, predicate.property
    key = (stream, figure is Figure.DISTINCT, name)
    if key not in known.memo:
        found = _of_stream(stream, known)
        told = [(fact.stamp.at, None if name is None else fact.properties.get(name)) for fact in found]
        if figure is Figure.DISTINCT:
            told = [(at, (_kind(value), value)) for at, value in told if value is not None]
        elif figure is not Figure.COUNT:
            told = [(at, value) for at, value in told if value is not None and _kind(value) == "number"]
        known.memo[key] = _Series([at for at, _ in told], [value for _, value in told])
    series: _Series = known.memo[key]
    return series


def _kind(value: object) -> str:
    """Values of different kinds are different values, though Python finds True equal to 1."""
    if isinstance(value, bool):
        return "boolean"
    return "text" if isinstance(value, str) else "number"


def _sum(numbers: Iterable[int | Decimal]) -> Fraction:
    with localcontext(SUMS):
        return Fraction(sum(numbers))


def instant_of(field: Instant, known: Known) -> int | None:
    """Registration, latest order that counts or latest login, in microseconds; None where there is none."""
    if field is Instant.LAST_ORDER_DATE:
        return known.orders[-1].at if known.orders else None
    return known.registered_at if field is Instant.REGISTRATION_DATE else known.last_login_at


def purchased(predicate: PurchasePredicate, scene: Scene) -> list[str]:
    """Those of the predicate's names that counting orders within its window hold, in the order named."""
    orders = _within(scene.known.orders, predicate.window, scene.as_of)
    is_product = predicate.kind is Purchase.PRODUCT
    held = frozenset[str]().union(*(order.products if is_product else order.categories for order in orders))
    return [name for name in predicate.names if name in held]


def happened(predicate: SequencePredicate, scene: Scene) -> Match | None:
    """How the sequence has happened by now; None where it has not."""
    known = scene.known
    if predicate not in known.memo:
        known.memo[predicate] = match_of(predicate, lambda step: instants_of(step, known))
    match: Match | None = known.memo[predicate]
    return match if match is not None and match.true_from <= scene.as_of else None


def instants_of(step: Step, known: Known) -> list[int]:
    """When what a step names happened, `not` or no `not`."""
    if step.stream is None:
        return [order.at for order in known.orders]
    return [fact.stamp.at for fact in _of_stream(step.stream, known)]


def _of_stream(stream: Stream, known: Known) -> Sequence[ActivityFact]:
    """Activities of this name that pass every test."""
    if stream not in known.memo:
        known.memo[stream] = [
            fact
            for fact in known.activities
            if fact.name == stream.name and all(_passes(test, fact) for test in stream.where)
        ]
    found: Sequence[ActivityFact] = known.memo[stream]
    return found


def _passes(test: AttributePredicate, fact: ActivityFact) -> bool:
    return attribute_holds(test.operator, fact.properties.get(test.field), test.value)


def _within(found: Sequence[_Dated], window: int | None, as_of: int) -> Sequence[_Dated]:
    """Those of the window; all lie at or before `as_of` and ascend."""
    return found if window is None else found[bisect_right(found, as_of - window, key=_at) :]


def _at(one: Order | Refund) -> int:
    return one.at
