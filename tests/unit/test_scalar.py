"""The reference interpreter: every predicate and operator of the language, and every boundary."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from service.core import instants
from service.core.criteria.parse import parse_criteria, parse_leaves
from service.core.criteria.scalar import value_of, verdict
from service.core.criteria.scalar_changes import instants_of_change
from service.core.criteria.scalar_facts import Life, MomentFact, stamp_of
from service.core.events.decode import Rules, decode
from service.core.events.model import Event
from tests.lives import life_of

DAY, HOUR = instants.DAY, instants.HOUR
START = instants.parse("2024-03-01T00:00:00Z")
NOW = START + 100 * DAY
RULES = Rules("EUR", 1_048_576, True)
OTHER = UUID(int=7)


def event(kind: str, at: int, event_id: str = "e", sequence: str | None = None, **data: Any) -> Event:
    """A decoded event of one customer; `at` is microseconds after START."""
    envelope = {"specversion": "1.0", "id": event_id, "type": kind, "time": instants.to_text(START + at)}
    if sequence is not None:
        envelope["sequence"] = sequence
    currency = {} if kind == "order.cancelled" or not kind.startswith("order.") else {"currency": "EUR"}
    raw = json.dumps({**envelope, "data": {"customer_id": "c", **currency, **data}}).encode()
    found = decode(raw, (), RULES, START + 10_000 * DAY)
    assert isinstance(found, Event), found
    return found


def placed(order: str, at: int, total: Any, *items: tuple[str, str | None], **more: Any) -> Event:
    """An order; items are (product, category)."""
    lines = [{"product_id": product, "category": category} for product, category in items]
    return event("order.placed", at, f"p-{order}-{at}", order_id=order, total=total, items=lines, **more)


def did(name: str, at: int, event_id: str | None = None, **properties: Any) -> Event:
    """An activity."""
    return event("customer.activity", at, event_id or f"{name}-{at}", name=name, properties=properties)


def holds(criteria: dict, *events: Event, at: int = 100 * DAY, members: Callable[[UUID], bool] = {}.get) -> bool:
    """The verdict, `at` microseconds after START."""
    return verdict(parse_criteria(criteria), life_of(events), START + at, members)


def shown(criteria: dict, *events: Event, at: int = 100 * DAY, members: Callable[[UUID], bool] = {}.get) -> Any:
    """The value of criteria with one condition."""
    (leaf,) = parse_leaves(criteria)[1]
    return value_of(leaf.criteria, life_of(events), START + at, members)


PERSON = event(
    "customer.registered",
    0,
    customer_type="business",
    email_subscribed=False,
    location={"country": "France", "city": "Lyon"},
    traits={"n": 5, "x": 1.5, "s": "b", "yes": True, "gone": None, "wide": 10**30},
)


class TestAttributes:
    """Attributes and traits."""

    @pytest.mark.parametrize(
        ("criteria", "is_true", "value"),
        [
            ({"customer_type": "business"}, True, "business"),
            ({"customer_type": "individual"}, False, "business"),
            ({"email_subscribed": False}, True, False),
            ({"email_subscribed": True}, False, False),
            ({"location": {"countries": ["Spain", "France"]}}, True, "France"),
            ({"location": {"countries": ["france"]}}, False, "France"),
            ({"location": {"states": ["Rhone"]}}, False, None),
            ({"location": {"cities": ["Lyon"]}}, True, "Lyon"),
        ],
    )
    def test_attributes(self, criteria: dict, is_true: bool, value: Any) -> None:
        """An attribute compares by code point; what is missing satisfies nothing."""
        assert holds(criteria, PERSON) is is_true
        assert shown(criteria, PERSON) == value
        assert holds({"not": criteria}, PERSON) is not is_true

    @pytest.mark.parametrize(
        ("trait", "operator", "given", "is_true"),
        [
            ("n", "eq", 5, True),
            ("n", "eq", "5", False),
            ("n", "eq", 5.0, True),
            ("yes", "eq", 1, False),
            ("yes", "eq", True, True),
            ("gone", "eq", 5, False),
            ("n", "ne", 5, False),
            ("n", "ne", "5", True),
            ("yes", "ne", 1, True),
            ("gone", "ne", 5, False),
            ("never", "ne", 5, False),
            ("n", "in", [4, 5], True),
            ("n", "in", ["5", True], False),
            ("gone", "in", [5], False),
            ("n", "gt", 4, True),
            ("n", "gt", 5, False),
            ("n", "gte", 5, True),
            ("n", "lt", 5, False),
            ("n", "lte", 5, True),
            ("x", "gt", 1.4999, True),
            ("x", "lte", "1.5", False),
            ("s", "gt", "a", True),
            ("s", "gt", "b", False),
            ("s", "gt", "B", True),
            ("s", "lt", 9, False),
            ("yes", "gte", 1, False),
            ("gone", "lte", 9, False),
            ("s", "contains", "b", True),
            ("s", "contains", "c", False),
            ("n", "contains", "5", False),
            ("n", "exists", True, True),
            ("n", "exists", False, False),
            ("gone", "exists", True, False),
            ("gone", "exists", False, True),
            ("never", "exists", False, True),
        ],
    )
    def test_operators(self, trait: str, operator: str, given: Any, is_true: bool) -> None:
        """The truth table, other types and missing values included."""
        assert holds({"traits": {trait: {"operator": operator, "value": given}}}, PERSON) is is_true

    @pytest.mark.parametrize(
        ("trait", "low", "high", "is_true"),
        [
            ("n", 5, 5, True),
            ("n", 4, 4.999, False),
            ("n", 5.001, 6, False),
            ("s", "a", "b", True),
            ("s", "a", "az", False),
            ("s", 1, 2, False),
            ("yes", 0, 1, False),
            ("gone", 0, 9, False),
        ],
    )
    def test_between(self, trait: str, low: Any, high: Any, is_true: bool) -> None:
        """Between includes both ends and compares one type only."""
        test = {"operator": "between", "min_value": low, "max_value": high}
        assert holds({"traits": {trait: test}}, PERSON) is is_true

    def test_values_of_traits(self) -> None:
        """A trait is shown as it is, exactly; a missing one is null."""
        some = {
            name: shown({"traits": {name: {"operator": "exists"}}}, PERSON) for name in ("x", "yes", "gone", "wide")
        }

        assert some == {"x": Decimal("1.5"), "yes": True, "gone": None, "wide": Decimal(10**30)}
        assert isinstance(some["wide"], Decimal)

    def test_the_latest_event_that_names_it_wins(self) -> None:
        """Traits merge by key, a location is replaced as a whole, null removes, ties go by sequence and id."""
        updates = [
            event("customer.updated", DAY, "b", traits={"n": 6, "s": None}, customer_type=None),
            event("customer.updated", DAY, "a", sequence="1", location={"state": "Rhone"}),
            event("customer.updated", DAY, "a2", traits={"n": 7}, location={"country": "Spain"}),
        ]
        for events in ([PERSON, *updates], [*reversed(updates), PERSON]):
            assert shown({"traits": {"n": {"operator": "exists"}}}, *events) == 6
            assert shown({"traits": {"x": {"operator": "exists"}}}, *events) == Decimal("1.5")
            assert holds({"traits": {"s": {"operator": "exists", "value": False}}}, *events)
            assert shown({"location": {"states": ["Rhone"]}}, *events) == "Rhone"
            assert shown({"location": {"countries": ["Spain"]}}, *events) is None
            assert shown({"customer_type": "business"}, *events) is None

    def test_null_as_a_whole(self) -> None:
        """A null location and null traits remove all that they held; later ones count again."""
        emptied = [PERSON, event("customer.updated", DAY, "u", location=None, traits=None)]
        later = [*emptied, event("customer.updated", 2 * DAY, "v", traits={"s": "z"})]

        assert not holds({"location": {"cities": ["Lyon"]}}, *emptied)
        assert not holds({"traits": {"n": {"operator": "exists"}}}, *emptied)
        assert not holds({"traits": {"n": {"operator": "exists"}}}, *later)
        assert shown({"traits": {"s": {"operator": "exists"}}}, *later) == "z"
        assert holds({"traits": {"n": {"operator": "exists"}}}, *later, at=DAY - 1)


AT = instants.to_text(START + 10 * DAY)
WITHIN = {"operator": "within_last", "days": 5}
AGO = {"operator": "more_than_ago", "days": 5}


class TestInstants:
    """Dates and ages."""

    @pytest.mark.parametrize(
        ("test", "is_true"),
        [
            ({"operator": "before", "date": AT}, False),
            ({"operator": "before", "date": "2024-03-11T00:00:00.000001Z"}, True),
            ({"operator": "after", "date": AT}, False),
            ({"operator": "after", "date": "2024-03-10T23:59:59.999999Z"}, True),
            ({"operator": "before", "date": "2024-03-11"}, False),
            ({"operator": "before", "date": "2024-03-12"}, True),
            ({"operator": "after", "date": "2024-03-11"}, False),
            ({"operator": "after", "date": "2024-03-10"}, True),
            ({"operator": "between", "start_date": AT, "end_date": AT}, True),
            ({"operator": "between", "start_date": "2024-03-11", "end_date": "2024-03-11"}, True),
            ({"operator": "between", "start_date": "2024-03-09", "end_date": "2024-03-10"}, False),
            ({"operator": "between", "start_date": "2024-03-12", "end_date": "2024-03-13"}, False),
        ],
    )
    def test_dates(self, test: dict, is_true: bool) -> None:
        """Before and after exclude, between includes; a date without a time is the whole UTC day."""
        assert holds({"registration_date": test}, event("customer.registered", 10 * DAY)) is is_true
        assert not holds({"registration_date": test}, event("customer.logged_in", 10 * DAY))

    @pytest.mark.parametrize(
        ("test", "age", "is_true"),
        [
            (WITHIN, 0, True),
            (WITHIN, 5 * DAY - 1, True),
            (WITHIN, 5 * DAY, False),
            (AGO, 0, False),
            (AGO, 5 * DAY - 1, False),
            (AGO, 5 * DAY, True),
            ({"operator": "within_last", "hours": 2}, 2 * HOUR, False),
            ({"operator": "within_last", "minutes": 121}, 2 * HOUR, True),
        ],
    )
    def test_ages(self, test: dict, age: int, is_true: bool) -> None:
        """An instant ages out of within_last and into more_than_ago at exactly t + W."""
        assert holds({"last_login": test}, event("customer.logged_in", 50 * DAY), at=50 * DAY + age) is is_true
        assert not holds({"last_login": test}, event("customer.registered", 50 * DAY), at=50 * DAY + age)

    def test_which_instant(self) -> None:
        """The first registration, the latest login, the latest order that counts."""
        events = [
            event("customer.registered", DAY, "r1"),
            event("customer.registered", 2 * DAY, "r2"),
            event("customer.logged_in", 3 * DAY, "l1"),
            event("customer.logged_in", 4 * DAY, "l2"),
            placed("a", 5 * DAY, 1),
            placed("b", 6 * DAY, 1),
            event("order.cancelled", 7 * DAY, "x", order_id="b"),
        ]
        dates = {
            name: shown({name: WITHIN}, *reversed(events))
            for name in ("registration_date", "last_login", "last_order_date")
        }

        assert dates == {
            "registration_date": "2024-03-02T00:00:00Z",
            "last_login": "2024-03-05T00:00:00Z",
            "last_order_date": "2024-03-06T00:00:00Z",
        }
        assert shown({"last_login": WITHIN}, PERSON) is None
        assert shown({"last_order_date": WITHIN}, *events, at=6 * DAY + HOUR) == "2024-03-07T00:00:00Z"


SHOPPING = [placed("a", 0, "33.33"), placed("b", DAY, "33.33"), placed("c", 2 * DAY, "33.34")]


class TestNumbers:
    """Figures from orders."""

    @pytest.mark.parametrize(
        ("field", "operator", "given", "is_true"),
        [
            ("total_orders", "eq", 3, True),
            ("total_orders", "eq", 2.5, False),
            ("total_orders", "gt", 2.5, True),
            ("total_orders", "gt", 3, False),
            ("total_orders", "gte", 3, True),
            ("total_orders", "lt", 3, False),
            ("total_orders", "lte", 3, True),
            ("total_spent", "eq", "100.00", True),
            ("total_spent", "eq", "100.001", False),
            ("total_spent", "gt", "99.999", True),
            ("total_spent", "gt", 100, False),
            ("total_spent", "gte", 100, True),
            ("total_spent", "gte", "100.000001", False),
            ("total_spent", "lt", 100, False),
            ("total_spent", "lt", "100.000001", True),
            ("total_spent", "lte", 100, True),
            ("total_spent", "eq", "100.0000000000000001", False),
            ("average_order_value", "eq", "33.33", False),
            ("average_order_value", "gt", "33.3333", True),
            ("average_order_value", "lt", "33.3334", True),
            ("average_order_value", "gte", "33.3334", False),
            ("average_order_value", "lte", "33.3333", False),
        ],
    )
    def test_operators(self, field: str, operator: str, given: Any, is_true: bool) -> None:
        """Numbers are exact: fractions of a cent in a bound count, and an average is not rounded."""
        assert holds({field: {"operator": operator, "value": given}}, *SHOPPING) is is_true

    @pytest.mark.parametrize(
        ("field", "low", "high", "is_true"),
        [
            ("total_orders", 3, 3, True),
            ("total_orders", 4, 9, False),
            ("total_spent", "100", "100", True),
            ("total_spent", "0", "99.99", False),
            ("average_order_value", "33.3333", "33.3334", True),
            ("average_order_value", "33.3334", "99", False),
            ("average_order_value", "0", "33.3333", False),
        ],
    )
    def test_between(self, field: str, low: Any, high: Any, is_true: bool) -> None:
        """Between includes both ends."""
        assert holds({field: {"operator": "between", "min_value": low, "max_value": high}}, *SHOPPING) is is_true

    @pytest.mark.parametrize(
        ("field", "value", "nothing"),
        [("total_orders", 3, 0), ("total_spent", "100.00", "0.00"), ("average_order_value", "33.33", None)],
    )
    def test_values(self, field: str, value: Any, nothing: Any) -> None:
        """Counts are whole, money is decimal text; without orders the average alone is missing."""
        test = {field: {"operator": "lte", "value": 0}}

        assert shown(test, *SHOPPING) == value
        assert shown(test, PERSON) == nothing
        assert holds(test, PERSON) is (nothing is not None)

    @pytest.mark.parametrize(
        ("age", "count", "spent"), [(2 * DAY - 1, 3, "7.00"), (2 * DAY, 2, "6.00"), (6 * DAY, 0, "0.00")]
    )
    def test_windows(self, age: int, count: int, spent: str) -> None:
        """An order leaves a window of W at exactly t + W."""
        events = [placed("a", 0, 1), placed("b", DAY, 2), placed("c", DAY, 4)]
        window = {"operator": "gte", "value": 0, "window": {"days": 2}}

        assert shown({"total_orders": window}, *events, at=age) == count
        assert shown({"total_spent": window}, *events, at=age) == spent
        average = Decimal(spent) / count if count else None
        assert shown({"average_order_value": window}, *events, at=age) == (
            None if average is None else f"{average:.2f}"
        )

    @pytest.mark.parametrize(
        ("events", "orders", "spent"),
        [
            ([placed("a", DAY, 5)], 1, "5.00"),
            ([placed("a", DAY, 5), placed("a", 2 * DAY, 7)], 1, "7.00"),
            ([placed("a", DAY, 5), event("order.updated", 2 * DAY, order_id="a", total=8)], 1, "8.00"),
            ([placed("a", DAY, 5), event("order.updated", 0, order_id="a", total=8)], 1, "5.00"),
            ([placed("a", DAY, 5), event("order.updated", DAY, "z", order_id="a", total=8)], 1, "8.00"),
            ([placed("a", DAY, 5), event("order.updated", DAY, "a", order_id="a", total=8)], 1, "5.00"),
            ([placed("a", DAY, 5), event("order.updated", DAY, "a", "0", order_id="a", total=8)], 1, "8.00"),
            ([placed("a", DAY, 5), event("order.updated", 2 * DAY, order_id="a", status="cancelled")], 1, "5.00"),
            ([event("order.updated", 2 * DAY, order_id="a", total=8)], 0, "0.00"),
            ([placed("a", DAY, 5), event("order.cancelled", 0, order_id="a")], 0, "0.00"),
            ([placed("a", DAY, 5, test=True)], 0, "0.00"),
            ([placed("a", DAY, 5, test=True), placed("a", 2 * DAY, 6)], 0, "0.00"),
            ([placed("a", DAY, -5)], 1, "-5.00"),
        ],
    )
    def test_orders_fold(self, events: list[Event], orders: int, spent: str) -> None:
        """The latest event that names the total gives it; cancelled and test orders count nowhere."""
        for some in (events, list(reversed(events))):
            assert shown({"total_orders": {"operator": "eq", "value": 0}}, *some) == orders
            assert shown({"total_spent": {"operator": "eq", "value": 0}}, *some) == spent

    def test_date_of_an_order(self) -> None:
        """An order's date is its earliest order.placed, which no update moves."""
        events = [
            placed("a", 5 * DAY, 5),
            placed("a", 2 * DAY, 6),
            event("order.updated", 9 * DAY, "u", order_id="a", total=1),
            event("order.updated", DAY, "v", order_id="a", total=1),
        ]

        assert shown({"last_order_date": WITHIN}, *events) == "2024-03-03T00:00:00Z"

    @pytest.mark.parametrize(
        ("refunds", "at", "spent"),
        [
            ([("r", 11, "a", 3)], 11, "7.00"),
            ([("r", 11, "a", 3)], 10, "10.00"),
            ([("r", 11, "a", 3), ("s", 12, "a", 12)], 12, "-5.00"),
            ([("r", 11, "a", 3), ("r", 12, "a", 4)], 12, "6.00"),
            ([("r", 11, "a", 3), ("r", 12, None, 4)], 12, "6.00"),
            ([("r", 11, "nowhere", 3)], 12, "10.00"),
            ([("r", 11, "gone", 3)], 12, "10.00"),
            ([("r", 11, "test", 3)], 12, "10.00"),
            ([("r", 11, None, 3)], 12, "7.00"),
        ],
    )
    def test_refunds(self, refunds: list[tuple], at: int, spent: str) -> None:
        """A refund counts while its order does; of several facts of one the latest gives amount and order."""
        events = [
            placed("a", 10 * DAY, 10),
            placed("gone", DAY, 50),
            event("order.cancelled", 2 * DAY, "x", order_id="gone"),
            placed("test", DAY, 50, test=True),
        ]
        for place, (refund, day, order, amount) in enumerate(refunds):
            data = {"refund_id": refund, "order_id": order, "amount": amount}
            events.append(event("order.refunded", day * DAY, f"r{place}", **data))

        assert shown({"total_spent": {"operator": "eq", "value": 0}}, *events, at=at * DAY) == spent

    def test_orders_ascend_by_their_dates(self) -> None:
        """An update that came before does not make its order an older one."""
        early = event("order.updated", 0, order_id="a", total=1)
        window = {"total_orders": {"operator": "eq", "value": 1, "window": {"days": 4}}}
        events = [early, placed("b", 3 * DAY, 5), placed("a", 5 * DAY, 5)]

        assert shown(window, *events, at=8 * DAY) == 1
        assert shown({"last_order_date": WITHIN}, *events) == "2024-03-06T00:00:00Z"

    def test_refunds_in_windows(self) -> None:
        """In a window a refund goes with its order's date; one without order goes by its own, the earliest it had."""
        window = {"total_spent": {"operator": "eq", "value": 0, "window": {"days": 5}}}
        order = placed("a", 0, 10)
        late = event("order.refunded", 4 * DAY, "x", refund_id="r", order_id="a", amount=3)
        alone = [
            event("order.refunded", 4 * DAY, "y", refund_id="s", order_id=None, amount=2),
            event("order.refunded", 6 * DAY, "z", refund_id="s", order_id=None, amount=1),
        ]

        assert shown(window, order, late, at=5 * DAY - 1) == "7.00"
        assert shown(window, order, late, at=5 * DAY) == "0.00"
        assert shown(window, *alone, at=9 * DAY - 1) == "-1.00"
        assert shown(window, *alone, at=9 * DAY) == "0.00"

    @pytest.mark.parametrize(
        ("totals", "shown_as"), [(["0.01", "0.02"], "0.02"), ([-1, "-1.01"], "-1.01"), ([1, 2, 2], "1.67")]
    )
    def test_averages_shown(self, totals: list, shown_as: str) -> None:
        """An average is shown rounded, halves away from zero, as everywhere else."""
        events = [placed(f"o{place}", place, total) for place, total in enumerate(totals)]

        assert shown({"average_order_value": {"operator": "gt", "value": 0}}, *events) == shown_as


