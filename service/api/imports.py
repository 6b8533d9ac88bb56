"""The route that imports a file of customers into a segment."""

from __future__ import annotations

import time
from contextlib import closing
from typing import IO, Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from service.adapters.postgres.emails import PostgresEmails
from service.adapters.postgres.segments import PostgresSegments
from service.api.bodies import answer
from service.api.errors import ApiError, Fault, refused
from service.api.guard import RETRY_SECONDS
from service.api.schemas import Answer
from service.api.segments import BASE, SegmentPath, Updater, author_of, segment_id_of
from service.api.services import Services, services_of
from service.api.turns import turn
from service.api.unhurried import in_thread
from service.api.uploads import uploaded
from service.app.import_file import BODY_BYTES_MAX, BY_EMAIL, FileRefused, ImportFile
from service.app.imports import (
    NAMED_MAX,
    ImportReport,
    import_customers,
)
from service.app.pins import ADD, CUSTOMERS_AT_ONCE_MAX, FAULTS_MAX, IMPORT, Contention, PinChange
from service.app.segments import read_segment
from service.app.tokens import Identity, Permission

#: How long an import waits for others to end before it is refused.
IMPORT_WAIT_SECONDS_MAX: Final = 30

router: Final = APIRouter(prefix=BASE, tags=["customers"])


class LineFault(BaseModel):
    """A row that was left out."""

    line: Annotated[int, Field(description="Counted from 1, the header included", examples=[7])]
    message: Annotated[str, Field(examples=["names no customer; its cell is empty"])]


class ImportedData(BaseModel):
    """What became of the rows; `rows` is the sum of the eight counts after it."""

    by: Annotated[Literal["id", "email"], Field(description="How the file names customers")]
    rows: Annotated[int, Field(description="Without header and blank lines")]
    added: int
    removed: int
    unchanged: Annotated[int, Field(description="Were added or removed before")]
    unknown: Annotated[int, Field(description="No customer of this id or address; static segments take unknown ids")]
    erased: Annotated[int, Field(description="Have been erased, and stay so")]
    ambiguous: Annotated[int, Field(description="Addresses that several customers have; none of these was taken")]
    repeated: Annotated[int, Field(description="Name a customer whom an earlier row names as well")]
    faulty: Annotated[int, Field(description="Cannot be read")]
    unknown_rows: Annotated[list[str], Field(description=f"The first {NAMED_MAX} unknown ids or addresses")]
    ambiguous_rows: Annotated[list[str], Field(description=f"The first {NAMED_MAX} ambiguous addresses")]
    faults: Annotated[list[LineFault], Field(description=f"The first {FAULTS_MAX} rows that cannot be read")]


_SCHEMA: Final[dict[str, Any]] = {"type": "string", "maxLength": BODY_BYTES_MAX}
_FORM_SCHEMA: Final = {
    "type": "object",
    "required": ["file"],
    "properties": {"file": {"type": "string", "format": "binary"}},
}
_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "text/csv": {
                "schema": _SCHEMA,
                "examples": {
                    "by_id": {
                        "summary": "by id",
                        "value": "customer_id\nC-1001\n3b1f2b1c-5f0e-4d6b-9f39-0d5a3a2b7c11\n",
                    },
                    "by_email": {"summary": "by e-mail address", "value": "name;email\nAda;ada@example.com\n"},
                },
            },
            "multipart/form-data": {"schema": _FORM_SCHEMA},
        },
    }
}


@router.post(
    "/{segment}/import",
    response_model=Answer[ImportedData],
    responses={429: {}, 503: {}},
    summary="Import a file of customers into a segment",
    openapi_extra=_BODY,
)
async def import_file(
    request: Request,
    identity: Updater,
    segment: SegmentPath,
    action: Annotated[
        Literal["add", "remove"], Query(description="remove: as DELETE /{segment}/customers does")
    ] = "add",
    by: Annotated[
        Literal["id", "email"] | None,
        Query(description="What the file names customers by; left out it is seen from the header or the first row"),
    ] = None,
) -> Response:
    """Adds the customers of a CSV file by hand, or removes them, as POST and DELETE /{segment}/customers do.

    One customer a row, in a column customer_id, external_id, id or email; without a header line in the first column.
    UTF-8; separated by comma, semicolon or tab. Published with the reason import. Importing by e-mail address needs
    customers:read_pii as well. A file that cannot be read changes nothing; a row that cannot be read is left out, and
    told. The same file again changes nothing more, and does the rest of what was cut short.
    """
    segment_id = segment_id_of(segment)
    services = services_of(request)
    async with services.database.snapshot() as connection:
        await read_segment(PostgresSegments(connection), segment_id)
    change = PinChange(segment_id, action, author_of(identity), time.time_ns() // 1_000, IMPORT)
    # The file first: who sends it slowly keeps nobody waiting.
    async with (
        uploaded(request, BODY_BYTES_MAX) as body,
        turn(services.imports, IMPORT_WAIT_SECONDS_MAX, "imports"),
    ):
        file = await _read(body, by, identity)
        report = await _import(services, change, file)
    done = report.pins.added if action == ADD else report.pins.removed
    said = "added" if action == ADD else "removed"
    return answer(_data(file, report), f"{done} of {file.rows} customers have been {said}")


async def _read(body: IO[bytes], by: str | None, identity: Identity) -> ImportFile:
    try:
        file = await in_thread(ImportFile, body, by)
    except FileRefused as error:
        raise refused([Fault("body", str(error), "invalid_file")]) from None
    if file.by == BY_EMAIL and not identity.can(Permission.READ_PII):
        needed = f"The token lacks the permission {Permission.READ_PII}"
        raise ApiError("forbidden", f"{needed}, which importing by e-mail address needs; import by customer_id instead")
    return file


async def _import(services: Services, change: PinChange, file: ImportFile) -> ImportReport:
    emails = PostgresEmails(services.database)
    with closing(file.portions(CUSTOMERS_AT_ONCE_MAX)) as portions:
        try:
            return await import_customers(services.batches, emails, services.clock, change, file.by, portions)
        except Contention:
            message = "Others are changing the same customers; send the same file again in a few seconds"
            raise ApiError("unavailable", message, headers={"retry-after": str(RETRY_SECONDS)}) from None


def _data(file: ImportFile, report: ImportReport) -> dict[str, Any]:
    pins = report.pins
    return {
        "by": file.by,
        "rows": file.rows,
        "added": pins.added,
        "removed": pins.removed,
        "unchanged": pins.unchanged,
        "unknown": pins.unknown,
        "erased": pins.erased,
        "ambiguous": report.ambiguous,
        "repeated": file.repeated + report.repeated,
        "faulty": file.faulty,
        "unknown_rows": report.unknown,
        "ambiguous_rows": report.several,
        "faults": [{"line": line, "message": message} for line, message in file.faults],
    }
