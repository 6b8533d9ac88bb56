"""JSON whose numbers stay exact: 99.99 and 12345678901234567890.12 both come back as they were written."""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import msgspec


class JsonError(ValueError):
    """The text is no JSON that the service takes; the message is a sentence that says why."""


class RepeatedKey(JsonError):
    """An object names a key twice."""


_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")
_SORTED: Final = msgspec.json.Encoder(decimal_format="number", order="sorted")


def dumps(value: Any) -> bytes:
    """UTF-8 JSON; Decimals as numbers, instants as RFC 3339, UUIDs as text."""
    return _ENCODER.encode(value)


def canonical(value: Any) -> bytes:
    """The same bytes for the same JSON, whatever the order of keys; 1 and true and 1.0 differ."""
    return _SORTED.encode(value)


def loads(text: str | bytes, *, allow_repeats: bool = True) -> Any:
    """Reads JSON; numbers with a fraction become float where that is exact, else Decimal.

    Args:
        text: JSON, UTF-8 if bytes.
        allow_repeats: False refuses objects that name a key twice, of which one would be lost silently.

    Raises:
        JsonError: no UTF-8, no JSON, NaN or Infinity, numbers beyond all measure, nesting beyond all measure.
    """
    hook = None if allow_repeats else _no_repeats
    try:
        return json.loads(text, parse_float=_number, parse_constant=_constant, object_pairs_hook=hook)
    except JsonError:
        raise
    except json.JSONDecodeError as error:
        msg = f"The JSON ends or breaks at line {error.lineno}, column {error.colno}: {error.msg}"
        raise JsonError(msg) from None
    except UnicodeDecodeError:
        msg = "The JSON must be UTF-8"
        raise JsonError(msg) from None
    except RecursionError:
        msg = "The JSON is nested too deeply"
        raise JsonError(msg) from None
    except ValueError:  # more digits than sys.get_int_max_str_digits()
        msg = "The JSON holds a number with too many digits"
        raise JsonError(msg) from None


def stored(text: str) -> Any:
    """Reads JSON that the service itself stored; every number with a fraction is a Decimal, as events' are."""
    return json.loads(text, parse_float=Decimal)


def _number(text: str) -> float | Decimal:
    try:
        exact = Decimal(text)
    except InvalidOperation:
        msg = "The JSON holds a number with too large an exponent"
        raise JsonError(msg) from None
    nearest = float(text)
    # repr gives the shortest text that reads back as this float, which is what later readers go by.
    return nearest if Decimal(repr(nearest)) == exact else exact


def _constant(name: str) -> Any:
    msg = f"The JSON holds {name}, which is no JSON number"
    raise JsonError(msg)


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            msg = f'The JSON names the key "{_printable(key)}" twice in one object'
            raise RepeatedKey(msg)
        found[key] = value
    return found


def _printable(text: str) -> str:
    return text[:100].encode("utf-8", "backslashreplace").decode()
