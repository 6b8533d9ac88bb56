"""Money: whole minor units (cents) as int. No floats."""

from __future__ import annotations

import re
from decimal import Context, Decimal, InvalidOperation
from typing import Final

#: Amounts are smaller than this many minor units in size (CONTRACT section 2: |x| < 10^10).
MINOR_UNITS_MAX: Final = 10**12

_EXACT: Final = Context(prec=200)
_PLAIN: Final = re.compile(rb'(-?)(\d{1,10})(?:\.(\d{1,2}))?|"(-?)(\d{1,10})(?:\.(\d{1,2}))?"')
_NUMBER: Final = re.compile(rb'"?(-?\d{1,40}(?:\.\d{1,40})?(?:[eE][+-]?\d{1,3})?)"?')


def parse_minor_units(raw: bytes) -> int:
    """Minor units of an amount as it stands in JSON: a number or a decimal string, at most 2 decimals.

    Raises:
        ValueError: a sentence that says what an amount must be.
    """
    whole, _, cents = raw.partition(b".")
    if len(cents) == 2 and len(whole) <= 10 and whole.isdigit() and cents.isdigit():  # as nearly all of them are
        return int(whole + cents)
    plain = _PLAIN.fullmatch(raw)
    if plain:
        sign, whole, cents = plain.group(1, 2, 3) if plain.group(2) else plain.group(4, 5, 6)
        amount = int(whole) * 100 + (int(cents.ljust(2, b"0")) if cents else 0)
        return -amount if sign else amount
    number = _NUMBER.fullmatch(raw)
    try:
        scaled = _EXACT.multiply(Decimal(number.group(1).decode()), 100) if number else None
    except InvalidOperation:
        scaled = None
    if scaled is None:
        msg = "must be a number or a decimal string such as 99.90"
        raise ValueError(msg)
    if abs(scaled) >= MINOR_UNITS_MAX:
        msg = "must be smaller than 10^10 in size"
        raise ValueError(msg)
    if scaled != int(scaled):
        msg = "must have at most 2 decimals"
        raise ValueError(msg)
    return int(scaled)


def to_text(minor_units: int) -> str:
    """A decimal string with two decimals."""
    sign = "-" if minor_units < 0 else ""
    whole, cents = divmod(abs(minor_units), 100)
    return f"{sign}{whole}.{cents:02d}"
