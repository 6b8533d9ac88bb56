"""Generated criteria and events: edges to the microsecond, types mixed, fields missing, huge numbers, all scripts."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from service.core import instants

EPOCH = instants.from_datetime(datetime(2024, 1, 10, 12, tzinfo=UTC))
CUSTOMERS = ("ann", "çelik", "00000000-0000-0000-0000-00000000000a")
KEYS = ("k", "K", 'a"b?.🂡')
#: Latin, composed and decomposed, above and below the surrogates of UTF-16, and what LIKE and JSON would take apart.
TEXTS = ("", "5", "true", "a", "B", "ab", "é", "e\u0301", "\uffff", "\U0001f600", "a%b_c", "\\", '"', "{}", "null")
NUMBERS = (
    *(0, 1, 5, -1, 10**37, -(10**37), 2**63),
    *(
        Decimal("5.0"),
        Decimal("0.1"),
        Decimal("-0.0"),
        Decimal("1E+38"),
        Decimal("1E-38"),
        Decimal("4.999999999999999"),
    ),
    Decimal("12345678901234567890123456789012345.678"),
)
SCALARS = (*TEXTS, *NUMBERS, True, False)
#: What events and criteria both hold often.
COMMON = ("5", 5, Decimal("5.0"), True, "true", "é")
PLACES = ("a", "é", "e\u0301")
SPANS = ({"days": 1}, {"days": 2}, {"hours": 1}, {"minutes": 1}, {"days": 30}, {"days": 36_500})
PRODUCTS = ("p", "P", "é", "e\u0301")
MONEY = ("0", "0.01", "1", "99.99", "-5", "33.33", "9999999999.99", "-9999999999.99")
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

_hold = st.sampled_from
_scalars = st.one_of(_hold(COMMON), _hold(SCALARS))


def _instants() -> st.SearchStrategy[int]:
    """Few days, few microseconds around them: equal instants and exact edges are common."""
    shift = _hold((-1, 0, 0, 0, 1))
    spans = _hold((0, 0, 0, 0, 0, instants.DAY, 2 * instants.DAY, instants.HOUR, 30 * instants.DAY, instants.MINUTE))
    return st.builds(lambda one, other, micros: EPOCH - one - other + micros, spans, spans, shift)


as_of_instants = st.builds(lambda at, days: at + days * instants.DAY, _instants(), _hold((0, 1, 2, 30, 60)))


def _maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), strategy)


def _some(fields: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


_items = st.lists(
    st.fixed_dictionaries({"product_id": _hold(PRODUCTS)}, optional={"category": _maybe(_hold(PRODUCTS))}), max_size=3
)
_order = {"order_id": _hold(("o1", "o2", "o3", "ö"))}
_attributes = {
    "customer_type": _maybe(_hold(("individual", "business"))),
    "email_subscribed": _maybe(st.booleans()),
    "location": _maybe(_some({part: _maybe(_hold(PLACES)) for part in ("country", "state", "city")})),
    "traits": _maybe(st.dictionaries(_hold(KEYS), _maybe(_scalars), max_size=3)),
    "name": _maybe(_hold(TEXTS)),
}
_placed = st.fixed_dictionaries(
    {**_order, "currency": st.just("EUR"), "total": _hold(MONEY)},
    optional={"items": _maybe(_items), "test": _maybe(_hold((False, False, False, True)))},
)
_DATA = {
    "customer.registered": _some(_attributes),
    "customer.updated": _some(_attributes),
    "customer.logged_in": st.just({}),
    "customer.activity": st.just({"name": "seen"}),
    "order.placed": _placed,
    "order.updated": st.builds(
        lambda key, rest: key | rest,
        st.fixed_dictionaries(_order),
        _some({"total": _maybe(_hold(MONEY)), "items": _maybe(_items), "status": _hold(("paid", "cancelled"))}),
    ),
    "order.cancelled": st.fixed_dictionaries(_order),
    "order.refunded": st.fixed_dictionaries(
        {"refund_id": _hold(("r1", "r2", "r3")), "currency": st.just("EUR"), "amount": _hold(MONEY)},
        optional={"order_id": _maybe(_order["order_id"])},
    ),
}
_KINDS = (*_DATA, *["order.placed"] * 4, *["customer.updated"] * 2, "order.refunded", "order.updated")


@st.composite
def event_lists(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Events in the order of their arrival, which is not that of their times; ids are unique."""
    drafts = draw(
        st.lists(
            _hold(_KINDS).flatmap(
                lambda kind: st.tuples(
                    st.just(kind),
                    _hold(CUSTOMERS),
                    _instants(),
                    _maybe(_hold(("", "1", "2", "10", "é"))),
                    _DATA[kind],
                )
            ),
            min_size=10,
            max_size=40,
        )
    )
    names = draw(st.permutations(range(len(drafts))))
    return [
        {
            "specversion": "1.0",
            "id": f"e{name}",
            "type": kind,
            "time": instants.to_text(at),
            **({} if sequence is None else {"sequence": sequence}),
            "data": {"customer_id": customer, **data},
        }
        for name, (kind, customer, at, sequence, data) in zip(names, drafts, strict=True)
    ]


