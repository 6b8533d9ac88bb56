"""The filters that templates of campaigns may use: each takes time linear in what goes in and comes out."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation
from typing import Any, Final, NamedTuple

from liquid.builtin.filters import array, misc, string
from liquid.exceptions import FilterArgumentError
from liquid.undefined import is_undefined

Number = int | Decimal

DIGITS_MAX: Final = 28
NUMBER_CHARACTERS_MAX: Final = 50
FORMAT_CHARACTERS_MAX: Final = 100
_EXACT: Final = Context(prec=DIGITS_MAX, Emin=-99, Emax=99)
_NUMBER: Final = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?")
#: Letters of strftime without widths; those of the locale and of seconds since 1970 are left out.
_FORMAT: Final = re.compile(r"(?:[^%]|%-?[aAbBdejmyYHIklMpPSZzfFTRD%])*+")


class Filter(NamedTuple):
    """A filter, and how many characters more than go in it will make, at most."""

    function: Callable[..., object]
    forecast: Callable[..., int] | None = None


def number(value: object) -> Number:
    """A number, or a text that is one.

    Raises:
        FilterArgumentError: it is neither, or has too many digits.
        UndefinedError: it is not there.
    """
    if is_undefined(value):
        value = str(value)
    if isinstance(value, bool):
        raise FilterArgumentError("expected a number, found true or false", token=None)
    if isinstance(value, float):
        value = str(value)
    if isinstance(value, str) and len(value) <= NUMBER_CHARACTERS_MAX and _NUMBER.fullmatch(value.strip()):
        value = Decimal(value.strip()) if "." in value else int(value)
    if not isinstance(value, int | Decimal) or (isinstance(value, Decimal) and not value.is_finite()):
        raise FilterArgumentError("expected a number", token=None)
    if abs(value) >= 10**DIGITS_MAX:
        raise FilterArgumentError(f"a number has more than {DIGITS_MAX} digits", token=None)
    return value


def _of_two(operation: Callable[[Context, Decimal, Decimal], Decimal]) -> Callable[[object, object], Number]:
    """Whole where both are; else decimal, which keeps money exact."""

    def function(left: object, right: object) -> Number:
        first, second = number(left), number(right)
        try:
            result = operation(_EXACT, Decimal(first), Decimal(second))
        except (InvalidOperation, ArithmeticError):
            raise FilterArgumentError("this cannot be calculated, such as a division by 0", token=None) from None
        if isinstance(first, int) and isinstance(second, int) and result == result.to_integral_value():
            return int(result)
        return number(result)

    return function


def _divided(context: Context, left: Decimal, right: Decimal) -> Decimal:
    if all(one == one.to_integral_value() and one.as_tuple().exponent == 0 for one in (left, right)):
        # As everywhere in Liquid: whole numbers are divided with the rest left out, downwards.
        whole, rest = context.divide_int(left, right), context.remainder(left, right)
        return whole - 1 if rest and (rest < 0) != (right < 0) else whole
    return context.divide(left, right)


def _modulo(context: Context, left: Decimal, right: Decimal) -> Decimal:
    rest = context.remainder(left, right)
    return rest + right if rest and (rest < 0) != (right < 0) else rest


def _round(value: object, decimals: object = 0) -> Number:
    places = number(decimals)
    if not isinstance(places, int) or not 0 <= places <= DIGITS_MAX // 2:
        raise FilterArgumentError("round takes 0 to 14 decimals", token=None)
    try:
        rounded = Decimal(number(value)).quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP, _EXACT)
    except InvalidOperation:
        raise FilterArgumentError("a number has too many digits to be rounded so", token=None) from None
    return rounded if places else int(rounded)


def _date(value: object, form: object = "%Y-%m-%d") -> str:
    """An instant or a day, in English, in UTC; the form is that of strftime."""
    if is_undefined(value):
        value = str(value)
    said = "date expects an instant such as customer.last_order_date, and a form such as '%d %B %Y'"
    if not isinstance(value, str) or not isinstance(form, str) or len(form) > FORMAT_CHARACTERS_MAX:
        raise FilterArgumentError(said, token=None)
    if _FORMAT.fullmatch(form) is None:
        raise FilterArgumentError(said, token=None)
    try:
        return datetime.fromisoformat(value[:NUMBER_CHARACTERS_MAX]).strftime(form)
    except ValueError:
        raise FilterArgumentError(said, token=None) from None


def _replaced(value: object, old: object, new: object = "") -> int:
    """Characters that `replace` adds."""
    text, old, new = str(value), str(old), str(new)
    return text.count(old) * len(new)


def _joined(value: object, separator: object = " ") -> int:
    """Characters that `join` makes; of the entries themselves, too, which may be long."""
    if not isinstance(value, list):
        return 0
    return sum(len(str(one)) for one in value) + len(value) * len(str(separator))


def _split(value: object, *_: object) -> int:
    """Each entry of a list costs as much as 16 characters, and there may be one for each character."""
    return 4 * len(str(value))


def _entities(value: object, *_: object) -> int:
    """Escapes: up to six characters for one; those of URLs cost more."""
    return 5 * len(str(value))


_SAME: Final[Mapping[str, Callable[..., Any]]] = {
    "append": string.append,
    "capitalize": string.capitalize,
    "default": misc.default,
    "downcase": string.downcase,
    "first": array.first,
    "last": array.last,
    "lstrip": string.lstrip,
    "prepend": string.prepend,
    "remove": string.remove,
    "remove_first": string.remove_first,
    "replace_first": string.replace_first,
    "rstrip": string.rstrip,
    "size": misc.size,
    "slice": string.slice_,
    "strip": string.strip,
    "strip_newlines": string.strip_newlines,
    "truncate": string.truncate,
    "truncatewords": string.truncatewords,
    "upcase": string.upcase,
    "abs": lambda value: abs(number(value)),
    "at_least": lambda value, other: max(number(value), number(other)),
    "at_most": lambda value, other: min(number(value), number(other)),
    "ceil": lambda value: math.ceil(number(value)),
    "date": _date,
    "divided_by": _of_two(_divided),
    "floor": lambda value: math.floor(number(value)),
    "minus": _of_two(Context.subtract),
    "modulo": _of_two(_modulo),
    "plus": _of_two(Context.add),
    "round": _round,
    "times": _of_two(Context.multiply),
}
FILTERS: Final[Mapping[str, Filter]] = {
    **{name: Filter(function) for name, function in _SAME.items()},
    "escape": Filter(string.escape, _entities),
    "join": Filter(array.join, _joined),
    "newline_to_br": Filter(string.newline_to_br, _entities),
    "replace": Filter(string.replace, _replaced),
    "split": Filter(string.split, _split),
    "url_encode": Filter(string.url_encode, _entities),
}
