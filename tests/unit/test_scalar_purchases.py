"""The reference interpreter on purchased products and categories."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.scalar_support import DAY, HOUR, PERSON, event, holds, placed, shown

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