def _test(operator: st.SearchStrategy[str], value: st.SearchStrategy[Any], **more: Any) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries({"operator": operator, "value": value}, optional=more)


def _between(value: st.SearchStrategy[Any], **more: Any) -> st.SearchStrategy[Any]:
    bounds = st.tuples(value, value).map(lambda pair: sorted(pair, key=_sortable))
    return st.builds(
        lambda pair, rest: {"operator": "between", "min_value": pair[0], "max_value": pair[1], **rest},
        bounds,
        _some(more),
    )


def _sortable(value: Any) -> Any:
    return Decimal(repr(value) if isinstance(value, float) else value)


_windows = {"window": _hold(SPANS)}
_compare = ("eq", "gt", "gte", "lt", "lte")
_dates = st.one_of(_instants().map(instants.to_text), _hold(("2024-01-10", "2024-01-09", "2023-12-11", "0001-01-02")))


def _figure(values: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    one = _test(_hold(_compare), _hold(values), **_windows)
    return st.one_of(one, _between(_hold(values), **_windows))


_instant = st.one_of(
    st.fixed_dictionaries({"operator": _hold(("before", "after")), "date": _dates}),
    st.tuples(_instants(), _instants()).map(
        lambda pair: {
            "operator": "between",
            "start_date": instants.to_text(min(pair)),
            "end_date": instants.to_text(max(pair)),
        }
    ),
    st.tuples(_hold(("within_last", "more_than_ago")), _hold(SPANS)).map(lambda two: {"operator": two[0], **two[1]}),
)
_names = st.lists(_hold((*PRODUCTS, "none")), min_size=1, max_size=3)
_purchases = st.one_of(
    _names,
    st.fixed_dictionaries({"any": _names}, optional={"all": _names, **_windows}),
    st.fixed_dictionaries({"all": _names}, optional=_windows),
)
_trait = st.one_of(
    _test(_hold(("eq", "ne")), _scalars),
    _test(_hold(("gt", "gte", "lt", "lte")), _hold((*TEXTS, *NUMBERS))),
    _test(st.just("in"), st.lists(_scalars, min_size=1, max_size=3)),
    _test(st.just("contains"), _hold(TEXTS[1:])),
    _test(st.just("exists"), st.booleans()),
    _between(_hold(NUMBERS)),
    st.tuples(_hold(TEXTS), _hold(TEXTS)).map(
        lambda two: {"operator": "between", "min_value": min(two), "max_value": max(two)}
    ),
)
_keys = {
    "customer_type": _hold(("individual", "business")),
    "email_subscribed": st.booleans(),
    "location": _some({p: st.lists(_hold(PLACES), min_size=1, max_size=3) for p in ("countries", "states", "cities")}),
    "registration_date": _instant,
    "last_order_date": _instant,
    "last_login": _instant,
    "total_orders": _figure((0, 1, 2, 3, 1.5, "2.0")),
    "total_spent": _figure(FIGURES),
    "average_order_value": _figure(AVERAGES),
    "purchased_products": _purchases,
    "purchased_categories": _purchases,
    "never_purchased_categories": _names,
    "traits": st.dictionaries(_hold(KEYS), _trait, min_size=1, max_size=2),
}
_leaf = st.one_of(*[value.map(lambda found, key=key: {key: found}) for key, value in _keys.items()]).filter(
    lambda one: one.get("location") != {}
)
criteria = st.one_of(
    _leaf,
    st.recursive(
        _leaf,
        lambda inner: st.one_of(
            inner.map(lambda one: {"not": one}),
            st.lists(inner, min_size=1, max_size=3).map(lambda some: {"all": some}),
            st.lists(inner, min_size=1, max_size=3).map(lambda some: {"any": some}),
            st.tuples(inner, inner).map(lambda two: {**two[0], **two[1]}),
            st.just({}),
        ),
        max_leaves=6,
    ),
)


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
