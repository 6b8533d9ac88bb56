"""The plan says of every row and segment what the criteria's trees say, read one by one."""

from __future__ import annotations

import json
import operator as op
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from functools import reduce
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings

from service.core import instants
from service.core.criteria.fields import Number
from service.core.criteria.model import (
    All,
    AnyOf,
    AttributePredicate,
    Criteria,
    MemberPredicate,
    Not,
    NumberPredicate,
    references,
)
from service.core.criteria.plan import compile_plan
from service.core.criteria.scratch import Scratch
from tests import oracle
from tests.offline import Engine, catalogue_of
from tests.unit.plan_cases import STRANGER, Case, Reading, cases

NOW = instants.parse("2024-06-01T00:00:00Z")
TRAITS = [1, True, 0, False, "1", 1.0, 2]


def registered(number: int, value: object) -> dict:
    """A customer with one trait."""
    data = {"customer_id": f"c{number}", "traits": {"a": value}}
    return {
        "specversion": "1.0",
        "id": f"e{number}",
        "source": "/t",
        "type": "customer.registered",
        "time": "2024-01-01T00:00:00Z",
        "data": data,
    }


@pytest.mark.parametrize("operator", ["eq", "ne", "in"])
def test_true_and_one_are_different_values(operator: str) -> None:
    """Side by side, tests for 1 and true, 0 and false each decide for themselves, in either order."""
    values = [1, True, 0, False, "1"]
    criteria = [
        {"traits": {"a": {"operator": operator, "value": [value] if operator == "in" else value}}}
        for value in [*values, *reversed(values)]
    ]
    segments = {f"s{number}": one for number, one in enumerate(criteria)}
    events = [registered(number, value) for number, value in enumerate(TRAITS)]
    engine = Engine(catalogue_of([{"key": key, "criteria": one} for key, one in segments.items()]), NOW)
    engine.batch(engine.read([json.dumps(event).encode() for event in events]))

    assert engine.members() == oracle.members_at(events, segments, NOW)


def level(slot: int, segments: Mapping[int, Criteria]) -> int:
    """How long the longest chain of references from here is."""
    return max((1 + level(one.int, segments) for one in references(segments[slot]) if one != STRANGER), default=0)


def reached(slot: int, segments: Mapping[int, Criteria]) -> set[int]:
    """All slots that a segment asks for, itself or through others."""
    named = {one.int for one in references(segments[slot]) if one != STRANGER}
    return reduce(set.union, (reached(one, segments) for one in named), named)


def dependants(order: Sequence[int], segments: Mapping[int, Criteria]) -> dict[int, tuple[int, ...]]:
    """By place, the places of all whose references lead there."""
    lead = {slot: [place for place, asking in enumerate(order) if slot in reached(asking, segments)] for slot in order}
    return {place: tuple(lead[slot]) for place, slot in enumerate(order) if lead[slot]}


@settings(max_examples=200, deadline=None)
@given(case=cases())
def test_plan_agrees_with_the_trees_read_literally(case: Case) -> None:
    """For any segments and rows, also where settle turns memberships around that others ask for."""
    plan = compile_plan(case.segments, case.slots)
    reading = Reading(case)
    settled: list[list[int]] = []

    def settle(bits: Any, places: Any) -> None:
        settled.append([int(place) for place in places])
        for place in settled[-1]:
            bits[:, place] ^= np.array([(place, customer) in case.turned for customer in case.order], dtype=np.bool_)

    rows = []
    for columns, attributes in (case.customers[customer] for customer in case.order):
        key = plan.begin_batch().number(tuple(attributes[name] for name in plan.needs.attributes))
        rows.append([*columns[:6], key, *columns[7:]])
    plan.evaluate(rows[:1])
    found = plan.evaluate(rows, settle)
    again = plan.evaluate(np.array(rows, dtype=np.int64).reshape(len(rows), len(case.customers[0][0])), settle)

    members = [[reading.member(place, customer) for place in range(len(reading.order))] for customer in range(5)]
    expected = np.array([members[customer] for customer in case.order], dtype=np.bool_).reshape(found.shape)
    levels = [level(slot, case.segments) for slot in reading.order]
    by_level = [[place for place, one in enumerate(levels) if one == n] for n in range(max(levels) + 1)]
    assert found.dtype == np.bool_
    assert found.shape == (len(rows), len(case.segments))
    assert (found == expected).all()
    assert (again == expected).all()
    assert settled == [*by_level, *by_level]
    assert plan.slots.tolist() == reading.order
    assert plan.dependants == dependants(reading.order, case.segments)