BASKETS = [
    placed("a", 0, 1, ("p1", "books"), ("p2", None)),
    placed("b", 10 * DAY, 1, ("p3", "toys"), ("p1", "books")),
    placed("c", 20 * DAY, 1, ("p4", "cars")),
    event("order.cancelled", 21 * DAY, order_id="c"),
]


class TestPurchases:
    """Products and categories."""

    @pytest.mark.parametrize(
        ("criteria", "is_true", "value"),
        [
            ({"purchased_products": ["p9", "p1"]}, True, ["p1"]),
            ({"purchased_products": ["p4"]}, False, []),
            ({"purchased_products": {"all": ["p3", "p2"]}}, True, ["p3", "p2"]),
            ({"purchased_products": {"all": ["p3", "p4"]}}, False, ["p3"]),
            ({"purchased_categories": ["books", "cars"]}, True, ["books"]),
            ({"purchased_categories": {"any": ["toys"], "all": ["books"]}}, True, {"any": ["toys"], "all": ["books"]}),
            ({"purchased_categories": {"any": ["cars"], "all": ["books"]}}, False, {"any": [], "all": ["books"]}),
            ({"never_purchased_categories": ["cars", "food"]}, True, []),
            ({"never_purchased_categories": ["food", "toys"]}, False, ["toys"]),
        ],
    )
    def test_names(self, criteria: dict, is_true: bool, value: Any) -> None:
        """Only orders that count hold anything; the names that were found are shown."""
        assert holds(criteria, *BASKETS) is is_true
        assert shown(criteria, *BASKETS) == value

    def test_windows(self) -> None:
        """A purchase leaves a window at exactly t + W; each name goes by its latest purchase."""
        window = {"purchased_products": {"all": ["p1", "p3"], "window": {"days": 5}}}
        other = {"purchased_products": {"any": ["p2"], "window": {"days": 5}}}

        assert holds(window, *BASKETS, at=15 * DAY - 1)
        assert not holds(window, *BASKETS, at=15 * DAY)
        assert holds(other, *BASKETS, at=5 * DAY - 1)
        assert not holds(other, *BASKETS, at=5 * DAY)

    def test_nothing_bought(self) -> None:
        """Without orders nothing was purchased and never_purchased is true."""
        assert not holds({"purchased_products": {"all": ["p"]}}, PERSON)
        assert holds({"never_purchased_categories": ["p"]}, PERSON)

    def test_items_are_replaced(self) -> None:
        """Items are those of the latest event that names them."""
        update = event("order.updated", DAY, order_id="a", items=[{"product_id": "new"}])

        assert shown({"purchased_products": ["p1", "new"]}, BASKETS[0], update) == ["new"]
        assert shown({"purchased_products": ["p1", "new"]}, BASKETS[0], update, at=HOUR) == ["p1"]


