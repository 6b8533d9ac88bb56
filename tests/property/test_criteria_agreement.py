"""One language, three interpreters and the oracle: columns over profiles, SQL over facts, scalar; never do they differ.

A case is one criteria for one customer at one instant. `make fuzz` asks for many times as many.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from service.adapters.postgres.database import Database
from service.core import instants, money
from service.core.criteria.fields import LOCATION_PARTS
from service.core.criteria.operators import ATTRIBUTE_OPERATORS, NUMBER_OPERATORS
from service.core.criteria.parse import CriteriaError, parse_criteria
from service.core.profiles.profile import Profile
from tests.facts import stored_facts
from tests.offline import Engine, catalogue_of
from tests.property.criteria_cases import CRITERIA_KEYS, criteria_lists, line_of
from tests.property.effort import UNCHECKED, examples
from tests.property.event_cases import event_lists
from tests.property.interpreters import Answers, Case, by_facts, columnar, differences, literal, scalar
from tests.property.value_cases import COMPARE, CUSTOMERS, KEYS, PLACES, PROPERTY_TESTS, as_of_instants

LATER = instants.parse("2030-01-01T00:00:00Z")
DATES = {"registration_date": "registered_at", "last_order_date": "last_order_at", "last_login": "last_login_at"}
ATTRIBUTES = {"customer_type": ("individual", "business"), "email_subscribed": (True, False)}
CRITERIA = 12


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


def test_all_of_the_language_is_generated() -> None:
    """Whatever the parser reads is among the cases below: every criterion, and every operator of the truth table."""
    with pytest.raises(CriteriaError) as caught:
        parse_criteria({"no such criterion": 1})
    told = caught.value.faults[0].message.removeprefix("is no criterion; use one of ").split(", ")

    assert set(PROPERTY_TESTS) == set(ATTRIBUTE_OPERATORS)
    assert {*COMPARE, "between"} == set(NUMBER_OPERATORS)
    assert {*CRITERIA_KEYS, "all", "any", "not"} == set(told)


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
        told = await by_facts(connection, several | drawn, CUSTOMERS, moments)
    answers["SQL"] = {case: verdict for case, verdict in told.items() if case.key in several}
    compared["cases compared"] += len(answers["SQL"])
    compared["of them true"] += sum(answers["SQL"].values())

    differing = differences(answers, several)
    for one in differing:
        note(one)
    assert not reader.rejected
    assert not differing
    assert [portraits[case] for case in portraits if not told[case]] == []
