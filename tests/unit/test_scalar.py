"""The reference interpreter on criteria as a whole: groups, other segments, existence."""

from __future__ import annotations

from uuid import UUID

import pytest

from service.core.criteria.parse import parse_criteria
from service.core.criteria.scalar import verdict
from tests.lives import life_of
from tests.unit.scalar_support import DAY, PERSON, START, did, event, holds, placed, shown

OTHER = UUID(int=7)


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
