"""Why a customer is in a segment or out of it: each condition with what it looked at, and what time alone will change.

Membership and its instant are what is stored; conditions are judged anew from the facts, by the reference interpreter.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from graphlib import TopologicalSorter
from typing import Any, Final, NamedTuple, Protocol
from uuid import UUID

from service.app.segments import ARCHIVED, Segment
from service.core import instants
from service.core.criteria.fields import Figure
from service.core.criteria.model import (
    ActivityPredicate,
    Criteria,
    NumberPredicate,
    Predicate,
    PurchasePredicate,
    SequencePredicate,
    predicates,
    references,
)
from service.core.criteria.parse import Leaf, parse_criteria, parse_leaves
from service.core.criteria.scalar import value_of, verdict
from service.core.criteria.scalar_changes import instants_of_change
from service.core.criteria.scalar_facts import Fact, Life
from service.core.identity import customer_uuid

#: More facts of one customer are not read.
FACTS_MAX: Final = 100_000
#: Instants that are looked at for a change, and how many facts are read for all of them together.
LOOKS_MAX: Final = 10_000
FACTS_READ_MAX: Final = 20_000_000
#: How much of a caller's text a message repeats.
_TEXT_SHOWN_MAX: Final = 100


class ExplainError(Exception):
    """The question cannot be answered; the message is a sentence that says why."""


class CustomerMissing(ExplainError):
    """No such customer is known, or not any more."""


class Standing(NamedTuple):
    """What is stored under a customer's id."""

    is_erased: bool
    is_known: bool  # a profile, a pin or a membership
    is_over_limit: bool  # more happened within some span than a profile keeps


class Stay(NamedTuple):
    """The latest membership of a customer in a segment."""

    joined_at: datetime
    left_at: datetime | None


class ExplainStore(Protocol):
    """The reads of this use case, all of one instant."""

    async def standing(self, customer_id: UUID) -> Standing:
        """What is stored under this id."""
        ...

    async def facts(self, customer_id: UUID, activity_names: Collection[str], facts_max: int) -> list[Fact]:
        """All facts of a customer, but for activities: of these names and the first; about `facts_max` at most."""
        ...

    async def stay(self, customer_id: UUID, segment_id: UUID) -> Stay | None:
        """The latest membership in a segment; None where there was none."""
        ...

    async def pins(self, customer_id: UUID) -> Mapping[UUID, bool]:
        """The segments in which the customer is pinned: included (True) or excluded (False)."""
        ...

    async def get(self, segment_id: UUID) -> Segment | None:
        """The segment unless it has been deleted."""
        ...


@dataclass(frozen=True)
class Evidence:
    """All that an explanation is made of.

    Attributes:
        leaves: the conditions of the segment's criteria; none for a static one.
        rules: criteria by segment, of this segment and of those it depends on, who is named before who names; None for
            static ones. Segments that are not here have no members.
        pins: included (True) or excluded (False), by segment.
        stay: the latest stored membership.
        is_over_limit: memberships that ask for too many events stand still.
        life: the customer's facts.
    """

    segment: Segment
    leaves: Sequence[Leaf]
    rules: Mapping[UUID, Criteria | None]
    pins: Mapping[UUID, bool]
    stay: Stay | None
    is_over_limit: bool
    life: Life


async def find_evidence(store: ExplainStore, customer: str, segment: Segment) -> Evidence:
    """Reads what is known of a customer, as far as this segment asks for it.

    Args:
        store: the reads, all of one instant.
        customer: the id as the events gave it, or the UUID.
        segment: what is to be explained.

    Raises:
        CustomerMissing: nothing is stored of this customer.
        ExplainError: there is too much of it.
        CriteriaError: stored criteria that this release does not understand.
    """
    customer_id, standing = await known_customer(store, customer)
    leaves = [] if segment.is_static else parse_leaves(segment.criteria)[1]
    rules = await _rules(store, segment)
    asked = [*(leaf.criteria for leaf in leaves), *_criteria_of(rules)]
    facts = await store.facts(customer_id, _activity_names(asked), FACTS_MAX)
    if len(facts) > FACTS_MAX:
        msg = f"This customer has more than {FACTS_MAX} facts, too many to explain one by one; use verify instead"
        raise ExplainError(msg)
    pins, stay = await store.pins(customer_id), await store.stay(customer_id, segment.id)
    return Evidence(segment, leaves, rules, pins, stay, standing.is_over_limit, Life(facts))


async def known_customer(store: ExplainStore, customer: str) -> tuple[UUID, Standing]:
    """Who a caller names, by the id as the events gave it or by the UUID, and what is stored of them.

    Raises:
        CustomerMissing: nothing, or nothing any more.
    """
    shown = customer[:_TEXT_SHOWN_MAX]
    missing = CustomerMissing(f'There is no customer "{shown}"; name one by the id its events carry, or by its UUID')
    try:
        customer_id = customer_uuid(customer)
    except ValueError:
        raise missing from None
    standing = await store.standing(customer_id)
    if standing.is_erased:
        msg = f'The customer "{shown}" has been erased; nothing is known of them any more'
        raise CustomerMissing(msg)
    if not standing.is_known:
        raise missing
    return customer_id, standing


