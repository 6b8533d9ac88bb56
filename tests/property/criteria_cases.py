"""Generated criteria of the whole language, and the form of events in which numbers stay exact."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from service.core import instants
from tests.oracle import segment_id
from tests.property.value_cases import (
    ACTIVITIES,
    COMPARE,
    KEYS,
    NUMBERS,
    PLACES,
    PRODUCTS,
    SPANS,
    between,
    hold,
    instants_near,
    often,
    property_test,
    some,
    tested,
    windows,
)

#: Bounds of figures; 28 digits are what Decimal's default context keeps.
FIGURES = (
    0,
    1,
    2,
    -1,
    99.99,
    "99.99",
    33.3333,
    Decimal("33.3300"),
    0.01,
    1e-7,
    "199.9900000000000000000001",
    1e10,
    10**11,
)
AVERAGES = (0, 1, 99.99, "99.99", 33.3333, 33.33, "49.995", -5, 9999999999)

_dates = st.one_of(
    instants_near().map(instants.to_text), hold(("2024-01-10", "2024-01-09", "2023-12-11", "0001-01-02"))
)


def _figure(values: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    """A test of a figure of orders."""
    one = tested(hold(COMPARE), hold(values), **windows)
    return st.one_of(one, between(hold(values), **windows))


_instant = st.one_of(
    st.fixed_dictionaries({"operator": hold(("before", "after")), "date": _dates}),
    st.tuples(instants_near(), instants_near()).map(
        lambda pair: {
            "operator": "between",
            "start_date": instants.to_text(min(pair)),
            "end_date": instants.to_text(max(pair)),
        }
    ),
    st.tuples(hold(("within_last", "more_than_ago")), hold(SPANS)).map(lambda two: {"operator": two[0], **two[1]}),
)
_names = st.lists(hold((*PRODUCTS, "none")), min_size=1, max_size=3)
_purchases = st.one_of(
    _names,
    st.fixed_dictionaries({"any": _names}, optional={"all": _names, **windows}),
    st.fixed_dictionaries({"all": _names}, optional=windows),
)
_keys = {
    "customer_type": hold(("individual", "business")),
    "email_subscribed": st.booleans(),
    "location": some({p: st.lists(hold(PLACES), min_size=1, max_size=3) for p in ("countries", "states", "cities")}),
    "registration_date": _instant,
    "last_order_date": _instant,
    "last_login": _instant,
    "total_orders": _figure((0, 1, 2, 3, 1.5, "2.0")),
    "total_spent": _figure(FIGURES),
    "average_order_value": _figure(AVERAGES),
    "purchased_products": _purchases,
    "purchased_categories": _purchases,
    "never_purchased_categories": _names,
    "traits": st.dictionaries(hold(KEYS), property_test, min_size=1, max_size=2),
}
_attribute = st.one_of(*[value.map(lambda found, key=key: {key: found}) for key, value in _keys.items()]).filter(
    lambda one: one.get("location") != {}
)
_where = st.dictionaries(hold(KEYS), property_test, min_size=1, max_size=2)
_property = hold(KEYS).map(lambda key: {"property": key})
#: Sums and averages of what events hold, and what rounding would make of them.
_BOUNDS = (*NUMBERS, "0.5", Decimal("2.55"), 10**37 + 5, Decimal("5.1"), Decimal("3.3333333333"), "-1")


def _streams(plain: int) -> st.SearchStrategy[dict[str, Any]]:
    """Activities of a name: all of them so many times as often as those that pass tests."""
    tests = often((plain, st.just({})), (1, _where.map(lambda one: {"where": one})))
    return st.builds(lambda name, rest: {"name": name, **rest}, hold(ACTIVITIES), tests)


def _compared(values: Sequence[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.one_of(tested(hold(COMPARE), hold(values)), between(hold(values)))


_counted = _compared((0, 1, 2, 3, 1.5, "2.0"))
_figures = often(
    (1, st.just({})),
    (2, _counted.map(lambda test: {"count": test})),
    (2, st.builds(lambda test, name: {"distinct": test | name}, _counted, _property)),
    (
        5,
        st.builds(
            lambda figure, test, name: {figure: test | name},
            hold(("sum", "avg", "min", "max")),
            _compared(_BOUNDS),
            _property,
        ),
    ),
)
_activity = st.builds(lambda one, figure, more: {**one, **figure, **more}, _streams(1), _figures, some(windows))
_step = often((3, _streams(4).map(lambda one: {"activity": one})), (1, st.just({"order": {}})))
_later = st.builds(lambda step, rest: {**step, **rest}, _step, hold(({}, {}, {"not": True})))
_sequence = st.builds(
    lambda first, rest, within: {"steps": [first, *rest], "within": within},
    _step,
    often((3, st.lists(_later, min_size=1, max_size=1)), (2, st.lists(_later, min_size=2, max_size=4))),
    hold(SPANS),
)


#: Every criterion that is generated.
CRITERIA_KEYS = (*_keys, "activity", "sequence", "member_of", "not_member_of")


def _leaves(others: Sequence[str]) -> st.SearchStrategy[dict[str, Any]]:
    leaves = [
        (5, _attribute),
        (3, _activity.map(lambda one: {"activity": one})),
        (3, _sequence.map(lambda one: {"sequence": one})),
    ]
    if others:
        ids = hold([segment_id(key) for key in others])
        leaves.append((2, st.builds(lambda how, one: {how: one}, hold(("member_of", "not_member_of")), ids)))
    return often(*leaves)


def criteria(others: Sequence[str] = ()) -> st.SearchStrategy[dict[str, Any]]:
    """Criteria of a few levels; `others` are the keys of segments that they may ask for."""
    leaf = _leaves(others)
    groups = st.recursive(
        leaf,
        lambda inner: st.one_of(
            inner.map(lambda one: {"not": one}),
            st.lists(inner, min_size=1, max_size=3).map(lambda several: {"all": several}),
            st.lists(inner, min_size=1, max_size=3).map(lambda several: {"any": several}),
            st.tuples(inner, inner).map(lambda two: {**two[0], **two[1]}),
            st.just({}),
        ),
        max_leaves=6,
    )
    return often((1, leaf), (1, groups))


@st.composite
def criteria_lists(draw: st.DrawFn, count: int) -> dict[str, dict[str, Any]]:
    """So many criteria by key, which ask for one another without a cycle, and sometimes for one that is not there."""
    found: dict[str, dict[str, Any]] = {}
    for place in draw(st.permutations(range(count))):
        found[str(place)] = draw(criteria([*found, *found, "gone"]))
    return {str(place): found[str(place)] for place in range(count)}


def line_of(event: dict[str, Any]) -> bytes:
    """The event as it comes from Kafka; Decimals as numbers to the last digit."""
    numbers: list[str] = []

    def note(number: object) -> str:
        numbers.append(str(number))
        return f"\ue000{len(numbers) - 1}\ue000"

    raw = json.dumps(event, default=note, ensure_ascii=False)
    for place, number in enumerate(numbers):
        raw = raw.replace(f'"\ue000{place}\ue000"', number)
    return raw.encode()
