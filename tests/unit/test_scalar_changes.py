"""The instants at which the reference interpreter may change its verdict by time alone."""

from __future__ import annotations

import pytest

from service.core import instants
from service.core.criteria.parse import parse_criteria
from service.core.criteria.scalar import verdict
from service.core.criteria.scalar_changes import instants_of_change
from service.core.criteria.scalar_facts import Life, MomentFact, stamp_of
from tests.lives import life_of
from tests.unit.scalar_support import DAY, NOW, START, did, event, placed


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
