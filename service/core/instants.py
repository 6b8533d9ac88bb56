"""Instants: whole microseconds since 1970-01-01T00:00:00Z, as int, everywhere in the core."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

SECOND: Final = 1_000_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

#: "No instant" in a column of instants; smaller than every instant.
MISSING: Final = -(2**63)

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

#: The earliest instant that is accepted, so that every offset of it is still a date.
INSTANT_MIN: Final = (datetime(1, 1, 2, tzinfo=UTC) - EPOCH) // _MICROSECOND
#: The latest instant that is accepted.
INSTANT_MAX: Final = (datetime(9999, 12, 30, tzinfo=UTC) - EPOCH) // _MICROSECOND


def from_datetime(value: datetime) -> int:
    """Microseconds since the epoch of an instant with an offset."""
    delta = value - EPOCH
    return (delta.days * 86_400 + delta.seconds) * SECOND + delta.microseconds


def to_datetime(instant: int) -> datetime:
    """The instant in UTC."""
    seconds, micros = divmod(instant, SECOND)
    return EPOCH + timedelta(0, seconds, micros)  # microseconds alone would be divided at greater length


def to_text(instant: int) -> str:
    """RFC 3339 in UTC with Z; fractions only where there are any."""
    return to_datetime(instant).isoformat().replace("+00:00", "Z")


def parse(text: str) -> int:
    """Microseconds of an RFC 3339 text with offset.

    Raises:
        ValueError: the text is no instant, has no offset or lies outside the years 1 to 9999.
    """
    value = datetime.fromisoformat(text)
    if value.tzinfo is None:
        msg = "an instant needs an offset, such as 2024-02-29T12:00:00Z"
        raise ValueError(msg)
    instant = from_datetime(value)
    if not INSTANT_MIN <= instant <= INSTANT_MAX:
        msg = "an instant must lie within the years 1 to 9999"
        raise ValueError(msg)
    return instant


def parse_edge(text: str, *, is_end: bool = False) -> int:
    """As `parse`; a date such as 2024-02-29 stands for its first instant in UTC, or for its last as an end.

    Raises:
        ValueError: the text is neither.
    """
    if _DATE.fullmatch(text) is None:
        return parse(text)
    begin = parse(f"{text}T00:00:00Z")
    return begin + DAY - 1 if is_end else begin
