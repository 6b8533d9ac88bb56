"""Generated segments and rows for the plan, over few small numbers, so that bounds are met often; and their reading."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from random import Random
from typing import Any, NamedTuple
from uuid import UUID

from hypothesis import strategies as st

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
)
from service.core.criteria.needs import Needs, needs_of
from service.core.criteria.operators import attribute_holds
from service.core.instants import MISSING

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