async def _rules(store: ExplainStore, segment: Segment) -> dict[UUID, Criteria | None]:
    """Of this segment, those that it names, those that they name, and so on: the live ones, who is named first."""
    rules: dict[UUID, Criteria | None] = {}
    names: dict[UUID, set[UUID]] = {}
    waiting = [segment]
    while waiting:
        one = waiting.pop()
        criteria = None if one.is_static else parse_criteria(one.criteria)
        if one.is_live:
            rules[one.id] = criteria
        # A draft has no members, but its own conditions are explained all the same.
        is_asked = one.is_live or one.id == segment.id
        names[one.id] = references(criteria) if criteria is not None and is_asked else set()
        for other in sorted(names[one.id] - names.keys()):
            names[other] = set()
            if found := await store.get(other):
                waiting.append(found)
    return {one: rules[one] for one in TopologicalSorter(names).static_order() if one in rules}


def _criteria_of(rules: Mapping[UUID, Criteria | None]) -> list[Criteria]:
    return [criteria for criteria in rules.values() if criteria is not None]


def _activity_names(criteria: Iterable[Criteria]) -> set[str]:
    found = set()
    for one in criteria:
        for predicate in predicates(one):
            if isinstance(predicate, ActivityPredicate):
                found.add(predicate.stream.name)
            elif isinstance(predicate, SequencePredicate):
                found |= {step.stream.name for step in predicate.steps if step.stream is not None}
    return found


def members_at(evidence: Evidence, as_of: int) -> dict[UUID, bool]:
    """Whether the customer belongs to each segment of the rules at an instant, by facts and pins."""
    found: dict[UUID, bool] = {}
    for segment_id, criteria in evidence.rules.items():
        pin = evidence.pins.get(segment_id)
        if pin is None:
            is_member = _members(found)
            found[segment_id] = criteria is not None and verdict(criteria, evidence.life, as_of, is_member)
        else:
            found[segment_id] = pin
    return found


def _members(found: Mapping[UUID, bool]) -> Callable[[UUID], bool]:
    """Segments that are not live have no members."""
    return lambda segment_id: found.get(segment_id, False)


def explain(evidence: Evidence, now: int) -> dict[str, Any]:
    """The explanation, as the command and the API give it.

    Returns:
        member: whether the customer is a member, as stored.
        since: since when it has been so (RFC 3339); None for who never was one.
        changes_at: the first instant after now at which time alone changes it; None if it does not.
        pin: "included", "excluded" or None.
        notes: sentences on what else one must know to read the answer.
        predicates: {path, criteria, value, verdict} of each condition at now; value as criteria.scalar.value_of.
    """
    segment, life = evidence.segment, evidence.life
    members = _members(members_at(evidence, now))
    pin = evidence.pins.get(segment.id)
    stay = evidence.stay
    is_member = segment.is_live and stay is not None and stay.left_at is None
    changes_at, is_open = None, False
    if segment.is_live and pin is None:
        changes_at, is_open = _change(evidence, now, before=members(segment.id))
    notes = _notes(evidence, is_member=is_member, is_true=members(segment.id), is_open=is_open)
    return {
        "member": is_member,
        "since": _since(stay, is_member=is_member),
        "changes_at": None if changes_at is None else instants.to_text(changes_at),
        "pin": None if pin is None else ("included" if pin else "excluded"),
        "notes": notes,
        "predicates": [
            {
                "path": leaf.path,
                "criteria": leaf.source,
                "value": value_of(leaf.criteria, life, now, members),
                "verdict": verdict(leaf.criteria, life, now, members),
            }
            for leaf in evidence.leaves
        ],
    }


def _change(evidence: Evidence, now: int, *, before: bool) -> tuple[int | None, bool]:
    """The first instant at which the segment's verdict is another one, and whether later ones were left out."""
    criteria = _criteria_of(evidence.rules)
    scans = sum(_reads_each_time(predicate) for one in criteria for predicate in predicates(one))
    looks_max = min(LOOKS_MAX, FACTS_READ_MAX // (1 + scans * len(evidence.life.facts)))
    for count, at in enumerate(instants_of_change(criteria, evidence.life, now)):
        if count == looks_max:
            return None, True
        if members_at(evidence, at)[evidence.segment.id] != before:
            return at, False
    return None, False


def _reads_each_time(predicate: Predicate) -> bool:
    """Whether each look at the predicate reads facts one by one; instants are counted at a glance."""
    if isinstance(predicate, ActivityPredicate):
        return predicate.figure is not Figure.COUNT
    return isinstance(predicate, NumberPredicate | PurchasePredicate)


def _since(stay: Stay | None, *, is_member: bool) -> str | None:
    if stay is None:
        return None
    at = stay.joined_at if is_member else stay.left_at
    return None if at is None else instants.to_text(instants.from_datetime(at))


def _notes(evidence: Evidence, *, is_member: bool, is_true: bool, is_open: bool) -> list[str]:
    segment, life = evidence.segment, evidence.life
    found = []
    if segment.status == ARCHIVED:
        found.append("The segment is archived: it has no members.")
    elif not segment.is_live:
        found.append("The segment is a draft: it has no members until it is active.")
    if segment.is_static:
        found.append("The segment is static: it has no criteria, its members are listed by hand or import.")
    elif segment.id in evidence.pins:
        found.append("The customer is pinned here: the criteria do not count until the pin is removed.")
    if not life.facts and not segment.is_static:
        found.append("No event of this customer has been applied: no condition can hold.")
    if is_member != is_true:
        found.append(
            f"By facts and pins the customer is {'in' if is_true else 'out'}, and stored as"
            f" {'in' if is_member else 'out'}: a backfill or a timer has still to come by;"
            " if it stays so, `segments verify` says more."
        )
    if evidence.is_over_limit:
        found.append("More happened than a profile keeps: memberships that ask for it stand still; see `status`.")
    if is_open:
        found.append("Time may still change the membership: there are too many instants to look at all of them.")
    return found
