"""What all questions about figures take: an instant, a time zone; and their turn at the database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Final, NamedTuple
from zoneinfo import ZoneInfo

from fastapi import Query, Request

from service.adapters.postgres.analytics import PostgresAnalytics, analytics_store
from service.api.errors import Fault, refused
from service.api.members import instant_of
from service.api.questions import questions_of
from service.api.services import services_of
from service.app.analytics import AS_OF_MIN, DAYS_MAX, TREND_DAYS, ZoneError, zone_of
from service.core import instants

INSTANT_CHARACTERS_MAX: Final = 40
ZONE_CHARACTERS_MAX: Final = 100

AsOf = Annotated[
    str | None,
    Query(
        max_length=INSTANT_CHARACTERS_MAX,
        description="Up to this past instant (RFC 3339, or a date: its first instant, UTC), from all facts: slower",
    ),
]
Zone = Annotated[
    str | None,
    Query(max_length=ZONE_CHARACTERS_MAX, description="IANA zone of days and months; SEGMENTS_ANALYTICS_TIMEZONE"),
]
TrendDays = Annotated[int, Query(ge=1, le=DAYS_MAX, description="Local days of the trend")]
TREND_DAYS_DEFAULT: Final = TREND_DAYS


class Asked(NamedTuple):
    """The instant and zone of a question.

    Attributes:
        is_live: no instant was named, so that it is now.
    """

    at: int
    is_live: bool
    zone: ZoneInfo
    zone_name: str


def asked_of(request: Request, as_of: str | None, tz: str | None = None) -> Asked:
    """What the parameters say.

    Raises:
        ApiError: invalid; no instant, one that has not come, or no time zone.
    """
    now = services_of(request).clock()
    past = instant_of(as_of, now)
    if past is not None and past < AS_OF_MIN:
        message = f"must not lie before {instants.to_text(AS_OF_MIN)}"
        raise refused([Fault("as_of", message, "invalid_instant")])
    if tz == "":
        raise refused([Fault("tz", "must not be empty; name an IANA zone, or leave it out", "invalid_zone")])
    name = tz or request.app.state.settings.analytics_timezone
    try:
        zone = zone_of(name)
    except ZoneError as error:
        raise refused([Fault("tz", str(error), "invalid_zone")]) from None
    return Asked(now if past is None else past, past is None, zone, name)


@asynccontextmanager
async def analytics_of(request: Request, *, is_live: bool) -> AsyncIterator[PostgresAnalytics]:
    """The reads of one answer, when its turn has come.

    Raises:
        ApiError: see Questions.turn.
    """
    questions = questions_of(request)
    limit, setting = questions.preview_seconds_max, "SEGMENTS_PREVIEW_SECONDS_MAX"
    if not is_live:
        limit, setting = questions.backtest_seconds_max, "SEGMENTS_BACKTEST_SECONDS_MAX"
    database = services_of(request).database
    async with questions.turn(), analytics_store(database, limit, setting, is_live=is_live) as store:
        yield store
