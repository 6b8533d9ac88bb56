"""PostgreSQL's binary form of COPY, written at once: the driver spends twice the time on rows of Python's objects."""

from __future__ import annotations

from struct import Struct
from typing import Final

from service.core.instants import SECOND

#: 2000-01-01T00:00:00Z, from which PostgreSQL counts, in microseconds since 1970.
ORIGIN: Final = 946_684_800 * SECOND
HEAD: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
END: Final = b"\xff\xff"
#: How many columns; the length of a UUID and the UUID; the length of the text that follows.
KEY: Final = Struct("!hi16si")
#: A bigint or an instant, with its length.
LONG: Final = Struct("!iq")
LENGTH: Final = Struct("!i")
NULL: Final = LENGTH.pack(-1)
FALSE: Final = b"\0\0\0\1\0"
TRUE: Final = b"\0\0\0\1\1"
#: The first byte of a jsonb: its version.
JSONB_VERSION: Final = b"\1"


def text(value: str | None) -> bytes:
    """A text with its length."""
    if value is None:
        return NULL
    raw = value.encode()
    return LENGTH.pack(len(raw)) + raw


def json(encoded: bytes | None) -> bytes:
    """A jsonb, given as JSON, with its length."""
    return NULL if encoded is None else LENGTH.pack(len(encoded) + 1) + JSONB_VERSION + encoded


def long(value: int | None) -> bytes:
    """A bigint with its length."""
    return NULL if value is None else LONG.pack(8, value)


def instant(at: int) -> bytes:
    """Microseconds since 1970 as a timestamptz, with its length."""
    return LONG.pack(8, at - ORIGIN)
