"""How many questions over all customers go on at once and how long each may take; and the dry run of a change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

from fastapi import Request, Response
from pydantic import BaseModel, Field

from service.adapters.postgres.preview import PostgresPreviews, preview_store
from service.adapters.postgres.segments import PostgresSegments
from service.api.bodies import answer
from service.api.errors import ApiError
from service.api.etags import etag_headers
from service.api.services import services_of
from service.api.turns import turn
from service.app.preview import CHANGES_SHOWN_MAX, TooSlow, comparison_data, dry_run
from service.app.segments import SegmentChange
from service.settings import Settings

#: Each reads whole tables on a connection of its own.
QUESTIONS_AT_ONCE_MAX: Final = 2
#: How long a question waits for others to end before it is refused.
QUESTION_WAIT_SECONDS_MAX: Final = 30


@dataclass(frozen=True)
class Questions:
    """The limits of one process; `preview_seconds_max` is that of dry runs as well."""

    preview_seconds_max: float
    backtest_seconds_max: float
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(QUESTIONS_AT_ONCE_MAX))

    @classmethod
    def of(cls, settings: Settings) -> Questions:
        """As the settings say."""
        return cls(settings.preview_seconds_max, settings.backtest_seconds_max)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Takes a turn for the length of the block.

        Raises:
            ApiError: others did not end in time, or PostgreSQL was stopped in the block.
        """
        async with turn(self.turns, QUESTION_WAIT_SECONDS_MAX, "previews, analytics and backtests"), self.in_time():
            yield

    @asynccontextmanager
    async def in_time(self) -> AsyncIterator[None]:
        """For what needs no turn and may take too long all the same.

        Raises:
            ApiError: PostgreSQL was stopped in the block.
        """
        try:
            yield
        except TooSlow as error:
            raise ApiError("unavailable", str(error)) from None


def questions_of(request: Request) -> Questions:
    """The limits of the application that this request came to."""
    questions = request.app.state.questions
    assert isinstance(questions, Questions)  # noqa: S101 - build_app put it there
    return questions


@asynccontextmanager
async def previews_of(request: Request) -> AsyncIterator[PostgresPreviews]:
    """The reads of one preview or dry run, when its turn has come.

    Raises:
        ApiError: see Questions.turn.
    """
    questions = questions_of(request)
    limit = questions.preview_seconds_max
    database = services_of(request).database
    async with questions.turn(), preview_store(database, limit, "SEGMENTS_PREVIEW_SECONDS_MAX") as store:
        yield store


class SideData(BaseModel):
    """Customers on one side of a change."""

    count: int
    sample: Annotated[list[str], Field(max_length=CHANGES_SHOWN_MAX, description="External ids; the first by id")]


class DryRunData(BaseModel):
    """Who would join and leave by a change; nothing has been stored."""

    would_join: SideData
    would_leave: SideData
    members_now: int
    members_then: int
    as_of: datetime


async def answer_dry_run(
    request: Request, segment_id: UUID, change: SegmentChange, expected: Collection[str] | None
) -> Response:
    """Answers who would join and leave by a change of a segment. Its faults are those of the change itself."""
    async with previews_of(request) as store:
        now = services_of(request).clock()
        segments = PostgresSegments(store.connection)
        found, segment = await dry_run(store, segments, now, segment_id, change, expected)
    message = f"{found.joining.count} would join, {found.leaving.count} would leave; nothing has been stored"
    return answer(comparison_data(found, now), message, headers=etag_headers(segment))
