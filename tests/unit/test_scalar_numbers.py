"""The reference interpreter on figures of orders."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from service.core.events.model import Event
from tests.unit.scalar_support import DAY, PERSON, WITHIN, event, holds, placed, shown

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
