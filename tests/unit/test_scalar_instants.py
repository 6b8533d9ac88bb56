"""The reference interpreter on dates and ages."""

from __future__ import annotations

import pytest

from service.core import instants
from tests.unit.scalar_support import DAY, HOUR, PERSON, START, WITHIN, event, holds, placed, shown

AT = instants.to_text(START + 10 * DAY)
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
