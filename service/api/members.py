"""Routes of a segment's customers: pages and export."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from service.adapters.postgres.database import Database
from service.adapters.postgres.members import (
    count_members,
    count_past_members,
    page_of_members,
    page_of_past_members,
    stream_members,
)
from service.adapters.postgres.segments import PostgresSegments
from service.api.bodies import answer
from service.api.errors import ApiError, Fault, refused
from service.api.schemas import Answer, CustomerPage
from service.api.segments import BASE, Reader, SegmentPath, segment_id_of
from service.api.services import Services, services_of
from service.app.members import (
    EXPORT_FIELDS,
    CsvLines,
    CursorError,
    FieldsError,
    cursor_after,
    customer_before,
    customer_of,
    export_fields,
)
from service.app.segments import read_segment
from service.app.tokens import Permission
from service.core import instants

#: How long an export waits for others to end before it is refused.
EXPORT_WAIT_SECONDS_MAX: Final = 30
#: As many as YYYY-MM-DD has.
DATE_CHARACTERS: Final = 10

router: Final = APIRouter(prefix=BASE, tags=["customers"])

Cursor = Annotated[str | None, Query(max_length=100, description="next_cursor of the page before")]


def place_after(segment_id: UUID, cursor: str | None) -> UUID | None:
    """The customer after whom a page begins; None for the first page.

    Raises:
        ApiError: invalid, the cursor is not of this segment.
    """
    try:
        return None if cursor is None else customer_before(segment_id, cursor)
    except CursorError as error:
        raise refused([Fault("cursor", str(error), "invalid_cursor")]) from None


def instant_of(as_of: str | None, now: int) -> int | None:
    """The past instant that a read asks for, microseconds; None for now.

    Raises:
        ApiError: invalid, no instant or one that has not come.
    """
    if as_of is None:
        return None
    try:
        instant = instants.parse(f"{as_of}T00:00:00Z" if len(as_of) == DATE_CHARACTERS else as_of)
    except ValueError:
        message = "must be an instant such as 2024-02-29T12:00:00Z, with + written as %2B, or a date: its first instant"
        raise refused([Fault("as_of", message, "invalid_instant")]) from None
    if instant > now:
        message = f"must not lie in the future; it is {instants.to_text(now)} now"
        raise refused([Fault("as_of", message, "future_instant")])
    return instant


@router.get("/{segment}/customers", response_model=Answer[CustomerPage], summary="Customers of a segment, by pages")
async def customers(
    request: Request,
    identity: Reader,
    segment: SegmentPath,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
    cursor: Cursor = None,
    as_of: Annotated[
        str | None,
        Query(max_length=40, description="Members at this past instant (RFC 3339, or a date: its first instant, UTC)"),
    ] = None,
) -> Response:
    """Answers the members in the order of their ids; each page is read at one instant.

    With `as_of` these are the members then, by the recorded history, with `membership_date` of that stay; what is shown
    of each customer is as it is now. `data.as_of` is the instant up to which the page is complete.
    """
    services = services_of(request)
    segment_id = segment_id_of(segment)
    after = place_after(segment_id, cursor)
    now = services.clock()
    past = instant_of(as_of, now)
    async with services.database.snapshot() as connection:
        store = PostgresSegments(connection)
        await read_segment(store, segment_id)
        complete_to = await store.complete_to(now)
        if past is None:
            found = await page_of_members(connection, segment_id, after, limit + 1)
            total = await count_members(connection, segment_id)
        else:
            complete_to = min(complete_to, past)
            found = await page_of_past_members(connection, segment_id, past, after, limit + 1)
            total = await count_past_members(connection, segment_id, past)
    page = found[:limit]
    can_read_pii = identity.can(Permission.READ_PII)
    data = {
        "customers": [customer_of(member, can_read_pii=can_read_pii) for member in page],
        "next_cursor": cursor_after(segment_id, page[-1].customer_id) if len(found) > limit else None,
        "total": total,
        "as_of": instants.to_text(complete_to),
    }
    return answer(data, f"{len(page)} of {total} customers")


@router.get(
    "/{segment}/export",
    summary="Export a segment's customers",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "A header line, then a line a member",
            "content": {"text/csv": {"example": "external_id,total_spent\nC-1001,99.90\n"}},
        }
    },
)
async def export(
    request: Request,
    identity: Reader,
    segment: SegmentPath,
    format: Annotated[str, Query(description="csv")] = "csv",  # noqa: A002 - the parameter's name outside
    fields: Annotated[
        str | None, Query(max_length=1_000, description="Columns, with commas between: " + ", ".join(EXPORT_FIELDS))
    ] = None,
    include_customer_details: Annotated[
        bool, Query(description="Without fields: all columns instead of external_id alone")
    ] = False,
) -> Response:
    """Streams all current members as they are at one instant.

    A text that begins with one of = + - @ TAB CR gets a leading ' so that no spreadsheet takes it for a formula;
    external_id stays as the events gave it.
    """
    segment_id = segment_id_of(segment)
    if format != "csv":
        raise refused([Fault("format", "must be csv", "unknown_format")])
    try:
        columns = export_fields(fields, include_customer_details=include_customer_details)
    except FieldsError as error:
        raise refused([Fault("fields", str(error), "unknown_field")]) from None
    services = services_of(request)
    async with services.database.snapshot() as connection:
        await read_segment(PostgresSegments(connection), segment_id)
    lines = CsvLines(columns, can_read_pii=identity.can(Permission.READ_PII))
    return Export(services, segment_id, lines)


class Export(StreamingResponse):
    """The stream; takes its turn first, and lets go of the database however it ends."""

    def __init__(self, services: Services, segment_id: UUID, lines: CsvLines) -> None:
        headers = {"content-disposition": f'attachment; filename="segment-{segment_id}.csv"'}
        self._stream = csv_of(services.database, segment_id, lines)
        self._turns = services.exports
        super().__init__(self._stream, headers=headers, media_type="text/csv; charset=utf-8")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends all lines.

        Raises:
            ApiError: too many exports are under way.
        """
        try:
            await asyncio.wait_for(self._turns.acquire(), EXPORT_WAIT_SECONDS_MAX)
        except TimeoutError:
            message = "Too many exports are under way; try again in a minute"
            raise ApiError("too_many", message, headers={"retry-after": "60"}) from None
        try:
            async with aclosing(self._stream):
                await super().__call__(scope, receive, send)
        finally:
            self._turns.release()


async def csv_of(database: Database, segment_id: UUID, lines: CsvLines) -> AsyncGenerator[str]:
    """A header line, then a line a member, in one snapshot."""
    yield lines.header()
    async with database.snapshot() as connection, aclosing(stream_members(connection, segment_id)) as parts:
        async for members in parts:
            yield lines.lines(members)
