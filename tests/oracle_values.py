"""How single values pass single tests, as the contract says: for the oracle; shares nothing with the service."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SPANS = {"days": 86_400_000_000, "hours": 3_600_000_000, "minutes": 60_000_000}


def micros(text: str) -> int:
    """Microseconds of an RFC 3339 text."""
    return (datetime.fromisoformat(text) - EPOCH) // timedelta(microseconds=1)


def stamp(event: dict) -> tuple:
    """Ties go by sequence, missing first, then id."""
    return (micros(event["time"]), event.get("sequence") is not None, event.get("sequence") or "", event["id"])


def span(test: dict) -> int:
    """Microseconds of the days, hours or minutes in it."""
    return int(next(test[unit] * size for unit, size in SPANS.items() if unit in test))


def is_number(value: Any) -> bool:
    """A boolean is never a number; a text is never a number."""
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def exact(value: Any) -> Fraction:
    """A number, or a text that writes one, to the last digit; 0.1 means one tenth."""
    return Fraction(Decimal(str(value)))


def kind(value: Any) -> str:
    """What a scalar is: values of different kinds are never equal and have no order."""
    return "text" if isinstance(value, str) else "number" if is_number(value) else "boolean"


def comparable(value: Any) -> tuple[str, Any]:
    """A scalar such that equal values of one kind are equal: 1 and 1.0, but not 1 and true."""
    return kind(value), exact(value) if is_number(value) else value


def figure_passes(figure: Fraction, test: dict) -> bool:
    """A figure against `value`, or between `min_value` and `max_value`, both included."""
    operator = test["operator"]
    if operator == "between":
        return exact(test["min_value"]) <= figure <= exact(test["max_value"])
    value = exact(test["value"])
    answers = {
        "eq": figure == value,
        "gt": figure > value,
        "gte": figure >= value,
        "lt": figure < value,
        "lte": figure <= value,
    }
    return answers[operator]


def date_passes(found: int | None, test: dict, at: int) -> bool:
    """An instant of the customer's life against dates or against its age."""
    if found is None:
        return False
    operator = test["operator"]
    if operator == "within_last":
        return at - span(test) < found <= at
    if operator == "more_than_ago":
        return found <= at - span(test)

    def edges(text: str) -> tuple[int, int]:
        if len(text) == 10:
            first = micros(text + "T00:00:00Z")
            return first, first + SPANS["days"] - 1
        return micros(text), micros(text)

    if operator == "between":
        return edges(test["start_date"])[0] <= found <= edges(test["end_date"])[1]
    first, last = edges(test["date"])
    return found < first if operator == "before" else found > last


def scalar_passes(found: Any, test: dict) -> bool:
    """A trait or a property (None: missing) against the table of tests."""
    operator = test["operator"]
    if operator == "exists":
        return (found is not None) == test.get("value", True)
    if found is None:
        return False
    if operator == "between":
        low, high = test["min_value"], test["max_value"]
        if kind(found) == "boolean" or not kind(low) == kind(high) == kind(found):
            return False
        return comparable(low) <= comparable(found) <= comparable(high)
    value = test["value"]
    if operator == "in":
        return any(comparable(found) == comparable(one) for one in value)
    if operator == "contains":
        return isinstance(found, str) and value in found
    left, right = comparable(found), comparable(value)
    if operator in ("eq", "ne"):
        return (left == right) == (operator == "eq")
    if kind(found) != kind(value) or kind(found) == "boolean":
        return False
    return {"gt": left > right, "gte": left >= right, "lt": left < right, "lte": left <= right}[operator]
