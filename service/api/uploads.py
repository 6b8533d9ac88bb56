"""Bodies that are files: kept on the disk while they come, never in memory, and gone with the request."""

from __future__ import annotations

import mmap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.message import Message
from email.parser import BytesHeaderParser
from tempfile import TemporaryFile
from typing import IO, Final

from fastapi import Request

from service.api.bodies import refuse_compressed
from service.api.errors import ApiError, Fault, refused
from service.api.unhurried import in_thread

#: What a body of another kind is sent with is not looked at: browsers and scripts call CSV all kinds of things.
_FORM: Final = "multipart/form-data"
_REFUSED: Final = (
    "application/json",
    "application/zip",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
)
#: The form's field.
FIELD: Final = "file"
PARTS_MAX: Final = 16
PART_HEADER_BYTES_MAX: Final = 8_192
#: What a form adds to the file.
FORM_BYTES_MAX: Final = 65_536
COPY_BYTES: Final = 1_048_576


@asynccontextmanager
async def uploaded(request: Request, bytes_max: int) -> AsyncIterator[IO[bytes]]:
    """The request's body, or the field `file` of a form, as a file without a name that is gone after the block.

    Raises:
        ApiError: too_large, unsupported_media_type (it is compressed), or invalid: a kind that is no such file.
    """
    refuse_compressed(request)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in _REFUSED:
        message = f"must be text/csv, or {_FORM} with a field {FIELD}"
        raise refused([Fault("content-type", message, "unsupported_media_type")])
    is_form = kind == _FORM
    file: IO[bytes] = await in_thread(TemporaryFile)
    with file:
        await _receive(request, file, bytes_max, bytes_max + FORM_BYTES_MAX * is_form)
        if not is_form:
            yield file
            return
        part: IO[bytes] = await in_thread(TemporaryFile)
        with part:
            await in_thread(_take_part, file, part, request.headers["content-type"])
            yield part


async def _receive(request: Request, file: IO[bytes], said_max: int, bytes_max: int) -> None:
    too_large = ApiError("too_large", f"The file must not be larger than {said_max} bytes; send it in parts")
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and len(announced) < 20 and int(announced) > bytes_max:
        raise too_large
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > bytes_max:
            raise too_large
        file.write(chunk)
    file.flush()


def _take_part(form: IO[bytes], part: IO[bytes], content_type: str) -> None:
    """Copies what the field `file` of a form (RFC 7578) holds."""
    start, end = _place_of(form, content_type)
    form.seek(start)
    while start < end:
        some = form.read(min(COPY_BYTES, end - start))
        part.write(some)
        start += len(some)
    part.flush()


def _place_of(form: IO[bytes], content_type: str) -> tuple[int, int]:
    missing = refused([Fault("body", f"is no form with a field {FIELD} that holds the file", "invalid_form")])
    about = Message()
    about["content-type"] = content_type
    boundary = about.get_boundary()
    if not boundary or not boundary.isascii() or form.seek(0, 2) == 0:
        raise missing
    mark = b"--" + boundary.encode()
    with mmap.mmap(form.fileno(), 0, access=mmap.ACCESS_READ) as data:
        found: tuple[int, int] | None = None
        place = 0 if data[: len(mark)] == mark else data.find(b"\r\n" + mark) + 2
        for _ in range(PARTS_MAX):
            begin = place + len(mark) + 2
            body = data.find(b"\r\n\r\n", begin - 2, begin + PART_HEADER_BYTES_MAX)
            end = data.find(b"\r\n" + mark, body + 2)
            if place < 0 or body < 0 or end < 0:
                break
            header = BytesHeaderParser().parsebytes(data[begin : body + 4])
            if header.get_param("name", header="content-disposition") == FIELD:
                if found is not None:
                    raise refused([Fault(FIELD, "is there more than once; send one file a request", "repeated_part")])
                found = body + 4, max(end, body + 4)
            place = end + 2
    if found is None:
        raise missing
    return found