VIEWS = [
    did("view", 0, price=10, kind="a"),
    did("view", DAY, price=2.5, kind="b"),
    did("view", 2 * DAY, price="2.5", kind="a"),
    did("view", 3 * DAY, price=True),
    did("view", 4 * DAY, price=2.50, kind=None),
    did("view", 5 * DAY),
    did("buy", 6 * DAY, price=100),
]


def figure(name: str, operator: str, value: Any, **more: Any) -> dict:
    """Criteria on a figure of the prices of views."""
    where = {key: more.pop(key) for key in ("where", "window") if key in more}
    test = {"operator": operator, "value": value} | ({} if name == "count" else {"property": "price"}) | more
    return {"activity": {"name": "view", name: test, **where}}


class TestActivities:
    """Figures of activities."""

    @pytest.mark.parametrize(
        ("name", "value", "nothing"),
        [
            ("count", 6, 0),
            ("distinct", 4, 0),
            ("sum", 15, 0),
            ("avg", 5, None),
            ("min", Decimal("2.5"), None),
            ("max", 10, None),
        ],
    )
    def test_figures(self, name: str, value: Any, nothing: Any) -> None:
        """Only numbers are summed; different values are told apart by type and value; missing is none."""
        assert shown(figure(name, "eq", 0), *VIEWS) == value
        assert holds(figure(name, "eq", float(value)), *VIEWS)
        assert not holds(figure(name, "gt", float(value)), *VIEWS)
        assert holds(figure(name, "gte", float(value)), *VIEWS)
        assert not holds(figure(name, "lt", float(value)), *VIEWS)
        assert holds(figure(name, "lte", float(value)), *VIEWS)
        assert shown(figure(name, "eq", 0), PERSON) == nothing
        assert holds(figure(name, "eq", 0), PERSON) is (nothing == 0)
        assert holds(figure(name, "lt", 1), PERSON) is (nothing == 0)

    @pytest.mark.parametrize(("low", "high", "is_true"), [(6, 6, True), (5.5, 6.5, True), (0, 5, False), (7, 9, False)])
    def test_between(self, low: float, high: float, is_true: bool) -> None:
        """Between includes both ends."""
        test = {"operator": "between", "min_value": low, "max_value": high}
        assert holds({"activity": {"name": "view", "count": test}}, *VIEWS) is is_true

    def test_without_a_figure(self) -> None:
        """Without a figure: at least once."""
        assert holds({"activity": {"name": "buy"}}, *VIEWS)
        assert shown({"activity": {"name": "buy"}}, *VIEWS) == 1
        assert not holds({"activity": {"name": "Buy"}}, *VIEWS)
        assert holds({"activity": {"name": "sell", "count": {"operator": "eq", "value": 0}}}, *VIEWS)

    @pytest.mark.parametrize(
        ("where", "count"),
        [
            ({"kind": {"operator": "eq", "value": "a"}}, 2),
            ({"kind": {"operator": "ne", "value": "a"}}, 1),
            ({"kind": {"operator": "exists", "value": False}}, 3),
            ({"price": {"operator": "gte", "value": 2.5}}, 3),
            ({"price": {"operator": "eq", "value": "2.5"}}, 1),
            ({"price": {"operator": "eq", "value": True}}, 1),
            ({"price": {"operator": "eq", "value": 1}}, 0),
            ({"kind": {"operator": "in", "value": ["a", "b"]}, "price": {"operator": "lt", "value": 5}}, 1),
        ],
    )
    def test_where(self, where: dict, count: int) -> None:
        """Every test must pass, by the truth table of traits."""
        assert shown(figure("count", "eq", 0, where=where), *VIEWS) == count

    @pytest.mark.parametrize(
        ("at", "count"), [(5 * DAY - 1, 2), (5 * DAY, 2), (6 * DAY, 1), (7 * DAY - 1, 1), (7 * DAY, 0)]
    )
    def test_windows(self, at: int, count: int) -> None:
        """An activity leaves a window at exactly t + W."""
        assert shown(figure("count", "eq", 0, window={"days": 2}), *VIEWS, at=at) == count

    def test_windows_of_values(self) -> None:
        """The other figures go by the window as well."""
        window = {"window": {"days": 2}}
        figures = {
            name: [shown(figure(name, "eq", 0, **window), *VIEWS, at=at) for at in (DAY, 3 * DAY, 9 * DAY)]
            for name in ("sum", "avg", "min", "max", "distinct")
        }

        half = Decimal("2.5")
        assert figures == {
            "sum": [Decimal("12.5"), 0, 0],
            "avg": [Decimal("6.25"), None, None],
            "min": [half, None, None],
            "max": [10, None, None],
            "distinct": [2, 2, 0],
        }

    def test_exact(self) -> None:
        """Sums are exact beyond every float; an average compares exactly and is rounded only to be shown."""
        wide = [did("view", place, price=json.loads(text)) for place, text in enumerate(("1e30", "1", "-1e30"))]
        thirds = [did("view", place, price=price) for place, price in enumerate((1, 0, 0))]

        assert shown(figure("sum", "eq", 0), *wide) == 1
        assert shown(figure("sum", "eq", 0), *wide[:2]) == Decimal(10**30 + 1)
        assert not holds(figure("avg", "eq", "0.33333333333333333333333333333333333333"), *thirds)
        assert holds(figure("avg", "gt", "0.33333333333333333333333333333333333333"), *thirds)
        assert shown(figure("avg", "gt", 0), *thirds) == Decimal("0." + 38 * "3")

    def test_types_apart(self) -> None:
        """1, 1.0 and 1e0 are one value; true and "1" are others."""
        views = [did("view", place, price=price) for place, price in enumerate((1, 1.0, True, "1", 2, True))]

        assert shown(figure("distinct", "eq", 0), *views) == 4
        assert shown(figure("sum", "eq", 0), *views) == 4
        assert shown(figure("max", "eq", 0), *views) == 2

    def test_each_event_once(self) -> None:
        """An activity that comes twice is one."""
        assert shown(figure("count", "eq", 0), *VIEWS, *VIEWS) == 6


