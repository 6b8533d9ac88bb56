"""One language, two interpreters: the columnar one over profiles and the SQL one over facts never disagree."""

from __future__ import annotations

from typing import Any, NamedTuple

from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from service.adapters.postgres.criteria_sql import verdicts_of
from service.adapters.postgres.database import Database
from service.core import instants, money
from service.core.criteria.fields import LOCATION_PARTS
from service.core.criteria.parse import parse_criteria
from service.core.events.model import Event
from service.core.identity import customer_uuid
from service.core.profiles.profile import Profile
from tests.facts import fetch, stored_facts
from tests.offline import Engine, catalogue_of
from tests.property.criteria_cases import CUSTOMERS, KEYS, PLACES, as_of_instants, criteria, event_lists, line_of

LATER = instants.parse("2030-01-01T00:00:00Z")
DATES = {"registration_date": "registered_at", "last_order_date": "last_order_at", "last_login": "last_login_at"}
ATTRIBUTES = {"customer_type": ("individual", "business"), "email_subscribed": (True, False)}
UNCHECKED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]


class Case(NamedTuple):
    """One question: does this hold for this customer at this instant?"""

    customer: str
    as_of: int
    place: int  # of the criteria


def columnar(several: list[dict], events: list[Event], as_of: int) -> tuple[dict[Case, bool], list[Profile]]:
    """The hot path's answers, and its profiles: folded from events as they arrive, in three batches with repeats."""
    engine = Engine(
        catalogue_of([{"key": str(place), "criteria": one} for place, one in enumerate(several)]), as_of, "EUR"
    )
    due = [event for event in events if event.at <= as_of]
    third = len(due) // 3
    engine.batch(due[:third])
    engine.batch(due[third : 2 * third])
    engine.batch([*due[2 * third :], *due[:2]])
    engine.expire(as_of)
    members = engine.members()
    known = [profile.external_id for profile in engine.profiles.values()]
    places = range(len(several))
    found = {Case(customer, as_of, place): customer in members[str(place)] for customer in known for place in places}
    return found, list(engine.profiles.values())


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


async def by_facts(connection: Any, several: list[dict], moments: list[int]) -> dict[Case, bool]:
    """The answers of SQL over the facts."""
    names = {customer_uuid(customer): customer for customer in CUSTOMERS}
    subjects = [(customer_id, as_of) for customer_id in names for as_of in moments]
    rows = await fetch(connection, verdicts_of([parse_criteria(one) for one in several], subjects))
    return {
        Case(names[row.customer_id], instants.from_datetime(row.as_of), place): verdict
        for row in rows
        for place, verdict in enumerate(row.verdicts)
    }


@settings(max_examples=120, deadline=None, suppress_health_check=UNCHECKED)
@given(
    events=event_lists(),
    several=st.lists(criteria, min_size=8, max_size=12),
    moments=st.lists(as_of_instants, min_size=3, max_size=4, unique=True),
)
async def test_columns_and_sql_agree(
    database: Database, events: list[dict], several: list[dict], moments: list[int]
) -> None:
    """For every customer, criteria and instant both give the same answer, and both know the same customers."""
    reader = Engine(catalogue_of([]), LATER, "EUR")
    decoded = reader.read(map(line_of, events))
    expected: dict[Case, bool] = {}
    portraits: dict[Case, dict] = {}
    for as_of in moments:
        found, profiles = columnar(several, decoded, as_of)
        expected |= found
        for profile in profiles:
            case = Case(profile.external_id, as_of, len(several) + len(portraits))
            portraits[case] = portrait(profile)

    async with stored_facts(database, decoded) as connection:
        told = await by_facts(connection, [*several, *portraits.values()], moments)

    for case, verdict in expected.items():
        if told.get(case) is not verdict:
            note(f"{case.customer} at {instants.to_text(case.as_of)}: {several[case.place]}")
    assert not reader.rejected
    assert {case: verdict for case, verdict in told.items() if case.place < len(several)} == expected
    assert [one for case, one in portraits.items() if not told[case]] == []
