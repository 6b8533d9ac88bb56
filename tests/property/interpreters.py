"""The three interpreters of the language and the oracle, each as a function from criteria and events to answers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple
from uuid import UUID

from service.adapters.postgres.criteria_sql import verdicts_of
from service.adapters.postgres.known_segments import KnownSegment
from service.core import instants
from service.core.criteria.parse import parse_criteria
from service.core.criteria.scalar import verdict
from service.core.events.model import Event
from service.core.identity import customer_uuid
from service.core.profiles.profile import Profile
from tests import oracle
from tests.facts import fetch
from tests.lives import life_of
from tests.offline import Engine, catalogue_of


class Case(NamedTuple):
    """One question: does this hold for this customer at this instant?"""

    customer: str
    as_of: int
    key: str  # of the criteria


Answers = dict[Case, bool]


def columnar(several: dict[str, dict], events: list[Event], as_of: int) -> tuple[Answers, list[Profile]]:
    """The hot path's answers, and its profiles: folded from events as they arrive, in three batches with repeats."""
    engine = Engine(catalogue_of([{"key": key, "criteria": one} for key, one in several.items()]), as_of, "EUR")
    due = [event for event in events if event.at <= as_of]
    third = len(due) // 3
    engine.batch(due[:third])
    engine.batch(due[third : 2 * third])
    engine.batch([*due[2 * third :], *due[:2]])
    engine.expire(as_of)
    members = engine.members()
    known = [profile.external_id for profile in engine.profiles.values()]
    found = {Case(customer, as_of, key): customer in members[key] for customer in known for key in several}
    return found, list(engine.profiles.values())


def scalar(several: dict[str, dict], events: list[Event], as_of: int) -> Answers:
    """The answers of the reference interpreter, each customer's life read whole, later events included."""
    parsed = {UUID(oracle.segment_id(key)): parse_criteria(one) for key, one in several.items()}
    found: Answers = {}
    for customer in {event.external_id for event in events if event.at <= as_of}:
        life = life_of(event for event in events if event.external_id == customer)

        def is_member(segment_id: UUID, life: Any = life) -> bool:
            return segment_id in parsed and verdict(parsed[segment_id], life, as_of, is_member)

        for key in several:
            found[Case(customer, as_of, key)] = is_member(UUID(oracle.segment_id(key)))
    return found


def literal(several: dict[str, dict], events: list[dict], as_of: int) -> Answers:
    """The answers of the oracle, which shares nothing with the service."""
    members = oracle.members_at(events, several, as_of)
    known = {event["data"]["customer_id"] for event in events if oracle.micros(event["time"]) <= as_of}
    return {Case(customer, as_of, key): customer in members[key] for customer in known for key in several}


async def by_facts(connection: Any, several: dict[str, dict], customers: Iterable[str], moments: list[int]) -> Answers:
    """The answers of SQL over the facts."""
    names = {customer_uuid(customer): customer for customer in customers}
    subjects = [(customer_id, as_of) for customer_id in names for as_of in moments]
    parsed = {key: parse_criteria(one) for key, one in several.items()}
    segments = {UUID(oracle.segment_id(key)): KnownSegment(one, True) for key, one in parsed.items()}
    rows = await fetch(connection, verdicts_of(list(parsed.values()), subjects, segments))
    return {
        Case(names[row.customer_id], instants.from_datetime(row.as_of), key): verdict
        for row in rows
        for key, verdict in zip(several, row.verdicts, strict=True)
    }


def differences(answers: dict[str, Answers], several: dict[str, dict]) -> list[str]:
    """The cases on which not all interpreters say the same, or which some do not know."""
    found = []
    for case in set().union(*answers.values()):
        told = {name: one.get(case) for name, one in answers.items()}
        if len(set(told.values())) > 1:
            found.append(f"{case.customer} at {instants.to_text(case.as_of)}: {told}: {several[case.key]}")
    return sorted(found)
