"""Random histories and criteria, chosen so that edges, ties and repeats are common."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from service.core import instants
from tests.oracle import segment_id, stamp
from tests.oracle_values import micros

START = instants.parse("2024-01-01T00:00:00Z")
#: Instants lie mostly on a grid of 6 hours, and so do the spans below: ties and exact edges are common.
GRID = 6 * instants.HOUR
_SHIFTS = st.sampled_from([0, 0, 0, 0, 0, 0, -1, 1])
_GRIDS = st.integers(0, 8) | st.integers(0, 8) | st.integers(0, 40)
TIMES = st.builds(lambda n, shift: n * GRID + shift, _GRIDS, _SHIFTS) | st.integers(0, 20_000).map(
    lambda minutes: minutes * instants.MINUTE
)
CUSTOMERS = ("ann", "bob", "Çağla")
_CUSTOMER = st.sampled_from([*["ann"] * 8, "bob", "Çağla"])  # one of them lives much
ORDERS = ("o1", "o2", "o3")
PRODUCTS = ("p1", "p2", "p3")
CATEGORIES = ("books", "games", "café")
MONEY = st.sampled_from(["0", "10", "10.00", "19.99", "20", "33.33", "99.99", "-5", "100"])


def _item() -> st.SearchStrategy[dict]:
    category = st.sampled_from(CATEGORIES)
    return st.fixed_dictionaries({"product_id": st.sampled_from(PRODUCTS)}, optional={"category": category})


TRAIT = st.sampled_from(["gold", "silver", "", 1, 2, 2.5, True, False, None])
_NAME = st.sampled_from(["viewed", "viewed", "carted", "carted", "café"])
PROPERTIES = ("price", "sku")
#: Few values of every kind: whole and not, equal in different forms, huge and tiny, and texts that look like them.
VALUES = ("a", "b", "1", "", 0, 1, 2, 1.0, 2.5, 0.1, -3, 10**37, Decimal("1E-20"), True, False, None)
_VALUE = st.sampled_from([1, True, 1.0, "1"]) | st.sampled_from(VALUES)
ATTRIBUTES = {
    "customer_type": st.sampled_from(["individual", "business", None]),
    "email_subscribed": st.sampled_from([True, False, None]),
    "location": st.sampled_from([None, {}, {"country": "FR"}, {"country": "DE", "city": "Köln"}, {"state": "SP"}]),
    "traits": st.one_of([st.dictionaries(st.sampled_from(["tier", "x"]), TRAIT, max_size=2)] * 2 + [st.none()]),
}


def _data() -> st.SearchStrategy[tuple[str, dict]]:
    order_id = st.sampled_from(ORDERS)
    items = st.lists(_item(), max_size=2)
    placed = st.fixed_dictionaries(
        {"order_id": order_id, "currency": st.just("USD"), "total": MONEY},
        optional={"items": items, "test": st.sampled_from([False, False, False, True])},
    )
    updated = st.fixed_dictionaries({"order_id": order_id}, optional={"total": MONEY, "items": items})
    refund = {"refund_id": st.sampled_from(["r1", "r2", "r3"]), "currency": st.just("USD")}
    in_part = st.fixed_dictionaries({**refund, "order_id": order_id | st.none(), "amount": MONEY})
    in_full = st.fixed_dictionaries({**refund, "order_id": order_id, "amount": st.just("full")})
    refunded = in_part | in_part | in_full
    properties = st.dictionaries(st.sampled_from(PROPERTIES), _VALUE, max_size=2)
    activity = st.fixed_dictionaries(
        {"name": _NAME}, optional={"properties": st.one_of(properties, properties, st.none())}
    )
    shapes = {
        "order.placed": placed,
        "order.updated": updated,
        "order.cancelled": st.fixed_dictionaries({"order_id": order_id}),
        "order.refunded": refunded,
        "customer.registered": st.fixed_dictionaries({}, optional=ATTRIBUTES),
        "customer.updated": st.fixed_dictionaries({}, optional=ATTRIBUTES),
        "customer.logged_in": st.just({}),
        "customer.activity": activity,
    }
    kinds = ["order.placed"] * 4 + ["customer.activity"] * 12 + ["customer.updated"] * 3 + list(shapes)
    return st.sampled_from(kinds).flatmap(lambda kind: shapes[kind].map(lambda data: (kind, data)))


@st.composite
def histories(draw: Any, size_max: int = 24) -> list[dict]:
    """Events with unique ids, in no particular order; equal times and missing sequences occur; Decimals are numbers."""
    found = []
    for number in range(draw(st.integers(size_max // 2, size_max) | st.integers(1, size_max))):
        kind, data = draw(_data())
        at = START + draw(TIMES)
        event = {
            "specversion": "1.0",
            "id": f"e{number:02d}",
            "source": "/test",
            "type": kind,
            "time": instants.to_text(at),
            "data": {"customer_id": draw(_CUSTOMER), **data},
        }
        sequence = draw(st.sampled_from([None, None, "1", "2", "10"]))
        found.append(event if sequence is None else {**event, "sequence": sequence})
    return found


def often(*weighted: tuple[int, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    """One of several, each with its weight; `one_of` would weigh the branches inside of each."""
    places = [place for place, (weight, _) in enumerate(weighted) for _ in range(weight)]
    return st.sampled_from(places).flatmap(lambda place: weighted[place][1])


def _span() -> st.SearchStrategy[dict]:
    return st.sampled_from([{"days": 3}, {"days": 3}, {"days": 1}, {"hours": 36}, {"hours": 12}, {"minutes": 360}])


def _windows() -> st.SearchStrategy[dict]:
    return st.one_of(st.just({}), _span().map(lambda span: {"window": span}))


def _property_test() -> st.SearchStrategy[dict]:
    value = _VALUE.filter(lambda one: one is not None)
    ordered = value.filter(lambda one: not isinstance(one, bool))
    numbers = [one for one in VALUES if isinstance(one, int | float | Decimal) and not isinstance(one, bool)]
    pairs = st.lists(st.sampled_from(numbers), min_size=2, max_size=2).map(sorted)

    def test(operators: list[str], values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict]:
        return st.builds(lambda o, v: {"operator": o, "value": v}, st.sampled_from(operators), values)

    return st.one_of(
        test(["eq", "ne"], value),
        test(["gt", "gte", "lt", "lte"], ordered),
        test(["in"], st.lists(value, min_size=1, max_size=3)),
        test(["contains"], st.sampled_from(["a", "1"])),
        test(["exists"], st.booleans()),
        pairs.map(lambda pair: {"operator": "between", "min_value": pair[0], "max_value": pair[1]}),
    )


def _stream(plain: int, where_max: int = 2) -> st.SearchStrategy[dict]:
    """Activities of a name: all of them so many times as often as those that pass tests."""
    where = st.dictionaries(st.sampled_from(PROPERTIES), _property_test(), min_size=1, max_size=where_max)
    tested = often((plain, st.just({})), (1, where.map(lambda tests: {"where": tests})))
    return st.builds(lambda name, rest: {"name": name, **rest}, _NAME, tested)


def _figure() -> st.SearchStrategy[dict]:
    """One figure against bounds that it has often, or no figure."""

    def bounds(values: list[Any]) -> st.SearchStrategy[dict]:
        one = st.builds(
            lambda o, v: {"operator": o, "value": v},
            st.sampled_from(["eq", "gt", "gte", "lt", "lte"]),
            st.sampled_from(values),
        )
        two = st.lists(st.sampled_from(values), min_size=2, max_size=2).map(lambda pair: sorted(pair, key=Decimal))
        return one | two.map(lambda pair: {"operator": "between", "min_value": pair[0], "max_value": pair[1]})

    numbers = bounds([0, 1, 2, 3, -3, "3.5", Decimal("1.25"), Decimal("0.1"), 10**37, 10**37 + 1, Decimal("1E-20")])
    named = st.sampled_from(PROPERTIES).map(lambda name: {"property": name})
    counted = bounds([0, 1, 2, 3, 4])
    figures = st.sampled_from(["sum", "avg", "min", "max"])
    return often(
        (1, st.just({})),
        (2, counted.map(lambda test: {"count": test})),
        (3, st.builds(lambda test, name: {"distinct": {**name, **test}}, counted, named)),
        (5, st.builds(lambda figure, test, name: {figure: {**name, **test}}, figures, numbers, named)),
    )


def activities() -> st.SearchStrategy[dict]:
    """Criteria on a figure of activities."""
    return st.builds(lambda stream, rest, w: {"activity": {**stream, **rest, **w}}, _stream(2), _figure(), _windows())


def _happens() -> st.SearchStrategy[dict]:
    return often((3, _stream(4, 1).map(lambda one: {"activity": one})), (1, st.just({"order": {}})))


def sequences() -> st.SearchStrategy[dict]:
    """Criteria on a sequence of two to five steps, some of which must not happen; never the first."""
    later = st.builds(lambda step, rest: {**step, **rest}, _happens(), st.sampled_from([{}, {}, {"not": True}]))
    steps = st.builds(lambda one, rest: [one, *rest], _happens(), st.lists(later, min_size=1, max_size=4))
    return st.builds(lambda some, within: {"sequence": {"steps": some, "within": within}}, steps, _span())


@st.composite
def retold(draw: st.DrawFn, events: list[dict]) -> dict:
    """A sequence of what a customer of this history did, within as long as it took, give or take a minute."""
    one = draw(st.sampled_from([event["data"]["customer_id"] for event in events]))
    told = [
        event
        for event in sorted(events, key=stamp)
        if event["data"]["customer_id"] == one and event["type"] in ("customer.activity", "order.placed")
    ]
    places = draw(st.lists(st.integers(0, max(len(told) - 1, 0)), min_size=2, max_size=4).map(sorted))
    if len(told) < 2 or len({told[place]["time"] for place in places}) < 2:
        return draw(sequences())
    steps: list[dict] = []
    for place in places:
        if steps and draw(st.integers(0, 3)) == 0:
            steps.append({**draw(_happens()), "not": True})
        event = told[place]
        step = {"order": {}} if event["type"] == "order.placed" else {"activity": {"name": event["data"]["name"]}}
        steps.append({**step, "not": True} if steps and draw(st.integers(0, 3)) == 0 else step)
    took = micros(told[places[-1]]["time"]) - micros(told[places[0]]["time"])
    minutes = took // instants.MINUTE + draw(st.sampled_from([0, 0, 1, -1]))
    return {"sequence": {"steps": steps, "within": {"minutes": max(minutes, 1)}}}


def _leaf() -> st.SearchStrategy[dict]:
    windows = _windows()
    dates = st.sampled_from(["2024-01-02", "2024-01-03T00:00:00Z", "2024-01-05T12:00:00+02:00"])
    compared = st.sampled_from(["eq", "gt", "gte", "lt", "lte"])
    number = st.builds(
        lambda o, v, w: {"operator": o, "value": v, **w}, compared, st.sampled_from([0, 1, 2, 3]), windows
    )
    money = st.builds(
        lambda o, v, w: {"operator": o, "value": v, **w},
        compared,
        st.sampled_from([0, 20, 19.99, "33.33", 119.98]),
        windows,
    )
    between = windows.map(lambda w: {"operator": "between", "min_value": 1, "max_value": 40.5, **w})
    age = st.builds(lambda o, s: {"operator": o, **s}, st.sampled_from(["within_last", "more_than_ago"]), _span())
    date = st.builds(lambda o, d: {"operator": o, "date": d}, st.sampled_from(["before", "after"]), dates) | st.just(
        {"operator": "between", "start_date": "2024-01-02", "end_date": "2024-01-04"}
    )
    instant = st.sampled_from(["registration_date", "last_order_date", "last_login"])
    products = st.lists(st.sampled_from(PRODUCTS), min_size=1, max_size=2, unique=True)
    categories = st.lists(st.sampled_from(CATEGORIES), min_size=1, max_size=2, unique=True)
    trait = st.one_of(
        st.builds(
            lambda o, v: {"operator": o, "value": v},
            st.sampled_from(["eq", "ne"]),
            TRAIT.filter(lambda v: v is not None),
        ),
        st.builds(
            lambda o, v: {"operator": o, "value": v}, st.sampled_from(["gt", "lte"]), st.sampled_from([1, 2.5, "m"])
        ),
        st.sampled_from([{"operator": "exists"}, {"operator": "exists", "value": False}]),
        st.just({"operator": "in", "value": ["gold", 2, True]}),
        st.just({"operator": "contains", "value": "ol"}),
    )
    return st.one_of(
        number.map(lambda test: {"total_orders": test}),
        money.map(lambda test: {"total_spent": test}),
        (money | between).map(lambda test: {"average_order_value": test}),
        st.builds(lambda field, test: {field: test}, instant, age | date),
        products.map(lambda names: {"purchased_products": names}),
        st.builds(lambda names, w: {"purchased_categories": {"all": names, **w}}, categories, windows),
        st.builds(lambda names, w: {"purchased_categories": {"any": names, **w}}, categories, windows),
        categories.map(lambda names: {"never_purchased_categories": names}),
        st.sampled_from(["individual", "business"]).map(lambda value: {"customer_type": value}),
        st.booleans().map(lambda value: {"email_subscribed": value}),
        st.sampled_from(
            [{"countries": ["FR", "DE"]}, {"cities": ["Köln"]}, {"states": ["SP"], "countries": ["FR"]}]
        ).map(lambda value: {"location": value}),
        trait.map(lambda test: {"traits": {"tier": test}}),
        st.just({}),
    )


def criteria(others: Sequence[str], events: list[dict]) -> st.SearchStrategy[dict]:
    """Criteria of a few levels; `others` are the keys of segments that they may ask for, `events` what they retell."""
    leaves = [(3, _leaf()), (4, activities()), (2, sequences()), (3, retold(events))]
    if others:
        ids = st.sampled_from([segment_id(key) for key in others])
        leaves.append((2, st.builds(lambda how, one: {how: one}, st.sampled_from(["member_of", "not_member_of"]), ids)))
    leaf = often(*leaves)
    groups = st.recursive(
        leaf,
        lambda inner: st.one_of(
            st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"all": parts}),
            st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"any": parts}),
            inner.map(lambda part: {"not": part}),
        ),
        max_leaves=5,
    )
    return often((1, leaf), (1, groups))


@st.composite
def situations(draw: st.DrawFn, definitions_max: int = 8) -> tuple[list[dict], dict[str, dict]]:
    """A history, and criteria by key that ask for one another without a cycle, and for a segment that is not there."""
    events = draw(histories())
    found: dict[str, dict] = {}
    for place in draw(
        st.permutations(
            range(draw(st.integers(definitions_max // 2, definitions_max) | st.integers(1, definitions_max)))
        )
    ):
        found[f"s{place}"] = draw(criteria([*found, *found, *found, "gone"], events))
    return events, {key: found[key] for key in sorted(found)}