class TestWhole:
    """Groups, other segments, existence."""

    @pytest.mark.parametrize(
        ("criteria", "is_true"),
        [
            ({}, True),
            ({"not": {}}, False),
            ({"customer_type": "business", "email_subscribed": True}, False),
            ({"any": [{"customer_type": "individual"}, {"email_subscribed": False}]}, True),
            ({"any": [{"customer_type": "individual"}, {"email_subscribed": True}]}, False),
            ({"all": [{"customer_type": "business"}, {"not": {"email_subscribed": True}}]}, True),
            ({"not": {"last_login": {"operator": "within_last", "days": 1}}}, True),
        ],
    )
    def test_groups(self, criteria: dict, is_true: bool) -> None:
        """An object is the conjunction of its keys; logic is two-valued."""
        assert holds(criteria, PERSON) is is_true

    def test_other_segments(self) -> None:
        """Whoever asks says who is a member of another segment."""
        for is_member in (True, False):
            members = {OTHER: is_member}.__getitem__
            assert holds({"member_of": str(OTHER)}, PERSON, members=members) is is_member
            assert holds({"not_member_of": str(OTHER)}, PERSON, members=members) is not is_member
            assert shown({"member_of": str(OTHER)}, PERSON, members=members) is is_member
            assert shown({"not_member_of": str(OTHER)}, PERSON, members=members) is is_member

    def test_existence(self) -> None:
        """A customer exists from the first event of any type on, and no more once deleted."""
        view = did("view", DAY)
        gone = event("customer.deleted", 2 * DAY, "d")

        assert not holds({}, view, gone, at=DAY - 1)
        assert holds({}, view, gone, at=DAY)
        assert holds({}, view, gone, at=2 * DAY - 1)
        assert not holds({}, view, gone, at=2 * DAY)
        assert not holds({"not": {"customer_type": "business"}}, at=DAY)

    def test_later_facts_do_not_count(self) -> None:
        """A life may hold what comes later; each instant has its own truth, in whatever order they are asked for."""
        life = life_of([placed("a", DAY, 1), placed("b", 3 * DAY, 1)])
        criteria = parse_criteria({"total_orders": {"operator": "eq", "value": 1}})
        days = (2, 4, 0, 1, 3, 2)

        assert [verdict(criteria, life, START + day * DAY, lambda _: False) for day in days] == [
            True,
            False,
            False,
            True,
            False,
            True,
        ]


