"""Random histories and criteria, chosen so that edges, ties and repeats are common."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from service.core import instants

START = instants.parse("2024-01-01T00:00:00Z")
MINUTES = st.integers(0, 40).map(lambda n: n * 6 * 60) | st.integers(0, 20_000)
CUSTOMERS = ("ann", "bob", "Çağla")
ORDERS = ("o1", "o2", "o3")
PRODUCTS = ("p1", "p2", "p3")
CATEGORIES = ("books", "games", "café")
MONEY = st.sampled_from(["0", "10", "10.00", "19.99", "20", "33.33", "99.99", "-5", "100"])


def _item() -> st.SearchStrategy[dict]:
    category = st.sampled_from(CATEGORIES)
    return st.fixed_dictionaries({"product_id": st.sampled_from(PRODUCTS)}, optional={"category": category})


TRAIT = st.sampled_from(["gold", "silver", "", 1, 2, 2.5, True, False, None])
ATTRIBUTES = {
    "customer_type": st.sampled_from(["individual", "business", None]),
    "email_subscribed": st.sampled_from([True, False, None]),
    "location": st.sampled_from([None, {}, {"country": "FR"}, {"country": "DE", "city": "Köln"}, {"state": "SP"}]),
    "traits": st.dictionaries(st.sampled_from(["tier", "x"]), TRAIT, max_size=2),
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
    shapes = {
        "order.placed": placed,
        "order.updated": updated,
        "order.cancelled": st.fixed_dictionaries({"order_id": order_id}),
        "order.refunded": refunded,
        "customer.registered": st.fixed_dictionaries({}, optional=ATTRIBUTES),
        "customer.updated": st.fixed_dictionaries({}, optional=ATTRIBUTES),
        "customer.logged_in": st.just({}),
        "customer.activity": st.just({"name": "viewed"}),
    }
    kinds = ["order.placed"] * 4 + list(shapes)
    return st.sampled_from(kinds).flatmap(lambda kind: shapes[kind].map(lambda data: (kind, data)))


@st.composite
def histories(draw: Any, size_max: int = 14) -> list[dict]:
    """Events with unique ids, in no particular order; equal times and missing sequences occur."""
    found = []
    for number in range(draw(st.integers(1, size_max))):
        kind, data = draw(_data())
        at = START + draw(MINUTES) * instants.MINUTE
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
    return st.sampled_from([{"days": 1}, {"days": 3}, {"hours": 36}, {"minutes": 360}])


def _leaf() -> st.SearchStrategy[dict]:
    windows = st.one_of(st.just({}), _span().map(lambda span: {"window": span}))
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


def criteria() -> st.SearchStrategy[dict]:
    """Criteria of a few levels."""
    return st.recursive(
        _leaf(),
        lambda inner: st.one_of(
            st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"all": parts}),
            st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"any": parts}),
            inner.map(lambda part: {"not": part}),
        ),
        max_leaves=5,
    )
