"""The one truth table of the language: what each operator takes, and what it says.

Missing data make every predicate false; logic is two-valued, so `not` of it is true.

Numbers and money are exact (int or Decimal); text compares by code point; a boolean is never a number.

| operator            | given values       | attribute of another type | missing |
|---------------------|--------------------|---------------------------|---------|
| eq                  | one scalar         | false                     | false   |
| ne                  | one scalar         | true                      | false   |
| in                  | a list of scalars  | false                     | false   |
| gt, gte, lt, lte    | a number or a text | false                     | false   |
| between (inclusive) | two of one type    | false                     | false   |
| contains            | a text             | false                     | false   |
| exists              | true or false      | as present                | value is false |
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

#: Operators on figures and what they ask for.
NUMBER_OPERATORS: Final = ("eq", "gt", "gte", "lt", "lte", "between")
DATE_OPERATORS: Final = ("before", "after", "between")
AGE_OPERATORS: Final = ("within_last", "more_than_ago")


def same_type(left: object, right: object) -> bool:
    """Whether two scalars can be compared: both texts, both booleans or both numbers."""
    if isinstance(left, bool) or isinstance(right, bool):
        return isinstance(left, bool) and isinstance(right, bool)
    if isinstance(left, str) or isinstance(right, str):
        return isinstance(left, str) and isinstance(right, str)
    return isinstance(left, int | Decimal) and isinstance(right, int | Decimal)


def _equal(found: Any, value: Any) -> bool:
    return same_type(found, value) and bool(found == value)


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def operator(found: Any, value: Any) -> bool:
        return same_type(found, value) and not isinstance(found, bool) and compare(found, value)

    return operator


_at_least: Final = _ordered(lambda found, value: found >= value)
_at_most: Final = _ordered(lambda found, value: found <= value)

#: What each operator says of a value that is not missing (None never gets here, but for `exists`).
ATTRIBUTE_OPERATORS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "eq": _equal,
    "ne": lambda found, value: not _equal(found, value),
    "in": lambda found, value: any(_equal(found, one) for one in value),
    "gt": _ordered(lambda found, value: found > value),
    "gte": _at_least,
    "lt": _ordered(lambda found, value: found < value),
    "lte": _at_most,
    "between": lambda found, value: _at_least(found, value[0]) and _at_most(found, value[1]),
    "contains": lambda found, value: isinstance(found, str) and value in found,
    "exists": lambda _found, value: bool(value),
}


def attribute_holds(operator: str, found: object, value: object) -> bool:
    """The truth table's answer for one attribute; `found` None means missing."""
    if found is None:
        return operator == "exists" and not value
    return ATTRIBUTE_OPERATORS[operator](found, value)