def member_of(slot: int) -> MemberPredicate:
    """Criteria that ask for the segment in this slot."""
    return MemberPredicate(UUID(int=slot))


ROW = [0] * 7
#: Holds for ROW; its opposite does not.
HOLDS = NumberPredicate(Number.TOTAL_ORDERS, "eq", Decimal(0))
SLOTS = {UUID(int=slot): slot for slot in range(300)}


class TestLevels:
    """Segments that ask for members of others."""

    def test_one_level_is_settled_once(self) -> None:
        """Without references there is one call, with all places."""
        calls: list[list[int]] = []
        compile_plan({3: HOLDS, 9: Not(HOLDS)}, SLOTS).evaluate([ROW], lambda _, places: calls.append(places.tolist()))

        assert calls == [[0, 1]]

    def test_later_levels_see_what_settle_corrected(self) -> None:
        """A correction of one column reaches those who ask for it and its opposite, and no other."""
        plan = compile_plan({0: member_of(2), 1: Not(member_of(2)), 2: HOLDS, 3: HOLDS, 4: member_of(1)}, SLOTS)

        def settle(bits: Any, places: Any) -> None:
            if 2 in places:
                bits[:, 2] = False

        assert plan.evaluate([ROW] * 3).tolist() == [[True, False, True, True, False]] * 3
        assert plan.evaluate([ROW] * 3, settle).tolist() == [[False, True, False, True, True]] * 3
        assert plan.dependants == {1: (4,), 2: (0, 1, 4)}

    def test_nobody_is_a_member_of_what_is_not_compiled(self) -> None:
        """An id without slot, and a slot without criteria, have no members; they make no level."""
        plan = compile_plan({0: MemberPredicate(STRANGER), 1: Not(member_of(77))}, SLOTS)

        assert plan.evaluate([ROW]).tolist() == [[False, True]]
        assert compile_plan({0: member_of(0), 1: HOLDS}).evaluate([ROW]).tolist() == [[False, True]]

    @pytest.mark.parametrize("asks", [{5: [5]}, {5: [6], 6: [5]}, {5: [6], 6: [7, 1], 7: [5], 1: [], 2: [5]}])
    def test_a_circle_cannot_be_compiled(self, asks: dict[int, list[int]]) -> None:
        """The error names the slots of the circle and no others."""
        segments = {slot: All(tuple(map(member_of, named))) for slot, named in asks.items()}
        with pytest.raises(ValueError, match="in a circle") as caught:
            compile_plan(segments, SLOTS)

        assert {slot for slot in asks if str(slot) in str(caught.value)} == set(asks) - {1, 2}

    def test_a_long_chain_is_a_level_each(self) -> None:
        """Each of 200 segments asks for the one before."""
        segments: dict[int, Criteria] = {0: HOLDS, **{slot: Not(member_of(slot - 1)) for slot in range(1, 200)}}
        plan = compile_plan(segments, SLOTS)

        assert plan.evaluate([ROW]).tolist() == [[slot % 2 == 0 for slot in range(200)]]
        assert plan.dependants[0] == tuple(range(1, 200))


