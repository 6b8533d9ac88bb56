"""The instants at which time alone may change the truth of criteria for one customer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from service.core.criteria.fields import Instant
from service.core.criteria.model import (
    ActivityPredicate,
    AgePredicate,
    Criteria,
    NumberPredicate,
    Predicate,
    PurchasePredicate,
    SequencePredicate,
    Stream,
    predicates,
)
from service.core.criteria.scalar_facts import (
    LOGGED_IN,
    PLACED,
    ActivityFact,
    AttributesFact,
    Fact,
    Life,
    MomentFact,
    OrderFact,
    RefundFact,
)
from service.core.instants import INSTANT_MAX

_PURCHASES: Final = (OrderFact, RefundFact)


def instants_of_change(criteria: Iterable[Criteria], life: Life, after: int) -> list[int]:
    """Every instant later than `after` at which a verdict on any of these criteria may differ from just before.

    What happened at t flips a predicate of span W at t + W and at no other instant; a fact whose time has not come may
    flip any when it comes. Most of these instants change nothing. Ascending, free of repeats.
    """
    found = {fact.stamp.at for fact in life.facts if fact.stamp.at > after}
    for predicate in {predicate for one in criteria for predicate in predicates(one)}:
        span = _span(predicate)
        if span is not None:
            found |= {fact.stamp.at + span for fact in life.facts if _concerns(predicate, fact)}
    return sorted(at for at in found if after < at <= INSTANT_MAX)


def _span(predicate: Predicate) -> int | None:
    if isinstance(predicate, AgePredicate):
        return predicate.span
    if isinstance(predicate, SequencePredicate):
        return predicate.within
    if isinstance(predicate, NumberPredicate | PurchasePredicate | ActivityPredicate):
        return predicate.window
    return None


def _concerns(predicate: Predicate, fact: Fact) -> bool:
    """Whether the predicate's span may begin with this fact."""
    if isinstance(predicate, AgePredicate):
        return {
            Instant.REGISTRATION_DATE: isinstance(fact, AttributesFact) and fact.is_registration,
            Instant.LAST_LOGIN: isinstance(fact, MomentFact) and fact.kind == LOGGED_IN,
            Instant.LAST_ORDER_DATE: isinstance(fact, OrderFact) and fact.kind == PLACED,
        }[predicate.field]
    if isinstance(predicate, ActivityPredicate):
        return _is_of(predicate.stream, fact)
    if isinstance(predicate, SequencePredicate):
        return _is_of(predicate.steps[0].stream, fact)
    return isinstance(fact, _PURCHASES)


def _is_of(stream: Stream | None, fact: Fact) -> bool:
    if stream is None:
        return isinstance(fact, OrderFact) and fact.kind == PLACED
    return isinstance(fact, ActivityFact) and fact.name == stream.name
