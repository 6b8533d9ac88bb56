"""Criteria in the contract's form are read whole, or refused with every fault and its path."""

from __future__ import annotations

import pytest

from service.core.criteria.parse import CriteriaError, parse_criteria


def faults(source: object) -> dict[str, str]:
    """Faults by path."""
    with pytest.raises(CriteriaError) as caught:
        parse_criteria(source)
    return {fault.path: fault.message for fault in caught.value.faults}


class TestRefused:
    """What the contract does not allow."""

    @pytest.mark.parametrize(
        ("source", "path"),
        [
            ([], "criteria"),
            ({"foo": 1}, "criteria.foo"),
            ({"all": []}, "criteria.all"),
            ({"any": {}}, "criteria.any"),
            ({"not": []}, "criteria.not"),
            ({"location": {}}, "criteria.location"),
            ({"location": {"countries": []}}, "criteria.location.countries"),
            ({"location": {"planets": ["x"]}}, "criteria.location.planets"),
            ({"customer_type": "robot"}, "criteria.customer_type"),
            ({"email_subscribed": 1}, "criteria.email_subscribed"),
            ({"total_spent": {"operator": "gte", "value": "much"}}, "criteria.total_spent.value"),
            ({"total_spent": {"operator": "gte", "value": True}}, "criteria.total_spent.value"),
            ({"total_spent": {"operator": "gte", "value": float("nan")}}, "criteria.total_spent.value"),
            ({"total_spent": {"operator": "gte", "value": 10**400}}, "criteria.total_spent.value"),
            ({"total_spent": {"operator": "gte"}}, "criteria.total_spent.value"),
            ({"total_spent": {"operator": "near", "value": 1}}, "criteria.total_spent.operator"),
            ({"total_spent": {"operator": "between", "min_value": 2, "max_value": 1}}, "criteria.total_spent"),
            ({"total_spent": {"operator": "gt", "value": 1, "widow": 1}}, "criteria.total_spent.widow"),
            ({"total_orders": {"operator": "gt", "value": 1, "window": {}}}, "criteria.total_orders.window"),
            (
                {"total_orders": {"operator": "gt", "value": 1, "window": {"days": 0}}},
                "criteria.total_orders.window.days",
            ),
            ({"average_order_value": {"operator": "gt", "value": "1.00001"}}, "criteria.average_order_value.value"),
            ({"last_login": {"operator": "within_last"}}, "criteria.last_login"),
            ({"last_login": {"operator": "within_last", "days": 1, "hours": 1}}, "criteria.last_login"),
            ({"last_login": {"operator": "before", "date": "2024-01-01T00:00:00"}}, "criteria.last_login.date"),
            ({"last_login": {"operator": "before", "date": "2024-13-01"}}, "criteria.last_login.date"),
            ({"purchased_products": []}, "criteria.purchased_products"),
            ({"purchased_products": {"window": {"days": 1}}}, "criteria.purchased_products"),
            ({"never_purchased_categories": {"any": ["x"]}}, "criteria.never_purchased_categories"),
            ({"traits": {}}, "criteria.traits"),
            ({"traits": {"a": {"operator": "gt", "value": True}}}, "criteria.traits.a.value"),
            ({"traits": {"a": {"operator": "in", "value": []}}}, "criteria.traits.a.value"),
            ({"traits": {"a\0": {"operator": "exists"}}}, "criteria.traits.a\0"),
            ({"member_of": "x"}, "criteria.member_of"),
        ],
    )
    def test_the_path_of_the_fault_is_named(self, source: object, path: str) -> None:
        """Each fault is found at its path, with a message that says what must stand there."""
        found = faults(source)
        assert path in found
        assert found[path]

    def test_every_fault_at_once(self) -> None:
        """All faults are told together, with indices of lists."""
        found = faults({"all": [{"foo": 1}, {"total_spent": {"operator": "gt", "value": "x"}}], "bar": 2})
        assert set(found) == {"criteria.all[0].foo", "criteria.all[1].total_spent.value", "criteria.bar"}

    def test_depth_and_size_are_limited(self) -> None:
        """Deeper than 10 levels, or more than 200 predicates, is refused."""
        deep: dict = {"total_orders": {"operator": "gt", "value": 1}}
        for _ in range(30):
            deep = {"not": deep}
        assert any("nested deeper" in message for message in faults(deep).values())
        many = {"any": [{"all": [{"total_orders": {"operator": "gt", "value": n}} for n in range(101)]}] * 2}
        assert "predicates" in faults(many)["criteria"]


class TestAccepted:
    """What the contract allows."""

    @pytest.mark.parametrize(
        "source",
        [
            {},
            {"total_spent": {"operator": "gte", "value": "99.99"}},
            {"total_spent": {"operator": "between", "min_value": -5, "max_value": 0.5, "window": {"hours": 12}}},
            {"purchased_products": {"any": ["a"], "all": ["b", "c"], "window": {"minutes": 5}}},
            {"last_login": {"operator": "between", "start_date": "2024-01-01", "end_date": "2024-01-01"}},
            {"traits": {"a": {"operator": "between", "min_value": "a", "max_value": "b"}, "b": {"operator": "exists"}}},
            {"not": {"any": [{}, {"all": [{"email_subscribed": False}]}]}},
        ],
    )
    def test_the_contract_form_is_read(self, source: dict) -> None:
        """The guide's flat form and the groups are read without a fault."""
        parse_criteria(source)
