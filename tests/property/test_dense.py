"""Sequences and figures where much happens in little time: one customer, few names, ties and exact edges everywhere."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from service.adapters.postgres.database import Database
from service.core import instants
from tests import oracle
from tests.facts import stored_facts
from tests.offline import Engine, catalogue_of, collapsed
from tests.property.criteria_cases import line_of
from tests.property.effort import UNCHECKED, examples
from tests.property.interpreters import Answers, by_facts, columnar, differences, literal, scalar

START = instants.parse("2024-01-01T00:00:00Z")
MINUTES = 12
LATER = START + 3 * MINUTES * instants.MINUTE
CRITERIA = 10


def a_stream(chance: Random) -> dict[str, Any]:
    """Activities of a name, sometimes only those with a number."""
    where = {"where": {"n": {"operator": "eq", "value": 1}}} if chance.random() < 0.2 else {}
    return {"name": chance.choice("abc"), **where}


def a_sequence(chance: Random) -> dict[str, Any]:
    """Two to six steps, the later ones of which may be nots: any of them, or every other one."""
    is_alternating = chance.random() < 0.5
    steps: list[dict[str, Any]] = []
    for place in range(chance.randint(2, 6)):
        step = {"order": {}} if chance.random() < 0.2 else {"activity": a_stream(chance)}
        is_not = place % 2 == 1 if is_alternating else place > 0 and chance.random() < 0.3
        steps.append({**step, "not": True} if is_not else step)
    return {"sequence": {"steps": steps, "within": {"minutes": chance.randint(1, MINUTES)}}}


def a_figure(chance: Random) -> dict[str, Any]:
    """A figure of activities, often within a window."""
    figure = chance.choice(("count", "sum", "avg", "min", "max", "distinct"))
    test = {"operator": chance.choice(("eq", "gt", "gte", "lt", "lte")), "value": chance.choice((0, 1, 2, 3, "1.5", 5))}
    window = {"window": {"minutes": chance.randint(1, MINUTES)}} if chance.random() < 0.7 else {}
    return {"activity": {**a_stream(chance), figure: test if figure == "count" else test | {"property": "n"}, **window}}


def an_event(chance: Random, number: int) -> dict[str, Any]:
    """What one customer did at some minute."""
    order = {"order_id": chance.choice(("o1", "o2"))}
    activity = {"name": chance.choice("abc"), "properties": {"n": chance.choice((1, 1, 1.0, 2, 2.5, "1", True, None))}}
    kind, data = chance.choices(
        [
            ("customer.activity", activity),
            ("order.placed", {**order, "currency": "EUR", "total": 1}),
            ("order.cancelled", order),
        ],
        weights=[7, 2, 1],
    )[0]
    return {
        "specversion": "1.0",
        "id": f"e{number:02d}",
        "type": kind,
        "time": instants.to_text(START + chance.randrange(MINUTES) * instants.MINUTE),
        "data": {"customer_id": "ann", **data},
    }


@st.composite
def dense_situations(draw: st.DrawFn) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
    """Events in the order of arrival, and criteria by key; by plain chance, whose examples are less alike."""
    chance = draw(st.randoms(use_true_random=True))
    events = [an_event(chance, number) for number in range(chance.randint(4, 25))]
    kinds = (a_sequence, a_sequence, a_figure)
    return events, {str(place): chance.choice(kinds)(chance) for place in range(CRITERIA)}


@settings(max_examples=examples(400), deadline=None, suppress_health_check=UNCHECKED)
@given(situation=dense_situations(), sizes=st.lists(st.integers(1, 9), min_size=1, max_size=3))
def test_joined_and_left_are_the_function_of_time(situation: tuple, sizes: list) -> None:
    """Each change comes at its instant, whether an event or time alone brings it about."""
    events, several = situation
    engine = Engine(catalogue_of([{"key": key, "criteria": one} for key, one in several.items()]), LATER, "EUR")
    decoded = engine.read(map(line_of, sorted(events, key=oracle.stamp)))
    place = turn = 0
    while place < len(decoded):
        engine.batch(decoded[place : place + sizes[turn % len(sizes)]])
        place, turn = place + sizes[turn % len(sizes)], turn + 1
    engine.expire(LATER)

    found = collapsed((customer, key, at, change) for customer, key, at, change, _, _ in engine.published)
    assert found == oracle.transitions(events, several, LATER)


async def answers_of(database: Database, events: list[dict], several: dict[str, dict]) -> dict[str, Answers]:
    """What each interpreter says at every minute, and a microsecond before some."""
    decoded = Engine(catalogue_of([]), LATER, "EUR").read(map(line_of, events))
    moments = [START + minute * instants.MINUTE for minute in range(3 * MINUTES)]
    moments += [at - 1 for at in moments[:: MINUTES // 3]]
    answers: dict[str, Answers] = {"columns": {}, "scalar": {}, "oracle": {}}
    for as_of in moments:
        answers["columns"] |= columnar(several, decoded, as_of)[0]
        answers["scalar"] |= scalar(several, decoded, as_of)
        answers["oracle"] |= literal(several, events, as_of)
    async with stored_facts(database, decoded) as connection:
        answers["SQL"] = await by_facts(connection, several, ["ann"], moments)
    return answers


@settings(max_examples=examples(60), deadline=None, suppress_health_check=UNCHECKED)
@given(situation=dense_situations())
async def test_all_interpreters_agree(database: Database, compared: Counter[str], situation: tuple) -> None:
    """Columns, SQL, scalar and oracle give one answer at every instant."""
    answers = await answers_of(database, *situation)
    compared["cases compared"] += len(answers["SQL"])
    compared["of them true"] += sum(answers["SQL"].values())

    differing = differences(answers, situation[1])
    for one in differing:
        note(one)
    assert not differing


def told(*happened: tuple[int, str]) -> list[dict[str, Any]]:
    """One customer's activities by minute."""
    return [
        {
            "specversion": "1.0",
            "id": f"e{number:02d}",
            "type": "customer.activity",
            "time": instants.to_text(START + minute * instants.MINUTE),
            "data": {"customer_id": "ann", "name": name},
        }
        for number, (minute, name) in enumerate(happened)
    ]


#: What chance hardly ever meets: (events, names of the steps, minutes); `-` before a name is a not.
RARE = {
    # The second a reaches the first one's end, and the third reaches the second one's: none reaches its own.
    "ends that others reach": (
        told((0, "a"), (3, "x"), (5, "a"), (6, "b"), (7, "x"), (12, "c"), (13, "a"), (14, "b"), (20, "c")),
        ("a", "-x", "b", "-c"),
        10,
    ),
    "ends that others reach, and the last its own": (
        told((0, "a"), (3, "x"), (5, "a"), (6, "b"), (7, "x"), (12, "c"), (13, "a"), (14, "b"), (24, "c")),
        ("a", "-x", "b", "-c"),
        10,
    ),
    "a middle that a later beginning cannot use": (
        told((0, "a"), (1, "m"), (2, "a"), (3, "b"), (5, "a"), (8, "c"), (12, "m"), (13, "b"), (14, "c")),
        ("a", "m", "b", "-c"),
        10,
    ),
}


@pytest.mark.parametrize("name", RARE)
async def test_rare_cases(database: Database, name: str) -> None:
    """What is true of one beginning is never put together from what is true of others."""
    events, names, minutes = RARE[name]
    steps = [{"activity": {"name": one.removeprefix("-")}, "not": one.startswith("-")} for one in names]
    several = {"0": {"sequence": {"steps": steps, "within": {"minutes": minutes}}}}

    assert differences(await answers_of(database, events, several), several) == []
