"""What time alone can do to criteria: make them true, make them false, both or neither."""

from __future__ import annotations

from typing import NamedTuple

from service.core.criteria.fields import Figure, Number
from service.core.criteria.model import (
    ActivityPredicate,
    AgePredicate,
    All,
    AnyOf,
    Criteria,
    MemberPredicate,
    Not,
    NumberPredicate,
    PurchasePredicate,
    SequencePredicate,
)


class ByTime(NamedTuple):
    """Whether criteria may become true, or false, without an event."""

    true: bool
    false: bool


_NEVER = ByTime(False, False)
_EITHER = ByTime(True, True)
_ONLY_FALSE = ByTime(False, True)
_ONLY_TRUE = ByTime(True, False)


def by_time(criteria: Criteria) -> ByTime:
    """What time alone may do to these criteria; where that is not plain, either.

    That is for customers whose orders and refunds only ever add to what they spent: without negative amounts, what was
    spent within a window only falls.
    """
    if isinstance(criteria, Not):
        inner = by_time(criteria.part)
        return ByTime(inner.false, inner.true)
    if isinstance(criteria, All | AnyOf):
        parts = [by_time(part) for part in criteria.parts]
        return ByTime(any(part.true for part in parts), any(part.false for part in parts))
    if isinstance(criteria, AgePredicate):
        return _ONLY_FALSE if criteria.is_within else _ONLY_TRUE
    if isinstance(criteria, PurchasePredicate):
        if criteria.window is None:
            return _NEVER
        return _ONLY_TRUE if criteria.quantifier == "none" else _ONLY_FALSE
    if isinstance(criteria, SequencePredicate):
        return _ONLY_TRUE if criteria.steps[-1].is_not else _NEVER
    if isinstance(criteria, MemberPredicate):
        return _EITHER
    if isinstance(criteria, NumberPredicate | ActivityPredicate) and criteria.window is not None:
        return _figure(criteria)
    return _NEVER


def _figure(predicate: NumberPredicate | ActivityPredicate) -> ByTime:
    """A windowed figure: what falls as entries leave, and what may go either way."""
    if isinstance(predicate, NumberPredicate):
        is_count, is_max = predicate.field is not Number.AVERAGE_ORDER_VALUE, False
    else:
        is_count, is_max = predicate.figure in (Figure.COUNT, Figure.DISTINCT), predicate.figure is Figure.MAX
    if predicate.operator in ("gt", "gte") and (is_count or is_max):
        return _ONLY_FALSE
    if predicate.operator in ("lt", "lte") and is_count:
        return _ONLY_TRUE
    return _EITHER
