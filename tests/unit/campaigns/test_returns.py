"""What a discount was worth and what a campaign returned."""

from __future__ import annotations

from decimal import Decimal

import pytest

from service.core.campaigns.returns import Line, costs_of, discount_given, return_on

LINES = (Line(Decimal(2), Decimal("50.00")), Line(Decimal(1), Decimal("10.01")))


@pytest.mark.parametrize(
    ("given", "worth"),
    [("15", 1_500), ("15.005", 1_501), ("0", 0), (None, 1_650), ("free", 1_650), ("-3", 1_650), ("NaN", 1_650)],
)
def test_what_the_order_says_wins(given: str | None, worth: int) -> None:
    """An amount of the order's own; what is none leaves it to the campaign: 15 % of the lines."""
    assert discount_given(given, LINES, 9_999, "percentage", Decimal(15)) == worth


@pytest.mark.parametrize("given", ["1e3000000", "1e-3000000", "1" * 5_000, "10000000000", "0." + "1" * 5_000])
def test_amounts_beyond_measure_are_none(given: str) -> None:
    """They would take memory and minutes to write out."""
    assert discount_given(given, LINES, 9_999, "percentage", Decimal(15)) == 1_650


def test_without_prices_the_total_counts() -> None:
    """A percentage is of the total then; an amount is never more than it."""
    unpriced = (Line(Decimal(1), None),)
    assert discount_given(None, unpriced, 8_500, "percentage", Decimal("15.00")) == 1_275
    assert discount_given(None, unpriced, 500, "fixed", Decimal("20.00")) == 500
    assert discount_given(None, unpriced, 8_500, None, None) == 0


@pytest.mark.parametrize("kind", ["percentage", "fixed"])
def test_no_discount_is_negative(kind: str) -> None:
    """Lines may sum up to less than nothing, such as those of goods that are taken back; no code cost less for it."""
    lines = (Line(Decimal(1), Decimal("10.00")), Line(Decimal(1), Decimal("-50.00")))
    assert discount_given(None, lines, 0, kind, Decimal(15)) == 0


def test_each_discount_counts_once() -> None:
    """((85 + 15) - (10 + 15)) / 25, and nothing where nothing was spent."""
    costs = costs_of(5, Decimal(0), Decimal(10), 1_500)
    assert (costs.total, return_on(8_500, costs, Decimal(1))) == (2_500, (Decimal("300.00"), True))
    assert return_on(8_500, costs_of(5, Decimal(0), Decimal(0), 0), Decimal(1)) == (Decimal("0.00"), False)
