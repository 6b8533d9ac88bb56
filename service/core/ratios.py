"""Figures that are divided: exact until they are rounded, once, half away from zero. A denominator of 0 gives 0."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from service.core import money

_PERCENT: Final = 100


def rounded(numerator: int, denominator: int) -> int:
    """The nearest whole number to a quotient, half away from zero; 0 for a denominator of 0."""
    if denominator == 0:
        return 0
    size = (2 * abs(numerator) + abs(denominator)) // (2 * abs(denominator))
    return size if (numerator < 0) == (denominator < 0) else -size


def ratio(numerator: int, denominator: int, decimals: int = 4) -> Decimal:
    """A quotient with so many decimals."""
    return Decimal(rounded(numerator * 10**decimals, denominator)).scaleb(-decimals)


def percent(part: int, whole: int) -> Decimal:
    """A share of a whole in percent with 2 decimals; not limited to 0..100."""
    return ratio(part * _PERCENT, whole, 2)


def mean_text(minor_units: int, count: int) -> str:
    """Money for each of so many, as a decimal string."""
    return money.to_text(rounded(minor_units, count))
