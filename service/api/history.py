"""Routes of what was recorded of a segment: its joins and leaves, and the versions of its criteria."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from service.adapters.postgres.history import page_of_history, page_of_versions, version_starts
from service.adapters.postgres.limited import limited_snapshot
from service.adapters.postgres.segments import PostgresSegments
from service.api.bodies import answer
from service.api.errors import Fault, refused
from service.api.questions import questions_of
from service.api.schemas import Answer
from service.api.segments import BASE, Reader, SegmentPath, segment_id_of
from service.api.services import services_of
from service.app.history import (
    HistoryFilter,
    Place,
    PlaceError,
    cursor_behind,
    place_of,
    transition_json,
    version_json,
)
from service.app.pins import fault_of_id
from service.app.segments import read_segment
from service.core import instants
from service.core.identity import customer_uuid

#: Versions count up from 1 and are stored as integer.
VERSION_MAX: Final = 2_147_483_647
INSTANT_CHARACTERS_MAX: Final = 40

Reason = Literal["event", "time", "definition", "manual", "import", "erasure", "rebuild"]

router: Final = APIRouter(prefix=BASE, tags=["history"])


class TransitionData(BaseModel):
    """A join or a leave, with the fields of the event that was published."""

    change: Literal["joined", "left"]
    customer_id: UUID
    external_id: Annotated[str, Field(description="The id as the events gave it", examples=["C-1001"])]
    effective_at: Annotated[datetime, Field(description="From when it holds: the event's time, or a window's edge")]
    recorded_at: Annotated[datetime, Field(description="When it was stored")]
    reason: Reason
    sequence: Annotated[int, Field(description="The customer's n-th transition in this segment; odd: joined")]
    segment_version: int


class HistoryPage(BaseModel):
    """One page of a segment's history."""

    history: list[TransitionData]
    next_cursor: Annotated[str | None, Field(description="For the next page; null after the last")]


class VersionData(BaseModel):
    """Criteria that a segment had from then on."""

    version: int
    criteria: dict[str, Any]
    created_by: str
    creator_name: str
    created_at: datetime


class VersionPage(BaseModel):
    """One page of a segment's versions."""

    versions: list[VersionData]
    next_cursor: Annotated[str | None, Field(description="For the next page; null after the last")]


Begin = Annotated[
    str | None,
    Query(alias="from", max_length=INSTANT_CHARACTERS_MAX, description="Earliest effective_at: an instant or a date"),
]
End = Annotated[
    str | None,
    Query(max_length=INSTANT_CHARACTERS_MAX, description="Latest effective_at, included; a date: its last instant"),
]
Customer = Annotated[
    str | None, Query(max_length=1_000, description="One customer: the id as the events gave it, or the UUID")
]
Cursor = Annotated[str | None, Query(max_length=100, description="next_cursor of the page before")]
Limit = Annotated[int, Query(ge=1, le=1_000)]


@router.get("/{segment}/history", response_model=Answer[HistoryPage], summary="Who joined and left, newest first")
async def history(
    request: Request,
    _: Reader,
    segment: SegmentPath,
    begin: Begin = None,
    to: End = None,
    customer_id: Customer = None,
    change: Literal["joined", "left"] | None = None,
    reason: Reason | None = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """Answers the recorded joins and leaves, the latest `effective_at` first, each as it was published.

    A stay that ended at the instant it began is shown too, as both of its transitions. Of erased customers nothing is
    left. A late event may put a transition behind a page that was read before.
    """
    segment_id = segment_id_of(segment)
    wanted = HistoryFilter(_edge(begin, "from"), _edge(to, "to", is_end=True), _customer(customer_id), change, reason)
    if wanted.earliest is not None and wanted.latest is not None and wanted.earliest > wanted.latest:
        raise refused([Fault("from", "must not lie after to; no instant lies between them", "invalid_range")])
    after = None if cursor is None else _place(segment_id, cursor)
    # Of one change or reason all ended stays are looked at.
    async with _reading(request, is_wide=change is not None or reason is not None) as connection:
        await read_segment(PostgresSegments(connection), segment_id)
        found = await page_of_history(connection, segment_id, wanted, after, limit + 1)
        starts = await version_starts(connection, [segment_id])
    page = found[:limit]
    data = {
        "history": [transition_json(one, starts[segment_id]) for one in page],
        "next_cursor": cursor_behind(segment_id, page[-1]) if len(found) > limit else None,
    }
    return answer(data, f"{len(page)} joins and leaves")


@router.get("/{segment}/versions", response_model=Answer[VersionPage], summary="Versions of the criteria, newest first")
async def versions(
    request: Request,
    _: Reader,
    segment: SegmentPath,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """Answers who set which criteria and when; the first is the present one."""
    segment_id = segment_id_of(segment)
    before = VERSION_MAX if cursor is None else _version(cursor)
    async with services_of(request).database.snapshot() as connection:
        await read_segment(PostgresSegments(connection), segment_id)
        found = await page_of_versions(connection, segment_id, before, limit + 1)
    page = found[:limit]
    data = {
        "versions": [version_json(one) for one in page],
        "next_cursor": str(page[-1].version) if len(found) > limit else None,
    }
    return answer(data, f"{len(page)} versions")


@asynccontextmanager
async def _reading(request: Request, *, is_wide: bool) -> AsyncIterator[AsyncConnection]:
    """A snapshot within the time that previews have, and for wide questions when their turn has come.

    Raises:
        ApiError: see Questions.turn.
    """
    questions = questions_of(request)
    limit, database = questions.preview_seconds_max, services_of(request).database
    async with (
        questions.turn() if is_wide else questions.in_time(),
        limited_snapshot(database, limit, "SEGMENTS_PREVIEW_SECONDS_MAX") as connection,
    ):
        yield connection


def _edge(text: str | None, name: str, *, is_end: bool = False) -> int | None:
    try:
        return None if text is None else instants.parse_edge(text, is_end=is_end)
    except ValueError:
        message = "must be an instant such as 2024-02-29T12:00:00Z, with + written as %2B, or a date such as 2024-02-29"
        raise refused([Fault(name, message, "invalid_instant")]) from None


def _customer(given: str | None) -> UUID | None:
    fault = None if given is None else fault_of_id(given)
    if fault is not None:
        raise refused([Fault("customer_id", fault, "value_error")])
    return None if given is None else customer_uuid(given)


def _place(segment_id: UUID, cursor: str) -> Place:
    try:
        return place_of(segment_id, cursor)
    except PlaceError as error:
        raise refused([Fault("cursor", str(error), "invalid_cursor")]) from None


def _version(cursor: str) -> int:
    if not (cursor.isascii() and cursor.isdecimal() and 0 < int(cursor) <= VERSION_MAX):
        message = "is no cursor of this list; use the next_cursor of the page before, or leave it out"
        raise refused([Fault("cursor", message, "invalid_cursor")])
    return int(cursor)
