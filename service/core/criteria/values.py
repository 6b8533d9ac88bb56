"""The values inside criteria: each reader takes JSON and a path, and notes a fault instead of raising."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from datetime import date as Date  # noqa: N812 - the reader below is named date, as the criteria's key is
from datetime import datetime
from decimal import Context, Decimal
from typing import Any, Final
from uuid import UUID

from service.core import instants
from service.core.criteria.model import AttributePredicate, Scalar
from service.core.criteria.operators import ATTRIBUTE_OPERATORS, same_type
from service.core.identity import UUID_FORM

SPAN_DAYS_MAX: Final = 36_500
LIST_ENTRIES_MAX: Final = 1_000
TEXT_CHARACTERS_MAX: Final = 1_000
NUMBER_MAX: Final = Decimal(10) ** 12
TRAIT_DIGITS_MAX: Final = 38
NUMBER_CHARACTERS_MAX: Final = 50
DATE_CHARACTERS_MAX: Final = 40
EXACT: Final = Context(prec=100)
_WHOLE_MAX: Final = 10**TRAIT_DIGITS_MAX
_UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")
#: What JSON calls a number, and leading zeros: no blanks, no underscores, no digits of other scripts.
_NUMBER_FORM: Final = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?")
_DATE_FORM: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[Tt ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?(?:[Zz]|[+-][0-9]{2}:[0-9]{2}))?"
)


class Values(ABC):
    """Readers of values; a subclass collects the faults."""

    SPAN_UNITS: Final = {"days": instants.DAY, "hours": instants.HOUR, "minutes": instants.MINUTE}

    @abstractmethod
    def fault(self, path: str, message: str) -> Any:
        """Notes one fault; returns None, so that a reader can return it."""

    def mapping(self, value: object, path: str, known: tuple[str, ...] | None) -> dict[str, Any] | None:
        """An object whose keys are all known (None: any keys)."""
        if not isinstance(value, dict):
            return self.fault(path, f"must be an object with {', '.join(known)}" if known else "must be an object")
        if len(value) > LIST_ENTRIES_MAX:
            return self.fault(path, f"must have at most {LIST_ENTRIES_MAX} keys")
        for key in value:
            if not isinstance(key, str):
                return self.fault(path, "must have texts as keys")
            if known is not None and key not in known:
                self.fault(f"{path}.{key[:100]}", f"is not known here; use {', '.join(known)}")
        return value

    def operator(self, value: object, path: str, allowed: tuple[str, ...]) -> str | None:
        """The operator of a test object."""
        if not isinstance(value, dict):
            return self.fault(path, f'must be an object such as {{"operator": "{allowed[0]}", ...}}')
        operator = value.get("operator")
        if not isinstance(operator, str) or operator not in allowed:
            return self.fault(f"{path}.operator", f"must be one of {', '.join(allowed)}")
        return operator

    def text(self, value: object, path: str, index: int | None = None) -> str | None:
        """A text that can be stored and compared; `index` where it stands in a list at the path."""
        if not isinstance(value, str) or not value or len(value) > TEXT_CHARACTERS_MAX:
            return self.fault(_place(path, index), f"must be a text of 1 to {TEXT_CHARACTERS_MAX} characters")
        if _UNSTORABLE.search(value):
            return self.fault(_place(path, index), "must not hold U+0000 or half a surrogate pair")
        return value

    def uuid(self, value: object, path: str) -> UUID | None:
        """The id of a segment."""
        if not isinstance(value, str) or not UUID_FORM.fullmatch(value):
            return self.fault(path, "must be a segment's id, a UUID of the form 8-4-4-4-12")
        return UUID(value)

    def attribute_test(self, name: str, test: object, path: str, prefix: str = "") -> AttributePredicate | None:
        """A test of one trait or property; `prefix` stands before its name in the predicate's field."""
        operator = self.operator(test, path, tuple(ATTRIBUTE_OPERATORS))
        if operator is None or self.text(name, path) is None:
            return None
        bounds = ("min_value", "max_value") if operator == "between" else ("value",)
        source = self.mapping(test, path, known=("operator", *bounds))
        if source is None:
            return None
        value = self.trait_value(operator, source, path)
        return None if value is None else AttributePredicate(prefix + name, operator, value)

    def texts(self, value: object, path: str) -> tuple[str, ...] | None:
        """A list of at least one text, without repeats, in the order given."""
        if not isinstance(value, list) or not value:
            return self.fault(path, "must be a list of at least one text")
        if len(value) > LIST_ENTRIES_MAX:
            return self.fault(path, f"must have at most {LIST_ENTRIES_MAX} entries")
        found = [self.text(one, path, index) for index, one in enumerate(value)]
        return tuple(dict.fromkeys(one for one in found if one is not None)) or None

    def decimal(self, value: object, path: str, decimals_max: int | None) -> Decimal | None:
        """An exact number below 10^12 in size; a decimal string does as well."""
        number = self._number(value)
        if number is None or number.copy_abs() >= NUMBER_MAX:
            return self.fault(path, "must be a number smaller than 10^12 in size")
        exponent = number.normalize(EXACT).as_tuple().exponent
        if decimals_max is not None and isinstance(exponent, int) and -exponent > decimals_max:
            return self.fault(path, f"must have at most {decimals_max} decimals")
        return number

    @staticmethod
    def _number(value: object) -> Decimal | None:
        if isinstance(value, int):
            return Decimal(value) if not isinstance(value, bool) and -_WHOLE_MAX < value < _WHOLE_MAX else None
        if isinstance(value, float):
            # repr gives the shortest text that reads back as this float: 99.99 stays 99.99.
            number = Decimal(repr(value))
        elif isinstance(value, str):
            if len(value) > NUMBER_CHARACTERS_MAX or not _NUMBER_FORM.fullmatch(value):
                return None
            number = Decimal(value)
        elif isinstance(value, Decimal):
            number = value
        else:
            return None
        if not number.is_finite() or len(number.as_tuple().digits) > TRAIT_DIGITS_MAX:
            return None
        return number if -TRAIT_DIGITS_MAX <= number.adjusted() <= TRAIT_DIGITS_MAX else None

    def span(self, source: dict[str, Any], path: str) -> int | None:
        """A length of time, in microseconds: one of days, hours, minutes."""
        units = [unit for unit in self.SPAN_UNITS if unit in source]
        if len(units) != 1:
            return self.fault(path, "must have exactly one of days, hours, minutes")
        unit = units[0]
        amount = source[unit]
        if isinstance(amount, float) and amount.is_integer():
            amount = int(amount)
        largest = SPAN_DAYS_MAX * instants.DAY // self.SPAN_UNITS[unit]
        if isinstance(amount, bool) or not isinstance(amount, int) or not 1 <= amount <= largest:
            return self.fault(f"{path}.{unit}", f"must be a whole number from 1 to {largest}")
        return amount * self.SPAN_UNITS[unit]

    def whole(self, value: object, path: str) -> Decimal | None:
        """A bound of a count; fractions are allowed and never equal one."""
        return self.decimal(value, path, None)

    def exact(self, value: object, path: str) -> Decimal | None:
        """An exact number of at most TRAIT_DIGITS_MAX digits."""
        number = self._number(value)
        if number is None:
            return self.fault(path, f"must be a number of at most {TRAIT_DIGITS_MAX} digits")
        return number

    def window(self, source: dict[str, Any], path: str) -> int | None:
        """The optional `window` of a test, in microseconds."""
        if "window" not in source:
            return None
        here = f"{path}.window"
        window = self.mapping(source["window"], here, known=tuple(self.SPAN_UNITS))
        return None if window is None else self.span(window, here)

    def date(self, value: object, path: str) -> tuple[int, int] | None:
        """First and last microsecond that a date stands for: a whole UTC day, or one instant."""
        message = "must be a date such as 2024-02-29 or an instant with offset such as 2024-02-29T12:00:00Z"
        if not isinstance(value, str) or len(value) > DATE_CHARACTERS_MAX or not _DATE_FORM.fullmatch(value):
            return self.fault(path, message)
        try:
            if len(value) == 10:
                day = Date.fromisoformat(value)
                first = instants.from_datetime(datetime(day.year, day.month, day.day, tzinfo=instants.EPOCH.tzinfo))
                if not instants.INSTANT_MIN <= first <= instants.INSTANT_MAX:
                    return self.fault(path, "must lie between 0001-01-02 and 9999-12-30")
                return first, first + instants.DAY - 1
            instant = instants.parse(value)
        except ValueError:
            return self.fault(path, message)
        return instant, instant

    def trait_value(self, operator: str, source: dict[str, Any], path: str) -> Scalar | tuple[Scalar, ...] | None:
        """The value (or bounds, or list) that a trait's operator takes."""
        here = f"{path}.value"
        if operator == "exists":
            value = source.get("value", True)
            return value if isinstance(value, bool) else self.fault(here, "must be true or false")
        if operator == "contains":
            return self.text(source.get("value"), here)
        if operator == "in":
            return self._scalars(source.get("value"), here)
        if operator == "between":
            low = self._scalar(source.get("min_value"), f"{path}.min_value")
            high = self._scalar(source.get("max_value"), f"{path}.max_value")
            if low is None or high is None:
                return None
            if isinstance(low, bool) or not same_type(low, high):
                return self.fault(path, "min_value and max_value must be two numbers or two texts")
            if low > high:  # type: ignore[operator]
                return self.fault(path, "min_value must not be greater than max_value")
            return (low, high)
        value = self._scalar(source.get("value"), here)
        if isinstance(value, bool) and operator not in ("eq", "ne"):
            return self.fault(here, f"must be a number or a text; {operator} does not order booleans")
        return value

    def _scalar(self, value: object, path: str, index: int | None = None) -> Scalar | None:
        if isinstance(value, bool):
            return value
        if isinstance(value, str):
            return self.text(value, path, index) if value else value
        number = self._number(value)
        if number is None:
            message = f"must be a text, a boolean or a number of at most {TRAIT_DIGITS_MAX} digits"
            return self.fault(_place(path, index), message)
        return number

    def _scalars(self, value: object, path: str) -> tuple[Scalar, ...] | None:
        if not isinstance(value, list) or not value:
            return self.fault(path, "must be a list of at least one value")
        if len(value) > LIST_ENTRIES_MAX:
            return self.fault(path, f"must have at most {LIST_ENTRIES_MAX} entries")
        found = [self._scalar(one, path, index) for index, one in enumerate(value)]
        return tuple(one for one in found if one is not None) or None


def _place(path: str, index: int | None) -> str:
    return path if index is None else f"{path}[{index}]"
