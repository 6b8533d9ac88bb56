"""The reference interpreter on attributes and traits."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.unit.scalar_support import DAY, PERSON, event, holds, shown


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
