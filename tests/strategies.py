"""Random histories and criteria, chosen so that edges, ties and repeats are common."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from service.core import instants
from tests.oracle import segment_id

START = instants.parse("2024-01-01T00:00:00Z")
#: Instants lie mostly on a grid of 6 hours, and so do the spans below: ties and exact edges are common.
GRID = 6 * instants.HOUR
_SHIFTS = st.sampled_from([0, 0, 0, 0, 0, 0, -1, 1])
_GRIDS = st.integers(0, 8) | st.integers(0, 8) | st.integers(0, 40)
TIMES = st.builds(lambda n, shift: n * GRID + shift, _GRIDS, _SHIFTS) | st.integers(0, 20_000).map(
    lambda minutes: minutes * instants.MINUTE
)
CUSTOMERS = ("ann", "bob", "Çağla")
ORDERS = ("o1", "o2", "o3")
PRODUCTS = ("p1", "p2", "p3")
CATEGORIES = ("books", "games", "café")
MONEY = st.sampled_from(["0", "10", "10.00", "19.99", "20", "33.33", "99.99", "-5", "100"])


def _item() -> st.SearchStrategy[dict]:
    category = st.sampled_from(CATEGORIES)
    return st.fixed_dictionaries({"product_id": st.sampled_from(PRODUCTS)}, optional={"category": category})


TRAIT = st.sampled_from(["gold", "silver", "", 1, 2, 2.5, True, False, None])
ACTIVITIES = ("viewed", "carted", "café")
PROPERTIES = ("price", "sku")
#: Few values of every kind: whole and not, equal in different forms, huge and tiny, and texts that look like them.
VALUES = ("a", "b", "1", "", 0, 1, 2, 1.0, 2.5, 0.1, -3, 10**37, Decimal("1E-20"), True, False, None)
_VALUE = st.sampled_from(VALUES)
ATTRIBUTES = {
    "customer_type": st.sampled_from(["individual", "business", None]),
    "email_subscribed": st.sampled_from([True, False, None]),
    "location": st.sampled_from([None, {}, {"country": "FR"}, {"country": "DE", "city": "Köln"}, {"state": "SP"}]),
    "traits": st.one_of([st.dictionaries(st.sampled_from(["tier", "x"]), TRAIT, max_size=2)] * 4 + [st.none()]),
}


def _data() -> st.SearchStrategy[tuple[str, dict]]:
    order_id = st.sampled_from(ORDERS)
    items = st.lists(_item(), max_size=2)
    placed = st.fixed_dictionaries(
        {"order_id": order_id, "currency": st.just("USD"), "total": MONEY},
        optional={"items": items, "test": st.sampled_from([False, False, False, True])},
    )
    updated = st.fixed_dictionaries({"order_id": order_id}, optional={"total": MONEY, "items": items})
    refunded = st.fixed_dictionaries(
        {
            "refund_id": st.sampled_from(["r1", "r2", "r3"]),
            "order_id": order_id | st.none(),
            "currency": st.just("USD"),
            "amount": MONEY,
        }
    )
    properties = st.dictionaries(st.sampled_from(PROPERTIES), _VALUE, max_size=2)
    activity = st.fixed_dictionaries(
        {"name": st.sampled_from(ACTIVITIES)}, optional={"properties": st.one_of(properties, properties, st.none())}
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
    kinds = ["order.placed"] * 4 + ["customer.activity"] * 8 + list(shapes)
    return st.sampled_from(kinds).flatmap(lambda kind: shapes[kind].map(lambda data: (kind, data)))


@st.composite
def histories(draw: Any, size_max: int = 16) -> list[dict]:
    """Events with unique ids, in no particular order; equal times and missing sequences occur; Decimals are numbers."""
    found = []
    for number in range(draw(st.integers(1, size_max))):
        kind, data = draw(_data())
        at = START + draw(TIMES)
        event = {
            "specversion": "1.0",
            "id": f"e{number:02d}",
            "source": "/test",
            "type": kind,
            "time": instants.to_text(at),
            "data": {"customer_id": draw(st.sampled_from(CUSTOMERS)), **data},
        }
        sequence = draw(st.sampled_from([None, None, "1", "2", "10"]))
        found.append(event if sequence is None else {**event, "sequence": sequence})
    return found


def _span() -> st.SearchStrategy[dict]:
    return st.sampled_from([{"days": 1}, {"days": 3}, {"hours": 36}, {"hours": 12}, {"minutes": 360}])


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


def _stream(where_max: int = 2) -> st.SearchStrategy[dict]:
    """Activities of a name, of all of them as often as of those that pass tests."""
    where = st.dictionaries(st.sampled_from(PROPERTIES), _property_test(), min_size=1, max_size=where_max)
    tested = st.one_of(st.just({}), where.map(lambda tests: {"where": tests}))
    return st.builds(lambda name, rest: {"name": name, **rest}, st.sampled_from(ACTIVITIES), tested)


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
    return st.one_of(
        st.just({}),
        counted.map(lambda test: {"count": test}),
        counted.map(lambda test: {"count": test}),
        st.builds(lambda test, name: {"distinct": {**name, **test}}, counted, named),
        st.builds(
            lambda figure, test, name: {figure: {**name, **test}},
            st.sampled_from(["sum", "avg", "min", "max"]),
            numbers,
            named,
        ),
    )


def activities() -> st.SearchStrategy[dict]:
    """Criteria on a figure of activities."""
    return st.builds(lambda stream, rest, w: {"activity": {**stream, **rest, **w}}, _stream(), _figure(), _windows())


def sequences() -> st.SearchStrategy[dict]:
    """Criteria on a sequence of two to five steps, some of which must not happen; never the first."""
    happens = st.one_of(_stream(1).map(lambda one: {"activity": one}), st.just({"order": {}}))
    later = st.builds(lambda step, is_not: {**step, "not": True} if is_not else step, happens, st.booleans())
    steps = st.builds(lambda one, rest: [one, *rest], happens, st.lists(later, min_size=1, max_size=4))
    return st.builds(lambda some, within: {"sequence": {"steps": some, "within": within}}, steps, _span())


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


def criteria(others: Sequence[str] = ()) -> st.SearchStrategy[dict]:
    """Criteria of a few levels; `others` are the keys of segments that they may ask for."""
    leaves = [_leaf(), _leaf(), activities(), sequences()]
    if others:
        ids = st.sampled_from([segment_id(key) for key in others])
        leaves.append(st.builds(lambda how, one: {how: one}, st.sampled_from(["member_of", "not_member_of"]), ids))
    return st.recursive(
        st.one_of(leaves),
        lambda inner: st.one_of(
            st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"all": parts}),
            st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"any": parts}),
            inner.map(lambda part: {"not": part}),
        ),
        max_leaves=5,
    )


@st.composite
def definitions(draw: st.DrawFn, size_max: int = 4) -> dict[str, dict]:
    """Criteria by key, which ask for one another without a cycle, in any direction, and for one that is not there."""
    count = draw(st.integers(1, size_max))
    found: dict[str, dict] = {}
    for place in draw(st.permutations(range(count))):
        found[f"s{place}"] = draw(criteria([*found, "gone"]))
    return {key: found[key] for key in sorted(found)}