class TestGroups:
    """Groups without parts, deep ones and equal ones."""

    def test_empty_groups_are_constants(self) -> None:
        """Every of nothing is true, some of nothing is false, in any company."""
        nothing = (All(()), AnyOf(()))
        segments = dict(enumerate([*nothing, Not(nothing[0]), All((HOLDS, AnyOf(()))), AnyOf((Not(HOLDS), All(())))]))

        assert compile_plan(segments).evaluate([ROW]).tolist() == [[True, False, False, False, True]]

    def test_deep_groups(self) -> None:
        """Ten kinds of nesting on top of each other, all of them negated."""
        deep: Criteria = HOLDS
        for _ in range(10):
            deep = Not(All((HOLDS, AnyOf((deep, Not(HOLDS))))))
        segments = {0: deep, 1: Not(deep), 2: deep}

        assert compile_plan(segments).evaluate([ROW]).tolist() == [[True, False, True]]

    def test_without_segments(self) -> None:
        """There is nothing to say of any row."""
        assert compile_plan({}).evaluate([ROW, ROW]).shape == (2, 0)

    def test_results_stay_when_the_plan_is_used_again(self) -> None:
        """What was returned is not the memory that the plan works in."""
        plan = compile_plan({0: HOLDS})
        first = plan.evaluate([ROW] * 100)
        plan.evaluate([[0, 1, 0, 0, 0, 0, 0]] * 100)

        assert first.all()


COMPARED = {"eq": op.eq, "gt": op.gt, "gte": op.ge, "lt": op.lt, "lte": op.le}


@pytest.mark.parametrize("operator", COMPARED)
def test_averages_are_exact(operator: str) -> None:
    """Bounds a ten-thousandth around averages that no decimal number equals; nothing holds without orders."""
    bounds = [Decimal(one).scaleb(-4) for one in (-3333, -3334, -1, 0, 1666, 1667, 2500, 3333, 3334)]
    figures = [(orders, spent) for orders in range(4) for spent in (-100, -99, 0, 50, 75, 100)]
    average = [NumberPredicate(Number.AVERAGE_ORDER_VALUE, operator, bound) for bound in bounds]
    found = compile_plan(dict(enumerate(average))).evaluate([[0, *figure, 0, 0, 0, 0] for figure in figures])

    holds = COMPARED[operator]
    assert found.tolist() == [
        [orders > 0 and holds(Fraction(spent, 100 * orders), Fraction(bound)) for bound in bounds]
        for orders, spent in figures
    ]


def test_attribute_keys_start_anew_after_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory of attribute values is bounded; numbers of the new batch hold."""
    monkeypatch.setattr("service.core.criteria.attribute_keys.ATTRIBUTE_KEYS_MAX", 3)
    plan = compile_plan({0: AttributePredicate("country", "eq", "US")})
    other = plan.begin_batch()
    theirs = [other.number((country,)) for country in ("c", "d", "US", "e", "f")]
    for batch in range(5):
        begun = plan.begin_batch()
        keys = [begun.number((country,)) for country in (f"a{batch}", f"b{batch}", "US", None)]
        assert plan.evaluate([[*ROW[:6], key] for key in keys])[:, 0].tolist() == [False, False, True, False]

    assert max(keys) < 8
    # A batch that began before, and waited for its facts meanwhile, finds its own numbers still good.
    rows = [[*ROW[:6], key] for key in theirs]
    assert plan.evaluate(rows, keys=other)[:, 0].tolist() == [False, False, True, False, False]


def test_only_small_arrays_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """One large batch does not hold its memory for good; small arrays are the same memory each time."""
    monkeypatch.setattr("service.core.criteria.scratch.KEPT_BYTES_MAX", 80)
    scratch = Scratch()
    small, large = (scratch.array(name, (size,), np.int64) for name, size in (("a", 10), ("b", 11)))

    assert np.shares_memory(small, scratch.array("a", (2, 3), np.int64))
    assert not np.shares_memory(large, scratch.array("b", (11,), np.int64))
