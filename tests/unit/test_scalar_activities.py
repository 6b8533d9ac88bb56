"""The reference interpreter on figures of activities."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from tests.unit.scalar_support import DAY, PERSON, did, holds, shown

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
