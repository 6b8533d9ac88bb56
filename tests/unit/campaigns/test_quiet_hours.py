"""Quiet hours: local, across changes of clocks, and never broken."""

from __future__ import annotations

from datetime import UTC, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.core.campaigns.model import QuietHours
from service.core.campaigns.quiet_hours import end_of_quiet, is_quiet, quiet_hours_of, zone_of
from service.core.instants import HOUR, MINUTE, to_datetime, to_text
from tests.unit.campaigns.support import at, campaign

NEW_YORK, BERLIN, KOLKATA = ("America/New_York", "Europe/Berlin", "Asia/Kolkata")
YEAR_BEGINS = at("2026-01-01T00:00:00Z")
YEAR = range(365 * 24 * 60)
#: Zones that are none: links to what is no place, and a file that says so.
ZONES = sorted(available_timezones() - {"localtime", "Factory"})
WALL = st.builds("{:02d}:{:02d}".format, st.integers(0, 23), st.integers(0, 59))


@pytest.mark.parametrize(
    ("zone", "instant", "hours", "expected"),
    [
        (NEW_YORK, "2026-03-08T03:00:00Z", QuietHours(), "2026-03-08T12:00:00Z"),
        (NEW_YORK, "2026-06-02T01:00:00Z", QuietHours(), "2026-06-02T12:00:00Z"),
        (KOLKATA, "2026-05-01T16:00:00Z", QuietHours(), "2026-05-02T02:30:00Z"),
        (BERLIN, "2026-10-25T00:30:00Z", QuietHours(), "2026-10-25T07:00:00Z"),
        (BERLIN, "2026-06-01T10:00:00Z", QuietHours(), None),
        (NEW_YORK, "2026-03-08T06:30:00Z", QuietHours(end="02:30"), "2026-03-08T07:00:00Z"),
        # The first of two ends; and the second where the first is over.
        (BERLIN, "2026-10-24T23:30:00Z", QuietHours(end="02:30"), "2026-10-25T00:30:00Z"),
        (BERLIN, "2026-10-25T01:10:00Z", QuietHours(end="02:30"), "2026-10-25T01:30:00Z"),
        # The only waking quarter of an hour is skipped: the next day's.
        (NEW_YORK, "2026-03-08T06:30:00Z", QuietHours("02:45", "02:30"), "2026-03-09T06:30:00Z"),
        # A whole day was skipped.
        ("Pacific/Apia", "2011-12-30T08:00:00Z", QuietHours(), "2011-12-30T18:00:00Z"),
        # By day, and the edges: start is quiet, end is not.
        (BERLIN, "2026-06-01T10:00:00Z", QuietHours("12:00", "14:00"), "2026-06-01T12:00:00Z"),
        (BERLIN, "2026-06-01T12:00:00Z", QuietHours("12:00", "14:00"), None),
        (BERLIN, "2026-06-01T09:59:59.999999Z", QuietHours("12:00", "14:00"), None),
    ],
)
def test_end(zone: str, instant: str, hours: QuietHours, expected: str | None) -> None:
    """The next local end; the first instant after a gap, the first of two, the next where one is past."""
    found = end_of_quiet(at(instant), hours, ZoneInfo(zone))

    assert (found and to_text(found)) == expected


@given(st.sampled_from(ZONES), st.sampled_from(YEAR), WALL, WALL)
def test_nothing_is_sent_inside(zone_name: str, minute: int, start: str, end: str) -> None:
    """Wherever, whenever, whatever hours: what is deferred leaves outside, later, and within two days."""
    zone, now, hours = ZoneInfo(zone_name), YEAR_BEGINS + minute * MINUTE, QuietHours(start, end)
    until = end_of_quiet(now, hours, zone)

    assert (until is not None) == is_quiet(now, hours, zone)
    if until is not None:
        assert now < until <= now + 49 * HOUR
        assert not is_quiet(until, hours, zone)


@pytest.mark.parametrize("zone_name", ZONES)
def test_nothing_is_sent_inside_around_changes_of_clocks(zone_name: str) -> None:
    """For every zone, the hours around each change of its clocks, with ends before, in and after it."""
    zone = ZoneInfo(zone_name)
    days = [YEAR_BEGINS + day * 24 * HOUR for day in range(366)]
    changes = [day for day in days if to_datetime(day).astimezone(zone).utcoffset() != _offset(day + 24 * HOUR, zone)]
    for change in changes:
        for now in range(change - 3 * HOUR, change + 27 * HOUR, 30 * MINUTE):
            for end in ("00:30", "01:30", "02:00", "02:30", "08:00"):
                hours = QuietHours("21:00", end)
                until = end_of_quiet(now, hours, zone)
                assert until is None or (until > now and not is_quiet(until, hours, zone))


def _offset(instant: int, zone: ZoneInfo) -> timedelta | None:
    return to_datetime(instant).astimezone(zone).utcoffset()


@given(st.sampled_from(ZONES), st.sampled_from(YEAR))
def test_as_minutes_say(zone_name: str, minute: int) -> None:
    """The end is the first minute from then on that is not quiet."""
    zone, now, hours = ZoneInfo(zone_name), YEAR_BEGINS + minute * MINUTE, QuietHours()
    step = now
    while is_quiet(step, hours, zone):
        step += MINUTE

    assert end_of_quiet(now, hours, zone) == (None if step == now else step)


def test_defaults_are_by_channel() -> None:
    """SMS and notifications rest from 21:00 to 08:00, e-mail never; a campaign may say otherwise."""
    assert quiet_hours_of(campaign()) is None
    assert quiet_hours_of(campaign(channel="sms")) == QuietHours("21:00", "08:00")
    assert quiet_hours_of(campaign(channel="notification")) == QuietHours("21:00", "08:00")
    assert quiet_hours_of(campaign({"quiet_hours": False}, channel="sms")) is None
    assert quiet_hours_of(campaign({"quiet_hours": QuietHours("22:00", "06:00")})) == QuietHours("22:00", "06:00")


@pytest.mark.parametrize(
    "name", [None, "", "Atlantis", "../etc/passwd", "America", "/etc/passwd", "a\0b", "\ud800", "."]
)
def test_unknown_zones(name: str | None) -> None:
    """What is no zone is the zone of the settings, and no error."""
    assert zone_of(name, UTC) is UTC
    assert zone_of("Europe/Berlin", UTC) == ZoneInfo("Europe/Berlin")
