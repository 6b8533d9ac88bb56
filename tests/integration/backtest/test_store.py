"""Backtest: what the contract says of every past instant, by the facts alone."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st
from sqlalchemy import text

from service.adapters.postgres import backtest as adapter
from service.adapters.postgres.backtest import backtest_store
from service.adapters.postgres.criteria_sql import prepare
from service.adapters.postgres.database import Database
from service.app.backtest import Step
from service.app.preview import TooSlow
from service.core import instants
from service.core.criteria.parse import parse_criteria
from service.core.events.decode import Rules
from service.core.identity import customer_uuid
from tests import oracle, shop
from tests.drafts import NOW as DRAFTS_NOW
from tests.drafts import Draft, cancelled, compare, done, events_of, placed, refunded, updated
from tests.exact import DataSet, data_folder, data_sets
from tests.facts import INSERT_SEGMENT, Service, stored_facts
from tests.integration.backtest.support import DAY, NOW, decoded, expected, steps_of
from tests.property.criteria_cases import line_of
from tests.property.effort import UNCHECKED
from tests.strategies import situations


@settings(max_examples=40, deadline=None, suppress_health_check=UNCHECKED)
@given(situation=situations(), data=st.data())
async def test_equals_the_contract_read_literally(
    database: Database, situation: tuple[list[dict], dict[str, dict]], data: st.DataObject
) -> None:
    """At every instant the members are those of the events up to it, however the instants are divided; so are steps."""
    events, definitions = situation
    spans = {0, *(span for criteria in definitions.values() for span in oracle.spans_of(criteria))}
    edges = {instants.parse(one["time"]) + span + shift for one in events for span in spans for shift in (-1, 0, 1)}
    when = sorted(data.draw(st.sets(st.sampled_from(sorted(edges)), min_size=1, max_size=14)))
    size = data.draw(st.sampled_from([1, 2, 3, 1_000]))
    names = {str(customer_uuid(one["data"]["customer_id"])): one["data"]["customer_id"] for one in events}
    async with stored_facts(database, decoded([line_of(event) for event in events])) as connection:
        await prepare(connection)
        for key, criteria in definitions.items():
            row = {"id": oracle.segment_id(key), "name": "one", "criteria": _json(criteria)}
            row |= {"introduced": 1, "since": 0, "backfill_state": "done"}
            await connection.execute(text(INSERT_SEGMENT), row)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(adapter, "PAIRS_MAX", size)
            told = {key: await steps_of(connection, criteria, when) for key, criteria in definitions.items()}
    literal = [oracle.members_at(events, definitions, at) for at in when]

    for key, criteria in definitions.items():
        note(f"{key}: {criteria}")
        named = [
            Step(s.at, s.count, s.joined, s.left, sorted(names[one] for one in s.members or ())) for s in told[key]
        ]
        assert named == expected([one[key] for one in literal], when)


def _json(criteria: dict[str, Any]) -> str:
    """The criteria as JSON; Decimals as numbers to the last digit."""
    raw = json.loads(line_of({"criteria": criteria}), parse_float=str)  # checks that it is JSON
    assert raw
    return line_of(criteria).decode()


SPENT = {"total_spent": compare("gte", 5)}
VIEWED = {"activity": {"name": "viewed"}}
#: What changes the answer -> (events, criteria, the verdicts at six, five, ... days and no day before NOW).
CHANGES: dict[str, tuple[list[Draft], dict[str, Any], str]] = {
    "existence": ([done("other", 3 * DAY)], {"not": VIEWED}, "...####"),
    "an erasure": ([done("other", 4 * DAY), ("customer.deleted", 2 * DAY, {})], {"not": VIEWED}, "..##..."),
    "an order": ([placed(4 * DAY)], SPENT, "..#####"),
    "a cancelled order": ([placed(4 * DAY), cancelled(2 * DAY)], SPENT, "..##..."),
    "a refund": ([placed(4 * DAY), refunded(2 * DAY, 8, "o")], SPENT, "..##..."),
    "a refund without order": ([placed(4 * DAY), refunded(2 * DAY, 8)], SPENT, "..##..."),
    "a refund that leaves its window": (
        [placed(6 * DAY), refunded(4 * DAY, 8)],
        {"total_spent": compare("lt", 0, window={"days": 2})},
        "..##...",
    ),
    "an order that leaves its window": (
        [placed(4 * DAY)],
        {"purchased_products": {"any": ["p"], "window": {"days": 2}}},
        "..##...",
    ),
    "an order of some age": (
        [placed(5 * DAY)],
        {"last_order_date": {"operator": "more_than_ago", "days": 2}},
        "...####",
    ),
    "a login of some age": (
        [("customer.logged_in", 5 * DAY, {})],
        {"last_login": {"operator": "within_last", "days": 2}},
        ".##....",
    ),
    "an attribute": (
        [("customer.updated", age * DAY, {"customer_type": kind}) for age, kind in ((4, "business"), (1, None))],
        {"customer_type": "business"},
        "..###..",
    ),
    "an activity": ([updated(), done("viewed", 3 * DAY)], VIEWED, "...####"),
    "an activity that leaves its window": (
        [done("viewed", 3 * DAY)],
        {"activity": {"name": "viewed", "window": {"days": 1}}},
        "...#...",
    ),
    "a sequence": (
        [done("viewed", 4 * DAY), placed(2 * DAY)],
        {"sequence": {"steps": [VIEWED, {"order": {}}], "within": {"days": 2}}},
        "....###",
    ),
    "a sequence that ends with nothing": (
        [done("viewed", 5 * DAY)],
        {"sequence": {"steps": [VIEWED, {"order": {}, "not": True}], "within": {"days": 3}}},
        "....###",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
async def test_every_kind_of_change(database: Database, name: str) -> None:
    """Whatever may change an answer is looked at: each kind of fact, and the end of each kind of span."""
    drafts, criteria, verdicts = CHANGES[name]
    when = [DRAFTS_NOW - age * DAY for age in range(6, -1, -1)]
    async with stored_facts(database, events_of(*drafts)) as connection:
        await prepare(connection)
        steps = await steps_of(connection, criteria, when)

    assert "".join(".#"[step.count] for step in steps) == verdicts


@pytest.mark.parametrize("name", data_sets())
async def test_known_answers(database: Database, name: str) -> None:
    """On the sets with known answers segments have exactly the expected members at every known instant."""
    folder = data_folder()
    assert folder is not None
    data = DataSet(folder, name)
    events = decoded(list(data.lines()), Rules(data.currency, 1_048_576, True))
    names = {str(one.customer_id): one.external_id for one in events}
    results = sorted(data.memberships(), key=lambda one: instants.parse(one["as_of"]))
    when = [instants.parse(one["as_of"]) for one in results]
    async with stored_facts(database, events) as connection:
        await prepare(connection)
        for one in data.segments()[:: 1 if name.startswith("edge") else 3]:  # a part of the large ones, for time
            steps = await steps_of(connection, one["criteria"], when)

            members = [set(result["segments"][one["key"]]["members"]) for result in results]
            named = [Step(s.at, s.count, s.joined, s.left, sorted(names[i] for i in s.members or ())) for s in steps]
            assert named == expected(members, when), one["key"]


class TestStore:
    """What the database says."""

    async def test_shop(self, service: Service) -> None:
        """Every kind of segment, by external ids in the order of code points; who was erased never was there."""
        events = shop.events(20, 200)
        when = [shop.START + days * 9 * DAY for days in range(12)]
        late = [("customer.registered", "2024-02-10"), ("customer.logged_in", "2024-02-20")]
        extra = [
            {"type": kind, "time": f"{day}T00:00:00Z", "id": kind, "data": {"customer_id": "late"}}
            for kind, day in late
        ]
        literal = [oracle.members_at([*events, *extra], shop.SEGMENTS, at) for at in when]
        for key, criteria in shop.SEGMENTS.items():
            async with backtest_store(service.database) as store:
                found = [s async for s in store.steps(parse_criteria(criteria), when, has_members=True)]
                plain = [s async for s in store.steps(parse_criteria(criteria), when, has_members=False)]

            assert found == expected([one[key] for one in literal], when), key
            assert [(s.count, s.joined, s.left) for s in plain] == [(s.count, s.joined, s.left) for s in found]
            assert {s.members for s in plain} == {None}

    async def test_pins_of_other_segments(self, service: Service) -> None:
        """Another segment has its present definition at every instant, and a pin from its own instant on."""
        ids = await service.define([{"key": "readers", "criteria": shop.SEGMENTS["readers"]}])
        pinned = instants.parse("2024-03-05T12:00:00Z")
        await service.run(
            "INSERT INTO pins (customer_id, segment_id, is_included, source, created_by, created_at)"
            " VALUES (:customer_id, :segment_id, true, 'manual', 't', :at)",
            customer_id=customer_uuid("late"),
            segment_id=ids["readers"],
            at=instants.to_datetime(pinned),
        )
        when = [instants.parse("2024-02-15T00:00:00Z"), pinned - 1, pinned, NOW]
        asked = parse_criteria({"member_of": str(ids["readers"])})
        async with backtest_store(service.database) as store:
            found = [step async for step in store.steps(asked, when, has_members=True)]

        literal = [oracle.members_at(shop.events(20, 200), shop.SEGMENTS, at)["readers"] for at in when]
        assert [set(step.members or ()) for step in found] == [*literal[:2], *(one | {"late"} for one in literal[2:])]

    async def test_stopped(self, service: Service) -> None:
        """Where there is a limit it is one for all statements together."""

        async def two_naps() -> None:
            async with backtest_store(service.database, 0.3, "SEGMENTS_X") as store:
                for _ in range(2):
                    await store.limit_statements()
                    await store.connection.execute(text("SELECT pg_sleep(0.2)"))

        with pytest.raises(TooSlow, match="SEGMENTS_X"):
            await two_naps()
