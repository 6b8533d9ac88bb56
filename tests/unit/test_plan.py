"""The plan says of every row and segment what the criteria's trees say, read one by one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import reduce
from random import Random
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.core import instants
from service.core.criteria.atoms import AS_OF, NEVER, Atom, Compiler, Every, Opposite, Some, Source, Tree
from service.core.criteria.fields import Figure, Instant, Number, Purchase
from service.core.criteria.model import (
    ActivityPredicate,
    AgePredicate,
    All,
    AnyOf,
    AttributePredicate,
    Criteria,
    DatePredicate,
    MemberPredicate,
    Not,
    NumberPredicate,
    PurchasePredicate,
    SequencePredicate,
    Step,
    Stream,
    references,
)
from service.core.criteria.needs import Needs, needs_of
from service.core.criteria.operators import attribute_holds
from service.core.criteria.plan import compile_plan
from service.core.instants import MISSING
from tests import oracle
from tests.offline import Engine, catalogue_of

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


# --- Criteria and rows over few small numbers, so that bounds are met often.

SMALL = (-1, 0, 1, 2, 5)
STRANGER = UUID(int=999)
COUNTS = (0, 1, 2, 8, 63, 64, 65, 200, 1_100)  # around octets, words and blocks
ATTRIBUTES = {"traits.a": (None, 1, True, 0, False, "1"), "country": (None, "US", "GB")}
_hold = st.sampled_from
_spans = _hold((1, 2, 5))
_bounds = st.tuples(*[_hold((-1, 0, Decimal("0.5"), 1, 2))] * 2).map(lambda pair: sorted(map(Decimal, pair)))


def _compared(make: Any) -> st.SearchStrategy[Criteria]:
    """Predicates with an operator and one or two bounds; `make` takes (operator, low, high)."""
    one = st.builds(make, _hold(("eq", "gt", "gte", "lt", "lte")), _bounds.map(lambda pair: pair[0]), st.none())
    return st.one_of(one, _bounds.map(lambda pair: make("between", *pair)))


def _numbers() -> st.SearchStrategy[Criteria]:
    return st.tuples(_hold(Number), st.one_of(st.none(), _spans)).flatmap(
        lambda drawn: _compared(lambda operator, low, high: NumberPredicate(drawn[0], operator, low, high, drawn[1]))
    )


def _activities() -> st.SearchStrategy[Criteria]:
    return _hold(("seen", "done")).flatmap(
        lambda name: _compared(
            lambda operator, low, high: ActivityPredicate(Stream(name), Figure.SUM, "x", operator, low, high)
        )
    )


def _purchases() -> st.SearchStrategy[Criteria]:
    names = st.lists(_hold("pqr"), min_size=1, max_size=3, unique=True).map(tuple)
    windows = st.one_of(st.none(), _spans)
    return st.builds(PurchasePredicate, _hold(Purchase), _hold(("any", "all", "none")), names, windows)


def _tests() -> st.SearchStrategy[Criteria]:
    eq = _hold([(name, value) for name, values in ATTRIBUTES.items() for value in values if value is not None])
    exists = st.tuples(_hold(list(ATTRIBUTES)), st.booleans())
    return st.one_of(
        eq.flatmap(lambda one: st.builds(AttributePredicate, st.just(one[0]), _hold(("eq", "ne")), st.just(one[1]))),
        exists.map(lambda one: AttributePredicate(one[0], "exists", one[1])),
    )


_OPEN = st.one_of(st.none(), _hold(SMALL))
_PREDICATES = st.one_of(
    _numbers(),
    _activities(),
    _purchases(),
    _tests(),
    st.builds(DatePredicate, _hold(Instant), _OPEN, _OPEN),
    st.builds(AgePredicate, _hold(Instant), st.booleans(), _spans),
    _hold((1, 2)).map(lambda span: SequencePredicate((Step(None), Step(Stream("seen"))), span)),
)


def criteria_over(ids: Sequence[UUID]) -> st.SearchStrategy[Criteria]:
    """Trees of every kind of predicate; groups may be empty, and a predicate may come many times."""
    leaves = st.one_of(_PREDICATES, _PREDICATES, _hold(ids).map(MemberPredicate))
    return st.recursive(
        leaves,
        lambda parts: st.one_of(
            st.lists(parts, max_size=4).map(tuple).map(All),
            st.lists(parts, max_size=4).map(tuple).map(AnyOf),
            parts.map(Not),
        ),
        max_leaves=12,
    )


class Case(NamedTuple):
    """Segments, some customers' columns, what settle turns around, and which customers the rows are of."""

    segments: dict[int, Criteria]
    slots: dict[UUID, int]
    customers: list[tuple[list[int], dict[str, object]]]
    turned: set[tuple[int, int]]  # place, customer
    order: list[int]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Segments ask for members of those drawn before them, whose slots may be higher."""
    free = draw(st.permutations([1, 2, 4, 7, 11, 16]))[: draw(st.integers(1, 6))]
    segments: dict[int, Criteria] = {}
    for slot in free:
        segments[slot] = draw(criteria_over([UUID(int=slot) for slot in segments] + [STRANGER]))
    random = Random(draw(st.integers(0, 2**32)))
    needs = needs_of(segments.values())
    customers = [_customer(random, needs) for _ in range(5)]
    turned = {(place, row) for place in range(len(free)) for row in range(5) if random.random() < 0.2}
    order = random.choices(range(5), k=draw(_hold(COUNTS)))
    return Case(segments, {UUID(int=slot): slot for slot in free}, customers, turned, order)


def _customer(random: Random, needs: Needs) -> tuple[list[int], dict[str, object]]:
    def instant() -> int:
        return random.choice((MISSING, MISSING, *SMALL))

    row = [random.choice((2, 5, 6)), random.randint(0, 3), 50 * random.randint(-4, 4)]
    row += [instant(), instant(), instant(), 0]
    for _ in needs.windows:
        row += (random.randint(0, 3), 50 * random.randint(-4, 4))
    row += [instant() for _ in needs.purchases]
    row += [random.choice((MISSING, *range(2 * len(one.bounds) + 1))) for one in needs.measures]
    row += [random.randint(0, 1) for _ in needs.sequences]
    return row, {name: random.choice(ATTRIBUTES[name]) for name in needs.attributes}


class Reading:
    """The trees read literally, customer by customer."""

    def __init__(self, case: Case) -> None:
        self._case = case
        compiler = Compiler(needs_of(case.segments.values()))
        self.order = sorted(case.segments)
        self._trees = [compiler.tree(case.segments[slot]) for slot in self.order]

    def member(self, place: int, customer: int) -> bool:
        """Whether a segment holds, as settle leaves it."""
        return self._holds(self._trees[place], customer) is not ((place, customer) in self._case.turned)

    def _holds(self, tree: Tree, customer: int) -> bool:
        columns, attributes = self._case.customers[customer]
        if isinstance(tree, Every):
            return all(self._holds(part, customer) for part in tree.parts)
        if isinstance(tree, Some):
            return any(self._holds(part, customer) for part in tree.parts)
        if isinstance(tree, Opposite):
            return not self._holds(tree.part, customer)
        if isinstance(tree, Atom):
            return tree.low <= _value(tree.source, columns) <= tree.high
        if isinstance(tree, AttributePredicate):
            return attribute_holds(tree.operator, attributes[tree.field], tree.value)
        slot = self._case.slots.get(tree.segment_id)
        return slot is not None and self.member(self.order.index(slot), customer)


def _value(source: Source, columns: list[int]) -> int:
    value = columns[source.column]
    if source.kind == "value":
        return value
    if source.kind == "age":
        return NEVER if value == MISSING else columns[AS_OF] - value
    orders = columns[source.orders]
    if not orders:
        return MISSING
    return value * 100 // orders if source.kind == "floor" else -(-value * 100 // orders)


def level(slot: int, segments: Mapping[int, Criteria]) -> int:
    """How long the longest chain of references from here is."""
    return max((1 + level(one.int, segments) for one in references(segments[slot]) if one != STRANGER), default=0)


def reached(slot: int, segments: Mapping[int, Criteria]) -> set[int]:
    """All slots that a segment asks for, itself or through others."""
    named = {one.int for one in references(segments[slot]) if one != STRANGER}
    return reduce(set.union, (reached(one, segments) for one in named), named)


@settings(max_examples=400, deadline=None)
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
        key = plan.attribute_key(tuple(attributes[name] for name in plan.needs.attributes))
        rows.append([*columns[:6], key, *columns[7:]])
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
    assert plan.dependants == {
        place: tuple(other for other, asking in enumerate(reading.order) if slot in reached(asking, case.segments))
        for place, slot in enumerate(reading.order)
    }


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
        assert plan.dependants == {0: (), 1: (4,), 2: (0, 1, 4), 3: (), 4: ()}

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


def test_attribute_keys_start_anew_after_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory of attribute values is bounded; numbers of the new batch hold."""
    monkeypatch.setattr("service.core.criteria.plan.ATTRIBUTE_KEYS_MAX", 3)
    plan = compile_plan({0: AttributePredicate("country", "eq", "US")})
    for batch in range(5):
        plan.begin_batch()
        keys = [plan.attribute_key((country,)) for country in (f"a{batch}", f"b{batch}", "US", None)]
        assert plan.evaluate([[*ROW[:6], key] for key in keys])[:, 0].tolist() == [False, False, True, False]

    assert max(keys) < 8
