"""What predicates look at, computed literally from what is known of one customer at one instant."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from typing import Final, NamedTuple
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
from service.core.criteria.scalar_facts import ActivityFact, Known
from service.core.criteria.scalar_sequence import Match, match_of

Members = Callable[[UUID], bool]

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
    orders = [order for order in known.orders if _is_within(order.at, window, scene.as_of)]
    if predicate.field is Number.TOTAL_ORDERS:
        return Fraction(len(orders))
    returned = sum(amount for at, amount in known.refunds if _is_within(at, window, scene.as_of))
    spent = Fraction(sum(order.amount for order in orders) - returned, 100)
    if predicate.field is Number.TOTAL_SPENT:
        return spent
    return spent / len(orders) if orders else None


def _of_activities(predicate: ActivityPredicate, scene: Scene) -> Fraction | None:
    found = [
        fact
        for fact in _of_stream(predicate.stream, scene.known)
        if _is_within(fact.stamp.at, predicate.window, scene.as_of)
    ]
    if predicate.figure is Figure.COUNT:
        return Fraction(len(found))
    assert predicate.property is not None  # noqa: S101 - only count has none
    values = [value for fact in found if (value := fact.properties.get(predicate.property)) is not None]
    if predicate.figure is Figure.DISTINCT:
        return Fraction(len({(_kind(value), value) for value in values}))
    numbers = [value for value in values if _kind(value) == "number"]
    if predicate.figure is Figure.SUM:
        return _sum(numbers)
    if not numbers:
        return None
    if predicate.figure is Figure.AVG:
        return _sum(numbers) / len(numbers)
    return Fraction(min(numbers) if predicate.figure is Figure.MIN else max(numbers))


def _kind(value: object) -> str:
    """Values of different kinds are different values, though Python finds True equal to 1."""
    if isinstance(value, bool):
        return "boolean"
    return "text" if isinstance(value, str) else "number"


def _sum(numbers: Iterable[int | Decimal]) -> Fraction:
    with localcontext(SUMS):
        return Fraction(sum(numbers, Decimal(0)))


def instant_of(field: Instant, known: Known) -> int | None:
    """Registration, latest order that counts or latest login, in microseconds; None where there is none."""
    if field is Instant.LAST_ORDER_DATE:
        return max((order.at for order in known.orders), default=None)
    return known.registered_at if field is Instant.REGISTRATION_DATE else known.last_login_at


def purchased(predicate: PurchasePredicate, scene: Scene) -> list[str]:
    """Those of the predicate's names that counting orders within its window hold, in the order named."""
    orders = [order for order in scene.known.orders if _is_within(order.at, predicate.window, scene.as_of)]
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


def _is_within(at: int, window: int | None, as_of: int) -> bool:
    return window is None or as_of - window < at <= as_of