class TestChanges:
    """The instants at which time alone may change a verdict."""

    EVENTS = (
        event("customer.registered", 0, "r"),
        event("customer.logged_in", DAY, "l"),
        placed("a", 2 * DAY, 1),
        event("order.refunded", 3 * DAY, "x", refund_id="s", order_id=None, amount=1),
        did("view", 4 * DAY),
        did("buy", 5 * DAY),
        event("order.updated", 6 * DAY, "u", order_id="a", total=2),
        event("customer.logged_in", DAY, "again"),
        event("customer.logged_in", 200 * DAY, "later"),
    )

    @pytest.mark.parametrize(
        ("criteria", "days"),
        [
            ({"customer_type": "business"}, []),
            ({"registration_date": {"operator": "within_last", "days": 110}}, [110]),
            ({"registration_date": {"operator": "before", "date": "2024-12-01"}}, []),
            ({"last_login": {"operator": "more_than_ago", "days": 110}}, [111, 310]),
            ({"last_order_date": {"operator": "within_last", "days": 110}}, [112]),
            ({"total_orders": {"operator": "gt", "value": 1, "window": {"days": 110}}}, [112, 113]),
            ({"total_spent": {"operator": "gt", "value": 1}}, []),
            ({"purchased_products": {"any": ["p"], "window": {"days": 110}}}, [112, 113]),
            ({"activity": {"name": "view", "window": {"days": 110}}}, [114]),
            ({"activity": {"name": "view"}}, []),
            (
                {
                    "sequence": {
                        "steps": [{"activity": {"name": "buy"}}, {"order": {}, "not": True}],
                        "within": {"days": 110},
                    }
                },
                [115],
            ),
            ({"sequence": {"steps": [{"order": {}}, {"activity": {"name": "x"}}], "within": {"days": 110}}}, [112]),
            ({"last_login": {"operator": "within_last", "days": 36_500}}, [36_501, 36_700]),
        ],
    )
    def test_instants(self, criteria: dict, days: list[int]) -> None:
        """Spans begin with what the predicate speaks of; what has not come yet changes things when it comes."""
        life = life_of(self.EVENTS)
        found = [(at - START) // DAY for at in instants_of_change([parse_criteria(criteria)], life, NOW)]

        assert found == sorted({*days, 200})

    def test_nothing_is_missed(self) -> None:
        """Between the instants no verdict changes."""
        whole = {
            "any": [
                {"total_spent": {"operator": "gte", "value": 1, "window": {"days": 3}}},
                {
                    "last_login": {"operator": "more_than_ago", "days": 2},
                    "activity": {"name": "view", "window": {"days": 4}},
                },
            ]
        }
        criteria, life = parse_criteria(whole), life_of(self.EVENTS)
        looks = set(instants_of_change([criteria], life, START - 1))
        step = DAY // 4
        verdicts = {
            at: verdict(criteria, life, at, lambda _: False) for at in range(START - step, START + 20 * DAY, step)
        }
        changes = {at for at in verdicts if at - step in verdicts and verdicts[at] != verdicts[at - step]}

        assert len(changes) > 2
        assert changes <= looks

    def test_end_of_the_calendar(self) -> None:
        """What would be later than every date is never."""
        criteria = parse_criteria({"last_login": {"operator": "within_last", "days": 5}})
        late = instants.INSTANT_MAX - 5 * DAY
        logins = [MomentFact(stamp_of(at, None, str(at)), "logged_in") for at in (late, late + 1)]

        assert list(instants_of_change([criteria], Life(logins), late + 1)) == [instants.INSTANT_MAX]

    def test_empty(self) -> None:
        """Without facts nothing will ever change."""
        criteria = parse_criteria({"last_login": {"operator": "within_last", "days": 1}})

        assert list(instants_of_change([criteria], Life([]), NOW)) == []
