"""The route that exports a segment's members: CSV as it is read, or an Excel workbook made first and sent then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, aclosing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Annotated, Final

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from service.adapters.postgres.database import Database
from service.adapters.postgres.exports import count_exported, stream_members
from service.adapters.postgres.segments import PostgresSegments
from service.adapters.workbook import ROWS_MAX, MembersWorkbook, UnwritableFile
from service.api.errors import ApiError, Fault, refused
from service.api.members import AsOf, instant_of
from service.api.segments import BASE, Reader, SegmentPath, segment_id_of
from service.api.services import Services, services_of
from service.api.turns import turn
from service.api.unhurried import in_thread, unless_gone
from service.app.exports import (
    CSV,
    EXPORT_FIELDS,
    FORMATS,
    Cells,
    CsvLines,
    Export,
    FieldsError,
    about_export,
    export_fields,
)
from service.app.segments import read_segment
from service.app.tokens import Permission

#: How long an export waits for others to end before it is refused.
EXPORT_WAIT_SECONDS_MAX: Final = 30
#: How long a client may let a part of an export lie.
SEND_SECONDS_MAX: Final = 60
FILE_BYTES_AT_ONCE: Final = 262_144
XLSX_MEDIA_TYPE: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

router: Final = APIRouter(prefix=BASE, tags=["customers"])


@router.get(
    "/{segment}/export",
    summary="Export a segment's customers",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "A header line, then a line a member",
            "content": {
                "text/csv": {"example": "external_id,total_spent\nC-1001,99.90\n"},
                XLSX_MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}},
            },
        }
    },
)
async def export(
    request: Request,
    identity: Reader,
    segment: SegmentPath,
    format: Annotated[str, Query(description="csv or xlsx")] = CSV,  # noqa: A002 - the parameter's name outside
    fields: Annotated[
        str | None, Query(max_length=1_000, description="Columns, with commas between: " + ", ".join(EXPORT_FIELDS))
    ] = None,
    include_customer_details: Annotated[
        bool, Query(description="Without fields: all columns instead of external_id alone")
    ] = False,
    as_of: AsOf = None,
    bom: Annotated[
        bool, Query(description="csv: begin with a byte order mark, which Excel needs to read UTF-8")
    ] = False,
) -> Response:
    """Streams all members, ascending by id, as they are at one instant; with `as_of` the members then.

    In CSV a text that begins with one of = + - @ (wide or not), TAB, CR or LF gets a leading ' so that no spreadsheet
    takes it for a formula; external_id stays as the events gave it. In a workbook texts are texts and numbers are
    numbers; members stand in sheets named members, members_2, ... of at most 1,048,575 rows, and a sheet `about` says
    what the file is. It is sent when it is whole: a million members with all columns take a minute.
    """
    segment_id = segment_id_of(segment)
    if format not in FORMATS:
        raise refused([Fault("format", f"must be {' or '.join(FORMATS)}", "unknown_format")])
    try:
        columns = export_fields(fields, include_customer_details=include_customer_details)
    except FieldsError as error:
        raise refused([Fault("fields", str(error), "unknown_field")]) from None
    services = services_of(request)
    wanted = Export(segment_id, instant_of(as_of, services.clock()))
    can_read_pii = identity.can(Permission.READ_PII)
    async with services.database.snapshot() as connection:
        await read_segment(PostgresSegments(connection), segment_id)
        if format != CSV and await count_exported(connection, wanted) > ROWS_MAX:
            raise refused(
                [Fault("format", f"must be csv where there are more than {ROWS_MAX} members", "too_many_rows")]
            )
    if format == CSV:
        return CsvExport(services, wanted, CsvLines(columns, can_read_pii=can_read_pii, has_bom=bom))
    return WorkbookExport(services, wanted, Cells(columns, can_read_pii=can_read_pii))


def _turn(services: Services) -> AbstractAsyncContextManager[None]:
    return turn(services.exports, EXPORT_WAIT_SECONDS_MAX, "exports")


def _headers(wanted: Export, ending: str) -> dict[str, str]:
    return {"content-disposition": f'attachment; filename="segment-{wanted.segment_id}.{ending}"'}


class CsvExport(StreamingResponse):
    """The stream; takes its turn first, and lets go of the database however it ends."""

    def __init__(self, services: Services, wanted: Export, lines: CsvLines) -> None:
        self._stream = csv_of(services.database, wanted, lines)
        self._services = services
        super().__init__(self._stream, headers=_headers(wanted, "csv"), media_type="text/csv; charset=utf-8")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends all lines, as long as the client goes on to read.

        Raises:
            ApiError: too many exports are under way.
            ClientDisconnect: the client has gone, or reads no more.
        """

        async def send_in_time(message: Message) -> None:
            await asyncio.wait_for(send(message), SEND_SECONDS_MAX)

        async with _turn(self._services), aclosing(self._stream):
            await super().__call__(scope, receive, send_in_time)


async def csv_of(database: Database, wanted: Export, lines: CsvLines) -> AsyncGenerator[str]:
    """A header line, then a line a member, in one snapshot."""
    yield lines.header()
    async with (
        database.snapshot() as connection,
        aclosing(stream_members(connection, wanted, lines.cells.sources)) as parts,
    ):
        async for rows in parts:
            yield lines.lines(rows)


class WorkbookExport(Response):
    """The file; takes its turn first, and leaves nothing on the disk however it ends."""

    def __init__(self, services: Services, wanted: Export, cells: Cells) -> None:
        super().__init__(headers=_headers(wanted, "xlsx"), media_type=XLSX_MEDIA_TYPE)
        self._services, self._wanted, self._cells = services, wanted, cells

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Makes the file and sends it.

        Raises:
            ApiError: too many exports are under way, or there is no room on the disk.
            ClientDisconnect: nobody waits for the file any more.
        """
        async with _turn(self._services):
            with TemporaryDirectory(prefix="segments-export-") as folder:
                path = Path(folder, "export.xlsx")
                await unless_gone(receive, self._make(path))
                file = await in_thread(_opened, path)
        # The disk has no name for it any more, and others need not wait until it is read.
        with file:
            size = file.seek(0, 2)
            file.seek(0)
            headers = {**_headers(self._wanted, "xlsx"), "content-length": str(size)}
            async with aclosing(_parts_of(file)) as parts:
                await StreamingResponse(parts, headers=headers, media_type=XLSX_MEDIA_TYPE)(scope, receive, send)

    async def _make(self, path: Path) -> None:
        try:
            await make_workbook(self._services, self._wanted, self._cells, path)
        except UnwritableFile as error:
            message = "The workbook cannot be written where temporary files go (TMPDIR); is there room on the disk?"
            raise ApiError("unavailable", message) from error


async def make_workbook(services: Services, wanted: Export, cells: Cells, path: Path) -> None:
    """Writes the workbook of an export, in threads, so that other requests are answered meanwhile."""
    now = services.clock()
    book = MembersWorkbook(path, cells)
    try:
        async with services.database.snapshot() as connection:
            store = PostgresSegments(connection)
            segment, complete_to = await read_segment(store, wanted.segment_id), await store.complete_to(now)
            async with aclosing(stream_members(connection, wanted, cells.sources)) as parts:
                async for rows in parts:
                    await in_thread(book.add, rows)
        await in_thread(book.close, about_export(segment, wanted, complete_to, cells.fields, book.rows))
    finally:
        book.abandon()


def _opened(path: Path) -> IO[bytes]:
    return path.open("rb")


async def _parts_of(file: IO[bytes]) -> AsyncGenerator[bytes]:
    while part := await in_thread(file.read, FILE_BYTES_AT_ONCE):
        yield part
