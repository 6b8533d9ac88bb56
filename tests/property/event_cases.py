"""Generated events: equal instants, missing fields, values of every kind, in the order of no timeline."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from service.core import instants
from tests.property.value_cases import (
    ACTIVITIES,
    CUSTOMERS,
    KEYS,
    MONEY,
    PLACES,
    PRODUCTS,
    TEXTS,
    hold,
    instants_near,
    maybe,
    often,
    scalars,
    some,
)

_items = st.lists(
    st.fixed_dictionaries({"product_id": hold(PRODUCTS)}, optional={"category": maybe(hold(PRODUCTS))}), max_size=3
)
_order = {"order_id": hold(("o1", "o2", "o3", "ö"))}
_refund = {"refund_id": hold(("r1", "r2", "r3")), "currency": st.just("EUR")}
_attributes = {
    "customer_type": maybe(hold(("individual", "business"))),
    "email_subscribed": maybe(st.booleans()),
    "location": maybe(some({part: maybe(hold(PLACES)) for part in ("country", "state", "city")})),
    "traits": maybe(st.dictionaries(hold(KEYS), maybe(scalars), max_size=3)),
    "name": maybe(hold(TEXTS)),
}
_placed = st.fixed_dictionaries(
    {**_order, "currency": st.just("EUR"), "total": hold(MONEY)},
    optional={"items": maybe(_items), "test": maybe(hold((False, False, False, True)))},
)
_DATA = {
    "customer.registered": some(_attributes),
    "customer.updated": some(_attributes),
    "customer.logged_in": st.just({}),
    "customer.activity": st.fixed_dictionaries(
        {"name": hold(ACTIVITIES)},
        optional={"properties": often((1, st.none()), (5, st.dictionaries(hold(KEYS), maybe(scalars), max_size=3)))},
    ),
    "order.placed": _placed,
    "order.updated": st.builds(
        lambda key, rest: key | rest,
        st.fixed_dictionaries(_order),
        some({"total": maybe(hold(MONEY)), "items": maybe(_items), "status": hold(("paid", "cancelled"))}),
    ),
    "order.cancelled": st.fixed_dictionaries(_order),
    "order.refunded": often(
        (
            3,
            st.fixed_dictionaries({**_refund, "amount": hold(MONEY)}, optional={"order_id": maybe(_order["order_id"])}),
        ),
        (1, st.fixed_dictionaries({**_refund, "order_id": _order["order_id"], "amount": st.just("full")})),
    ),
}
_KINDS = (
    *_DATA,
    *["order.placed"] * 4,
    *["customer.updated"] * 2,
    "order.refunded",
    "order.updated",
    *["customer.activity"] * 6,
)


@st.composite
def event_lists(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Events in the order of their arrival, which is not that of their times; ids are unique."""
    drafts = draw(
        st.lists(
            hold(_KINDS).flatmap(
                lambda kind: st.tuples(
                    st.just(kind),
                    hold(CUSTOMERS),
                    instants_near(),
                    maybe(hold(("", "1", "2", "10", "é"))),
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
