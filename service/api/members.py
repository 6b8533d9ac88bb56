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
from service.adapters.postgres.members import count_members, page_of_members, stream_members
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

#: How long an export waits for others to end before it is refused.
EXPORT_WAIT_SECONDS_MAX: Final = 30

router: Final = APIRouter(prefix=BASE, tags=["customers"])


@router.get("/{segment}/customers", response_model=Answer[CustomerPage], summary="Customers of a segment, by pages")
async def customers(
    request: Request,
    identity: Reader,
    segment: SegmentPath,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
    cursor: Annotated[str | None, Query(max_length=100, description="next_cursor of the page before")] = None,
) -> Response:
    """Answers the current members in the order of their ids; each page is read at one instant."""
    segment_id = segment_id_of(segment)
    try:
        after = None if cursor is None else customer_before(segment_id, cursor)
    except CursorError as error:
        raise refused([Fault("cursor", str(error), "invalid_cursor")]) from None
    async with services_of(request).database.snapshot() as connection:
        await read_segment(PostgresSegments(connection), segment_id)
        found = await page_of_members(connection, segment_id, after, limit + 1)
        total = await count_members(connection, segment_id)
    page = found[:limit]
    can_read_pii = identity.can(Permission.READ_PII)
    data = {
        "customers": [customer_of(member, can_read_pii=can_read_pii) for member in page],
        "next_cursor": cursor_after(segment_id, page[-1].customer_id) if len(found) > limit else None,
        "total": total,
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
