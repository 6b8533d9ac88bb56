"""The reference interpreter: criteria read literally, for one customer at one instant, from the facts in memory.

It keeps no state, and shares the truth table (criteria.operators) with the other interpreters and nothing else. Slow
and plain on purpose: where interpreters differ, this one says what the language means. `explain` is built on it.
"""

from __future__ import annotations

from decimal import Context, Decimal, Inexact
from fractions import Fraction
from typing import Any, Final

from service.core import instants, money
from service.core.criteria.fields import Number
from service.core.criteria.model import (
    ActivityPredicate,
    AgePredicate,
    All,
    AnyOf,
    AttributePredicate,
    Criteria,
    DatePredicate,
    Not,
    NumberPredicate,
    Predicate,
    PurchasePredicate,
    SequencePredicate,
)
from service.core.criteria.operators import attribute_holds
from service.core.criteria.scalar_facts import Known, Life
from service.core.criteria.scalar_figures import SUMS, Members, Scene, figure_of, happened, instant_of, purchased

#: Averages are compared exactly; those without end are shown with so many digits.
DIGITS_SHOWN: Final = 38
_WHOLE_MAX: Final = 2**63 - 1


def verdict(criteria: Criteria, life: Life, as_of: int, members: Members) -> bool:
    """Whether the customer satisfies criteria at an instant; nobody does who does not exist then.

    Args:
        criteria: the whole of a segment's, or any part of them.
        life: the customer's facts up to any time; those later than `as_of` do not count.
        as_of: microseconds since the epoch.
        members: whether the customer is a member of another segment at `as_of`.
    """
    known = life.known(as_of)
    return known.exists and _holds(criteria, Scene(known, as_of, members))


def value_of(criteria: Criteria, life: Life, as_of: int, members: Members) -> Any:
    """What a condition looked at, for people; numbers are int or exact Decimal, all else is plain JSON.

    - attributes, traits: the value, None where missing
    - instants: RFC 3339; money: decimal text with 2 decimals (an average is rounded half away from zero)
    - counts: int; other figures of activities: the number, None over nothing; only an average without end is rounded
    - purchases: those of the names that counting orders hold; with any and all: such a list for each
    - sequence: the instants of the steps without `not`, None where it has not happened
    - member_of, not_member_of: whether the customer is a member

    Args:
        criteria: one condition as `parse_leaves` gives it.
        life: as for `verdict`.
        as_of: as for `verdict`.
        members: as for `verdict`.
    """
    return _value(criteria, Scene(life.known(as_of), as_of, members))


def _holds(criteria: Criteria, scene: Scene) -> bool:
    if isinstance(criteria, All):
        return all(_holds(part, scene) for part in criteria.parts)
    if isinstance(criteria, AnyOf):
        return any(_holds(part, scene) for part in criteria.parts)
    if isinstance(criteria, Not):
        return not _holds(criteria.part, scene)
    return _predicate_holds(criteria, scene)


def _predicate_holds(predicate: Predicate, scene: Scene) -> bool:
    if isinstance(predicate, AttributePredicate):
        return attribute_holds(predicate.operator, scene.known.attributes.get(predicate.field), predicate.value)
    if isinstance(predicate, NumberPredicate | ActivityPredicate):
        return _compares(predicate.operator, figure_of(predicate, scene), predicate.low, predicate.high)
    if isinstance(predicate, DatePredicate | AgePredicate):
        return _is_in_time(predicate, scene.known, scene.as_of)
    if isinstance(predicate, PurchasePredicate):
        held = purchased(predicate, scene)
        return {"any": bool(held), "all": len(held) == len(predicate.names), "none": not held}[predicate.quantifier]
    if isinstance(predicate, SequencePredicate):
        return happened(predicate, scene) is not None
    return scene.members(predicate.segment_id)


def _compares(operator: str, figure: Fraction | None, low: Decimal, high: Decimal | None) -> bool:
    """The truth table's answer for a figure; a missing one satisfies nothing."""
    if figure is None:
        return False
    if operator == "between":
        assert high is not None  # noqa: S101 - parse gives between two bounds
        return attribute_holds("gte", _order(figure, low), 0) and attribute_holds("lte", _order(figure, high), 0)
    return attribute_holds(operator, _order(figure, low), 0)


def _order(figure: Fraction, bound: Decimal) -> int:
    """1, 0 or -1, which compares with 0 as the figure does with the bound: the table knows no fractions."""
    exact = Fraction(bound)
    return (figure > exact) - (figure < exact)


def _is_in_time(predicate: DatePredicate | AgePredicate, known: Known, as_of: int) -> bool:
    at = instant_of(predicate.field, known)
    if at is None:
        return False
    if isinstance(predicate, AgePredicate):
        return as_of - predicate.span < at <= as_of if predicate.is_within else at <= as_of - predicate.span
    return (predicate.low is None or predicate.low <= at) and (predicate.high is None or at <= predicate.high)


def _value(criteria: Criteria, scene: Scene) -> Any:
    if isinstance(criteria, Not):
        return _value(criteria.part, scene)
    if isinstance(criteria, All | AnyOf):
        # A condition of several predicates is that on purchases with both any and all.
        parts = [part for part in criteria.parts if isinstance(part, PurchasePredicate)]
        return {part.quantifier: purchased(part, scene) for part in parts}
    if isinstance(criteria, AttributePredicate):
        return _json_number(scene.known.attributes.get(criteria.field))
    if isinstance(criteria, NumberPredicate | ActivityPredicate):
        return _json_figure(criteria, figure_of(criteria, scene))
    if isinstance(criteria, DatePredicate | AgePredicate):
        at = instant_of(criteria.field, scene.known)
        return None if at is None else instants.to_text(at)
    if isinstance(criteria, PurchasePredicate):
        return purchased(criteria, scene)
    if isinstance(criteria, SequencePredicate):
        match = happened(criteria, scene)
        return None if match is None else [instants.to_text(at) for at in match.instants]
    return scene.members(criteria.segment_id)


def _json_figure(predicate: NumberPredicate | ActivityPredicate, figure: Fraction | None) -> Any:
    if figure is None:
        return None
    if isinstance(predicate, NumberPredicate) and predicate.field is not Number.TOTAL_ORDERS:
        return money.to_text(_rounded(figure * 100))
    if figure.denominator == 1:
        return _json_number(int(figure))
    numerator, denominator, exact = Decimal(figure.numerator), Decimal(figure.denominator), SUMS.copy()
    quotient = exact.divide(numerator, denominator)
    return Context(prec=DIGITS_SHOWN).divide(numerator, denominator) if exact.flags[Inexact] else quotient


def _rounded(figure: Fraction) -> int:
    """The nearest whole number; halves go away from zero, as everywhere where an average is shown."""
    size = abs(figure)
    rounded = (2 * size.numerator + size.denominator) // (2 * size.denominator)
    return rounded if figure >= 0 else -rounded


def _json_number(value: Any) -> Any:
    """Whole numbers beyond 64 bits as Decimal, which the JSON encoder writes digit by digit."""
    is_wide = isinstance(value, int) and not -_WHOLE_MAX <= value <= _WHOLE_MAX
    return Decimal(value) if is_wide else value
