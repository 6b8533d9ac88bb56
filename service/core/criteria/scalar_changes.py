"""The instants at which time alone may change the truth of criteria for one customer."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from heapq import merge
from itertools import islice

from service.core.criteria.fields import Instant
from service.core.criteria.model import (
    ActivityPredicate,
    AgePredicate,
    Criteria,
    NumberPredicate,
    Predicate,
    PurchasePredicate,
    SequencePredicate,
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
)
from service.core.instants import INSTANT_MAX

#: What spans begin with: ("activity", name), or a word for what happened.
_Kind = tuple[str, ...]
_ORDER: _Kind = ("order",)
_REFUND: _Kind = ("refund",)
_REGISTRATION: _Kind = ("registration",)
_LOGIN: _Kind = ("login",)


def instants_of_change(criteria: Iterable[Criteria], life: Life, after: int) -> Iterator[int]:
    """Every instant later than `after` at which a verdict on any of these criteria may differ from just before.

    What happened at t flips a predicate of span W at t + W and at no other instant; a fact whose time has not come may
    flip any when it comes. Most of these instants change nothing. Ascending, free of repeats, found as they are asked
    for.
    """
    begins: dict[_Kind, list[int]] = {}
    for fact in life.facts:
        begins.setdefault(_kind_of(fact), []).append(fact.stamp.at)
    spans = {(kind, span) for one in criteria for predicate in predicates(one) for kind, span in _spans(predicate)}
    series = [_shifted(begins[kind], span, after) for kind, span in spans if kind in begins]
    last = after
    for at in merge(_shifted([fact.stamp.at for fact in life.facts], 0, after), *series):
        if at > INSTANT_MAX:
            return
        if at > last:
            last = at
            yield at


def _shifted(instants: list[int], span: int, after: int) -> Iterator[int]:
    """The instants, `span` later, as far as that is later than `after`."""
    return (at + span for at in islice(instants, bisect_right(instants, after - span), None))


def _spans(predicate: Predicate) -> list[tuple[_Kind, int]]:
    """What the predicate's spans begin with, and their length."""
    if isinstance(predicate, AgePredicate):
        kinds = {
            Instant.REGISTRATION_DATE: _REGISTRATION,
            Instant.LAST_ORDER_DATE: _ORDER,
            Instant.LAST_LOGIN: _LOGIN,
        }
        return [(kinds[predicate.field], predicate.span)]
    if isinstance(predicate, SequencePredicate):
        stream = predicate.steps[0].stream
        return [(_ORDER if stream is None else ("activity", stream.name), predicate.within)]
    if isinstance(predicate, ActivityPredicate) and predicate.window:
        return [(("activity", predicate.stream.name), predicate.window)]
    if isinstance(predicate, NumberPredicate | PurchasePredicate) and predicate.window:
        return [(_ORDER, predicate.window), (_REFUND, predicate.window)]
    return []


def _kind_of(fact: Fact) -> _Kind:
    if isinstance(fact, ActivityFact):
        return ("activity", fact.name)
    if isinstance(fact, OrderFact):
        return _ORDER if fact.kind == PLACED else ()
    if isinstance(fact, AttributesFact):
        return _REGISTRATION if fact.is_registration else ()
    if isinstance(fact, MomentFact):
        return _LOGIN if fact.kind == LOGGED_IN else ()
    return _REFUND
