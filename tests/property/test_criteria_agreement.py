"""One language, three interpreters and the oracle: columns over profiles, SQL over facts, scalar; never do they differ.

A case is one criteria for one customer at one instant. `make fuzz` asks for many times as many.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from service.adapters.postgres.criteria_sql import verdicts_of
from service.adapters.postgres.database import Database
from service.adapters.postgres.known_segments import KnownSegment
from service.core import instants, money
from service.core.criteria.fields import LOCATION_PARTS
from service.core.criteria.parse import parse_criteria
from service.core.criteria.scalar import verdict
from service.core.events.model import Event
from service.core.identity import customer_uuid
from service.core.profiles.profile import Profile
from tests import oracle
from tests.facts import fetch, stored_facts
from tests.lives import life_of
from tests.offline import Engine, catalogue_of
from tests.property.criteria_cases import criteria_lists, line_of
from tests.property.effort import FACTOR, examples
from tests.property.event_cases import event_lists
from tests.property.value_cases import CUSTOMERS, KEYS, PLACES, as_of_instants

LATER = instants.parse("2030-01-01T00:00:00Z")
DATES = {"registration_date": "registered_at", "last_order_date": "last_order_at", "last_login": "last_login_at"}
ATTRIBUTES = {"customer_type": ("individual", "business"), "email_subscribed": (True, False)}
UNCHECKED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
CRITERIA = 12
CASES_MIN = 2_000 * FACTOR


class Case(NamedTuple):
    """One question: does this hold for this customer at this instant?"""

    customer: str
    as_of: int
    key: str  # of the criteria


Answers = dict[Case, bool]


@pytest.fixture
def compared(capsys: pytest.CaptureFixture[str]) -> Iterator[Counter[str]]:
    """Counts the cases; tells and checks their number at the end."""
    found: Counter[str] = Counter()
    yield found
    with capsys.disabled():
        told = ", ".join(f"{count:,} {name}" for name, count in found.items())
        print(f"\n{told}")  # noqa: T201 - the number is what one wants to see
    assert found["cases compared"] >= CASES_MIN


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


async def by_facts(connection: Any, several: dict[str, dict], moments: list[int]) -> Answers:
    """The answers of SQL over the facts."""
    names = {customer_uuid(customer): customer for customer in CUSTOMERS}
    subjects = [(customer_id, as_of) for customer_id in names for as_of in moments]
    parsed = {key: parse_criteria(one) for key, one in several.items()}
    segments = {UUID(oracle.segment_id(key)): KnownSegment(one, True) for key, one in parsed.items()}
    rows = await fetch(connection, verdicts_of(list(parsed.values()), subjects, segments))
    return {
        Case(names[row.customer_id], instants.from_datetime(row.as_of), key): verdict
        for row in rows
        for key, verdict in zip(several, row.verdicts, strict=True)
    }


def portrait(profile: Profile) -> dict[str, Any]:
    """Criteria that hold for exactly this profile's figures and attributes."""
    spent = money.to_text(profile.total_spent)
    parts: list[dict[str, Any]] = [
        {"total_orders": {"operator": "between", "min_value": profile.total_orders, "max_value": profile.total_orders}},
        *({"total_spent": {"operator": operator, "value": spent}} for operator in ("eq", "gte", "lte")),
        {"not": {"any": [{"total_spent": {"operator": operator, "value": spent}} for operator in ("gt", "lt")]}},
    ]
    for criterion, column in DATES.items():
        at = getattr(profile, column)
        if at == instants.MISSING:
            parts.append({"not": {criterion: {"operator": "after", "date": "0001-01-02"}}})
        else:
            day = instants.to_text(at)
            parts.append({criterion: {"operator": "between", "start_date": day, "end_date": day}})
    for key in KEYS:
        value = profile.attribute(f"traits.{key}")
        test = {"operator": "exists", "value": False} if value is None else {"operator": "eq", "value": value}
        parts.append({"traits": {key: test}})
    for field in ("customer_type", "email_subscribed"):
        value = profile.attribute(field)
        either = [{field: one} for one in ATTRIBUTES[field]]
        parts.append({"not": {"any": either}} if value is None else {field: value})
    for plural, field in LOCATION_PARTS.items():
        value = profile.attribute(field)
        part = {"location": {plural: list(PLACES) if value is None else [value]}}
        parts.append({"not": part} if value is None else part)
    return {"all": parts}


def differences(answers: dict[str, Answers], several: dict[str, dict]) -> list[str]:
    """The cases on which not all interpreters say the same, or which some do not know."""
    found = []
    for case in set().union(*answers.values()):
        told = {name: one.get(case) for name, one in answers.items()}
        if len(set(told.values())) > 1:
            found.append(f"{case.customer} at {instants.to_text(case.as_of)}: {told}: {several[case.key]}")
    return sorted(found)


@settings(max_examples=examples(120), deadline=None, suppress_health_check=UNCHECKED)
@given(
    events=event_lists(),
    several=criteria_lists(CRITERIA),
    moments=st.lists(as_of_instants, min_size=3, max_size=4, unique=True),
)
async def test_all_interpreters_agree(
    database: Database, compared: Counter[str], events: list[dict], several: dict[str, dict], moments: list[int]
) -> None:
    """For every customer, criteria and instant all give the same answer, and all know the same customers."""
    reader = Engine(catalogue_of([]), LATER, "EUR")
    decoded = reader.read(map(line_of, events))
    answers: dict[str, Answers] = {"columns": {}, "scalar": {}, "oracle": {}}
    portraits: dict[Case, dict] = {}
    for as_of in moments:
        found, profiles = columnar(several, decoded, as_of)
        answers["columns"] |= found
        answers["scalar"] |= scalar(several, decoded, as_of)
        answers["oracle"] |= literal(several, events, as_of)
        for profile in profiles:
            case = Case(profile.external_id, as_of, f"portrait {len(portraits)}")
            portraits[case] = portrait(profile)

    drawn = {case.key: one for case, one in portraits.items()}
    async with stored_facts(database, decoded) as connection:
        told = await by_facts(connection, several | drawn, moments)
    answers["SQL"] = {case: verdict for case, verdict in told.items() if case.key in several}
    compared["cases compared"] += len(answers["SQL"])
    compared["of them true"] += sum(answers["SQL"].values())

    differing = differences(answers, several)
    for one in differing:
        note(one)
    assert not reader.rejected
    assert not differing
    assert [portraits[case] for case in portraits if not told[case]] == []
