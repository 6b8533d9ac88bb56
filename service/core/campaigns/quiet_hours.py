"""Quiet hours: local times of day at which nobody is written to (notes on campaigns, B5, step 8)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta, tzinfo
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from service.core.campaigns.model import Campaign, Channel, QuietHours
from service.core.instants import from_datetime, to_datetime

DEFAULTS: Final[Mapping[Channel, QuietHours | None]] = {
    "email": None,
    "sms": QuietHours(),
    "notification": QuietHours(),
}
_DAY: Final = timedelta(days=1)
_SECOND: Final = timedelta(seconds=1)
_ZONES_KEPT: Final = 2_000


@lru_cache(maxsize=_ZONES_KEPT)
def zone_of(name: str | None, otherwise: tzinfo) -> tzinfo:
    """The IANA zone of that name; `otherwise` where there is no such zone."""
    try:
        return ZoneInfo(name) if name else otherwise
    except (ValueError, OSError, KeyError):  # unknown names, names of folders, names that are no path
        return otherwise


def quiet_hours_of(campaign: Campaign) -> QuietHours | None:
    """Those that hold for a campaign's messages; None where it may write at any time."""
    chosen = campaign.options.quiet_hours
    if chosen is None:
        return DEFAULTS[campaign.channel]
    return chosen or None


def is_quiet(instant: int, hours: QuietHours, zone: tzinfo) -> bool:
    """Whether the local time of an instant (microseconds) lies in [start, end)."""
    start, end = time.fromisoformat(hours.start), time.fromisoformat(hours.end)
    local = to_datetime(instant).astimezone(zone).time()
    return start <= local < end if start <= end else local >= start or local < end


def end_of_quiet(instant: int, hours: QuietHours, zone: tzinfo) -> int | None:
    """The first instant (microseconds) at which quiet hours that hold at `instant` are over; None if none hold then.

    An end that clocks skip is the first instant after the gap, one that they show twice is the first of the two.
    """
    if not is_quiet(instant, hours, zone):
        return None
    # The first instant after a gap may be quiet itself: where a whole day was skipped, or the waking hours were.
    while is_quiet(instant, hours, zone):
        instant = _next_end(instant, hours, zone)
    return instant


def _next_end(instant: int, hours: QuietHours, zone: tzinfo) -> int:
    """The next instant after the given one at which local clocks show the end, or skip it."""
    end = time.fromisoformat(hours.end)
    today = to_datetime(instant).astimezone(zone).date()
    walls = [datetime.combine(day, end) for day in (today, today + _DAY)]
    return min(one for wall in walls for one in _instants_of(wall, zone) if one > instant)


def _instants_of(wall: datetime, zone: tzinfo) -> tuple[int, ...]:
    """The instants at which clocks there show a wall time: one or two; if none, the first after the gap."""
    early, late = sorted(wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    if early.astimezone(zone).replace(tzinfo=None) != wall:
        early = late = _change_between(early, late, zone)
    return from_datetime(early), from_datetime(late)


def _change_between(before: datetime, after: datetime, zone: tzinfo) -> datetime:
    """The instant at which clocks are changed; offsets differ between the two."""
    offset = before.astimezone(zone).utcoffset()
    while after - before > _SECOND:
        middle = before + (after - before) // _SECOND // 2 * _SECOND
        if middle.astimezone(zone).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after
