"""Checks on the parts of an event that a type alone cannot express."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, Final

SCALARS_MAX: Final = 500
KEY_CHARACTERS_MAX: Final = 256
TEXT_CHARACTERS_MAX: Final = 10_000
#: Numbers are kept exactly; this bounds what one can cost.
DIGITS_MAX: Final = 38


class Fault(Exception):
    """The event cannot be used: `reason` for machines, the message for people."""

    def __init__(self, message: str, reason: str = "invalid_data") -> None:
        super().__init__(message)
        self.reason = reason


def checked_text(name: str, text: str, characters_max: int) -> None:
    """Refuses an empty or too long text.

    Raises:
        Fault: naming the field.
    """
    if not 1 <= len(text) <= characters_max:
        raise Fault(f"{name}: must have 1 to {characters_max} characters.")


def checked_scalars(name: str, raw: bytes) -> dict[str, object] | None:
    """An object of scalars with exact numbers (int or Decimal); None for null.

    Raises:
        Fault: naming the field and the key.
    """
    try:
        found = json.loads(raw, parse_float=Decimal, parse_constant=_no_constant, parse_int=_bounded_int)
    except (ValueError, RecursionError):
        raise Fault(
            f"{name}: must be an object of texts, numbers of at most {DIGITS_MAX} digits, booleans and nulls."
        ) from None
    if found is None:
        return None
    if not isinstance(found, dict) or len(found) > SCALARS_MAX:
        raise Fault(f"{name}: must be an object of at most {SCALARS_MAX} keys.")
    for key, value in found.items():
        if not 1 <= len(key) <= KEY_CHARACTERS_MAX:
            raise Fault(f"{name}: a key must have 1 to {KEY_CHARACTERS_MAX} characters.")
        _check_scalar(f"{name}.{key[:100]}", value)
    return found


def _check_scalar(path: str, value: Any) -> None:
    if isinstance(value, str):
        if len(value) > TEXT_CHARACTERS_MAX:
            raise Fault(f"{path}: must have at most {TEXT_CHARACTERS_MAX} characters.")
    elif isinstance(value, Decimal):
        _, digits, exponent = value.as_tuple()
        if len(digits) > DIGITS_MAX or not isinstance(exponent, int) or not -DIGITS_MAX <= exponent <= DIGITS_MAX:
            raise Fault(f"{path}: must be a number of at most {DIGITS_MAX} digits.")
    elif value is not None and not isinstance(value, bool | int):
        raise Fault(f"{path}: must be a text, a number, a boolean or null.")


def _bounded_int(text: str) -> int:
    if len(text) > DIGITS_MAX + 1:
        raise ValueError(text[:50])
    return int(text)


def _no_constant(text: str) -> None:
    raise ValueError(text)


def has_null_character(raw: bytes) -> bool:
    """Whether any text in this JSON holds U+0000, which PostgreSQL cannot store."""
    waiting = [json.loads(raw)]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            if "\0" in value:
                return True
        elif isinstance(value, dict):
            waiting.extend(value)
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
    return False
