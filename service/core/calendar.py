"""Days and months of a time zone, as spans of instants."""

from __future__ import annotations

from datetime import date, datetime, timedelta, tzinfo
from typing import NamedTuple

from service.core.instants import from_datetime, to_datetime


class Bucket(NamedTuple):
    """A local day or month: `[start, end)` in microseconds; `date` is its first day."""

    date: date
    start: int
    end: int


def local_date(instant: int, zone: tzinfo) -> date:
    """The day that an instant falls on there."""
    return to_datetime(instant).astimezone(zone).date()


def start_of(day: date, zone: tzinfo) -> int:
    """The first instant of a local day; where clocks skip its midnight, the instant at which they do."""
    return from_datetime(datetime(day.year, day.month, day.day, tzinfo=zone))


def days_to(instant: int, count: int, zone: tzinfo) -> list[Bucket]:
    """So many local days one after another; the last is the day of the instant. One may have 23 or 25 hours."""
    last = local_date(instant, zone)
    dates = [last - timedelta(days=back) for back in range(count - 1, -2, -1)]
    starts = [start_of(day, zone) for day in dates]
    return [Bucket(dates[place], starts[place], starts[place + 1]) for place in range(count)]


def months_before(instant: int, count: int, zone: tzinfo) -> list[Bucket]:
    """So many local months one after another; the last is that of the instant."""
    last = local_date(instant, zone)
    # Months counted from the year 0 on.
    number = last.year * 12 + last.month - 1
    firsts = [date(one // 12, one % 12 + 1, 1) for one in range(number - count + 1, number + 2)]
    starts = [start_of(day, zone) for day in firsts]
    return [Bucket(firsts[place], starts[place], starts[place + 1]) for place in range(count)]
