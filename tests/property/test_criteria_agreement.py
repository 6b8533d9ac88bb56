"""One language, two interpreters: the columnar one over profiles and the SQL one over facts never disagree."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from service.adapters.postgres.criteria_sql import verdicts_of
from service.adapters.postgres.database import Database
from service.core import instants
from service.core.criteria.parse import parse_criteria
from service.core.events.model import Event
from service.core.identity import customer_uuid
from tests.facts import fetch, stored_facts
from tests.offline import Engine, catalogue_of
from tests.property.criteria_cases import CUSTOMERS, as_of_instants, criteria, event_lists, line_of

LATER = instants.parse("2030-01-01T00:00:00Z")


def columnar(segments: list[dict], events: list[Event], as_of: int) -> dict[tuple[str, str], bool]:
    """(customer, key) -> member, by the hot path: profiles folded from events as they arrive, in two batches."""
    engine = Engine(catalogue_of(segments), as_of, "EUR")
    due = [event for event in events if event.at <= as_of]
    half = len(due) // 2
    engine.batch(due[:half])
    engine.batch([*due[half:], *due[:2]])
    engine.expire(as_of)
    members = engine.members()
    known = {profile.external_id for profile in engine.profiles.values()}
    return {(customer, one["key"]): customer in members[one["key"]] for customer in known for one in segments}


async def by_facts(
    connection: Any, segments: list[dict], pairs: list[tuple[str, int]]
) -> dict[int, dict[tuple[str, str], bool]]:
    """instant -> (customer, key) -> member, by SQL over the facts."""
    names = {customer_uuid(customer): customer for customer in CUSTOMERS}
    subjects = [(customer_uuid(customer), as_of) for customer, as_of in pairs]
    found: dict[int, dict[tuple[str, str], bool]] = {as_of: {} for _, as_of in pairs}
    asked = verdicts_of([parse_criteria(one["criteria"]) for one in segments], subjects)
    for customer_id, as_of, verdicts in await fetch(connection, asked):
        of_instant = found[instants.from_datetime(as_of)]
        for one, verdict in zip(segments, verdicts, strict=True):
            of_instant[names[customer_id], one["key"]] = verdict
    return found


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    events=event_lists(),
    several=st.lists(criteria, min_size=6, max_size=12),
    moments=st.lists(as_of_instants, min_size=2, max_size=4, unique=True),
)
async def test_columns_and_sql_agree(
    database: Database, events: list[dict], several: list[dict], moments: list[int]
) -> None:
    """For every customer, criteria and instant both give the same answer, and find the same customers."""
    segments = [{"key": str(place), "criteria": one} for place, one in enumerate(several)]
    reader = Engine(catalogue_of([]), LATER, "EUR")
    decoded = reader.read(map(line_of, events))
    expected = {as_of: columnar(segments, decoded, as_of) for as_of in moments}
    async with stored_facts(database, decoded) as connection:
        found = await by_facts(connection, segments, [(one, as_of) for one in CUSTOMERS for as_of in moments])
    for as_of in moments:
        for key in expected[as_of].keys() | found[as_of].keys():
            if expected[as_of].get(key) is not found[as_of].get(key):
                note(f"{key} at {instants.to_text(as_of)}: {several[int(key[1])]}")

    assert not reader.rejected
    assert found == expected
