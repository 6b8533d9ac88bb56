"""Quotients: exact until they are rounded, half away from zero."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.core.ratios import mean_text, percent, ratio, rounded

WHOLE = st.integers(-(10**15), 10**15)


@pytest.mark.parametrize(
    ("numerator", "denominator", "expected"),
    [(5, 2, 3), (-5, 2, -3), (5, -2, -3), (4, 3, 1), (0, 7, 0), (7, 0, 0), (1, 2, 1), (-1, 2, -1), (1, 3, 0)],
)
def test_half_away_from_zero(numerator: int, denominator: int, expected: int) -> None:
    """Halves go away from zero, and nothing is divided by 0."""
    assert rounded(numerator, denominator) == expected


@given(WHOLE, WHOLE.filter(bool), st.integers(0, 6))
def test_as_decimal_rounds(numerator: int, denominator: int, decimals: int) -> None:
    """The same as the exact quotient rounded once by ROUND_HALF_UP."""
    exact = Fraction(numerator, denominator) * 10**decimals
    whole = int(abs(exact) + Fraction(1, 2)) * (1 if exact >= 0 else -1)
    found = ratio(numerator, denominator, decimals)

    assert found == Decimal(whole).scaleb(-decimals)
    assert found == found.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)


def test_forms() -> None:
    """Percentages have 2 decimals, other ratios 4, money is a text."""
    assert str(percent(1, 3)) == "33.33"
    assert str(percent(5, 0)) == "0.00"
    assert str(percent(-9, 4)) == "-225.00"
    assert str(ratio(5, 4)) == "1.2500"
    assert mean_text(17001, 4) == "42.50"
    assert mean_text(-5, 0) == "0.00"
