"""What time alone can do to criteria, compared with what it does."""

from __future__ import annotations

import pytest

from service.core.criteria.by_time import by_time
from service.core.criteria.parse import parse_criteria

WITHIN = {"last_order_date": {"operator": "within_last", "days": 1}}
LAPSED = {"last_login": {"operator": "more_than_ago", "days": 1}}
WINDOW = {"window": {"days": 1}}


def figure(name: str, operator: str, **more: object) -> dict:
    """A windowed figure of an activity."""
    return {"activity": {"name": "v", name: {"operator": operator, "value": 1, **more}, **WINDOW}}


@pytest.mark.parametrize(
    ("criteria", "may_become_true", "may_become_false"),
    [
        ({}, False, False),
        ({"total_spent": {"operator": "gte", "value": 1}}, False, False),
        (WITHIN, False, True),
        (LAPSED, True, False),
        ({"not": WITHIN}, True, False),
        ({"all": [WITHIN, LAPSED]}, True, True),
        ({"any": [WITHIN, {"not": LAPSED}]}, False, True),
        ({"total_orders": {"operator": "gte", "value": 1, **WINDOW}}, False, True),
        ({"total_orders": {"operator": "lt", "value": 1, **WINDOW}}, True, False),
        ({"total_orders": {"operator": "eq", "value": 1, **WINDOW}}, True, True),
        ({"total_spent": {"operator": "gt", "value": 1, **WINDOW}}, False, True),
        ({"average_order_value": {"operator": "gt", "value": 1, **WINDOW}}, True, True),
        ({"purchased_products": {"any": ["p"], **WINDOW}}, False, True),
        ({"purchased_products": ["p"]}, False, False),
        (figure("count", "gte"), False, True),
        (figure("count", "lte"), True, False),
        (figure("sum", "gte", property="p"), True, True),
        (figure("max", "gt", property="p"), False, True),
        (figure("max", "lt", property="p"), True, True),
        (figure("min", "gt", property="p"), True, True),
        ({"activity": {"name": "v"}}, False, False),
        ({"sequence": {"steps": [{"order": {}}, {"activity": {"name": "v"}}], "within": {"days": 1}}}, False, False),
        (
            {"sequence": {"steps": [{"order": {}}, {"order": {}, "not": True}], "within": {"days": 1}}},
            True,
            False,
        ),
        ({"member_of": "00000000-0000-0000-0000-00000000000a"}, True, True),
    ],
)
def test_by_time(criteria: dict, may_become_true: bool, may_become_false: bool) -> None:
    """Nothing that can happen without an event is left out."""
    assert by_time(parse_criteria(criteria)) == (may_become_true, may_become_false)
