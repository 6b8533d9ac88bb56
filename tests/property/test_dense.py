"""Sequences and figures where much happens in little time: one customer, few names, ties and exact edges everywhere."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from service.adapters.postgres.database import Database
from service.core import instants
from tests import oracle
from tests.facts import stored_facts
from tests.offline import Engine, catalogue_of, collapsed
from tests.property.criteria_cases import line_of
from tests.property.effort import examples
from tests.property.interpreters import Answers, by_facts, columnar, differences, literal, scalar

START = instants.parse("2024-01-01T00:00:00Z")
MINUTES = 12
LATER = START + 3 * MINUTES * instants.MINUTE
CRITERIA = 10
UNCHECKED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]

_hold = st.sampled_from
_number = _hold((1, 1, 2, "1", True))
_order = _hold(("o1", "o2"))
_drafts = st.one_of(
    *[st.builds(lambda name, n: ("customer.activity", {"name": name, "properties": {"n": n}}), _hold("abc"), _number)]
    * 4,
    _order.map(lambda name: ("order.placed", {"order_id": name, "currency": "EUR", "total": 1})),
    _order.map(lambda name: ("order.cancelled", {"order_id": name})),
)
_instants = _hold([START + minute * instants.MINUTE for minute in range(MINUTES)])


@st.composite
def dense_histories(draw: st.DrawFn) -> list[dict[str, Any]]:
    """What one customer did within a few minutes, in the order of arrival."""
    drafts = draw(st.lists(st.tuples(_instants, _drafts), min_size=5, max_size=25))
    return [
        {
            "specversion": "1.0",
            "id": f"e{number:02d}",
            "type": kind,
            "time": instants.to_text(at),
            "data": {"customer_id": "ann", **data},
        }
        for number, (at, (kind, data)) in enumerate(drafts)
    ]


_span = st.integers(1, MINUTES).map(lambda minutes: {"minutes": minutes})
_where = _hold(({}, {}, {}, {"where": {"n": {"operator": "eq", "value": 1}}}))
_step = st.one_of(
    *[st.builds(lambda name, where: {"activity": {"name": name, **where}}, _hold("abc"), _where)] * 3,
    st.just({"order": {}}),
)
_sequences = st.builds(
    lambda first, rest, within: {"sequence": {"steps": [first, *rest], "within": within}},
    _step,
    st.lists(st.builds(lambda step, rest: step | rest, _step, _hold(({}, {}, {"not": True}))), min_size=1, max_size=6),
    _span,
)
_test = st.builds(
    lambda operator, value: {"operator": operator, "value": value},
    _hold(("eq", "gt", "gte", "lt", "lte")),
    _hold((0, 1, 2, 3, "1.5", 4, 5)),
)
_figures = st.builds(
    lambda figure, test, where, name, window: {
        "activity": {
            "name": name,
            **where,
            figure: test if figure == "count" else test | {"property": "n"},
            **({} if window is None else {"window": window}),
        }
    },
    _hold(("count", "sum", "avg", "min", "max", "distinct")),
    _test,
    _where,
    _hold("abc"),
    st.none() | _span,
)
_criteria = st.lists(st.one_of(_sequences, _sequences, _figures), min_size=CRITERIA, max_size=CRITERIA).map(
    lambda several: {str(place): one for place, one in enumerate(several)}
)


@settings(max_examples=examples(300), deadline=None, suppress_health_check=UNCHECKED)
@given(events=dense_histories(), several=_criteria, sizes=st.lists(st.integers(1, 9), min_size=1, max_size=3))
def test_joined_and_left_are_the_function_of_time(events: list, several: dict[str, dict], sizes: list) -> None:
    """Each change comes at its instant, whether an event or time alone brings it about."""
    engine = Engine(catalogue_of([{"key": key, "criteria": one} for key, one in several.items()]), LATER, "EUR")
    decoded = engine.read(map(line_of, sorted(events, key=oracle.stamp)))
    place = turn = 0
    while place < len(decoded):
        engine.batch(decoded[place : place + sizes[turn % len(sizes)]])
        place, turn = place + sizes[turn % len(sizes)], turn + 1
    engine.expire(LATER)

    found = collapsed((customer, key, at, change) for customer, key, at, change, _, _ in engine.published)
    assert found == oracle.transitions(events, several, LATER)


@settings(max_examples=examples(100), deadline=None, suppress_health_check=UNCHECKED)
@given(
    events=dense_histories(),
    several=_criteria,
    minutes=st.lists(st.integers(0, 2 * MINUTES), min_size=4, max_size=4, unique=True),
)
async def test_all_interpreters_agree(
    database: Database, compared: Counter[str], events: list, several: dict[str, dict], minutes: list
) -> None:
    """Columns, SQL, scalar and oracle give one answer at every instant."""
    decoded = Engine(catalogue_of([]), LATER, "EUR").read(map(line_of, events))
    moments = [START + minute * instants.MINUTE for minute in minutes]
    answers: dict[str, Answers] = {"columns": {}, "scalar": {}, "oracle": {}}
    for as_of in moments:
        answers["columns"] |= columnar(several, decoded, as_of)[0]
        answers["scalar"] |= scalar(several, decoded, as_of)
        answers["oracle"] |= literal(several, events, as_of)
    async with stored_facts(database, decoded) as connection:
        answers["SQL"] = await by_facts(connection, several, ["ann"], moments)
    compared["cases compared"] += len(answers["SQL"])
    compared["of them true"] += sum(answers["SQL"].values())

    differing = differences(answers, several)
    for one in differing:
        note(one)
    assert not differing
