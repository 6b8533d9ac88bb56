"""The recorded history of a segment: who joined and left, when and why, and which criteria it had."""

from __future__ import annotations

import base64
import binascii
import struct
from bisect import bisect_right
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple
from uuid import UUID

from service.core import instants

JOINED: Final = "joined"
LEFT: Final = "left"

#: As many as YYYY-MM-DD has.
#: Instant and ordinal around the customer's id, behind the first bytes of the segment's.
_CURSOR: Final = struct.Struct(">4sq16sq")


class PastTransition(NamedTuple):
    """A join or a leave as it was recorded.

    Attributes:
        sequence: the ordinal of this customer's transitions in this segment; odd for joins.
        version: that of the definition the stay began with.
    """

    segment_id: UUID
    change: str
    customer_id: UUID
    external_id: str | None
    effective_at: datetime
    recorded_at: datetime
    reason: str
    sequence: int
    version: int


class Place(NamedTuple):
    """A place in a history: after this transition, towards older ones."""

    effective_at: int
    customer_id: UUID
    sequence: int


class HistoryFilter(NamedTuple):
    """What of a history is asked for; None stands for all. Both instants are included, in microseconds."""

    earliest: int | None = None
    latest: int | None = None
    customer_id: UUID | None = None
    change: Literal["joined", "left"] | None = None
    reason: str | None = None

    def place(self, after: Place | None) -> Place | None:
        """The place that the history is read from: behind all that is later than asked for, or behind `after`."""
        if self.latest is None:
            return after
        end = Place(self.latest, UUID(int=2**128 - 1), 2**62)
        return end if after is None else min(after, end)


class Version(NamedTuple):
    """One version of a segment's criteria: who set them, and when."""

    version: int
    criteria: Any
    created_by: str
    creator_name: str
    created_at: datetime


class PlaceError(ValueError):
    """The cursor was not given out for this history."""


def cursor_behind(segment_id: UUID, one: PastTransition) -> str:
    """An opaque text for the place behind this transition of this segment's history."""
    at = instants.from_datetime(one.effective_at)
    raw = _CURSOR.pack(segment_id.bytes[:4], at, one.customer_id.bytes, one.sequence)
    return base64.urlsafe_b64encode(raw).decode()


def place_of(segment_id: UUID, cursor: str) -> Place:
    """The place that a cursor stands for.

    Raises:
        PlaceError: `cursor_behind` did not make this for this segment.
    """
    try:
        head, at, customer, sequence = _CURSOR.unpack(base64.b64decode(cursor.encode("ascii"), b"-_", validate=True))
    except (binascii.Error, struct.error, ValueError):
        head, at, customer, sequence = b"", 0, b"", 0
    is_usable = head == segment_id.bytes[:4] and instants.INSTANT_MIN <= at <= instants.INSTANT_MAX and sequence > 0
    if not is_usable:
        msg = "is no cursor of this history; use the next_cursor of the page before, or leave it out for the first page"
        raise PlaceError(msg)
    return Place(at, UUID(bytes=customer), sequence)


def transition_json(one: PastTransition, versions: Sequence[tuple[int, datetime]]) -> dict[str, Any]:
    """A transition as the API shows it.

    Args:
        one: what was recorded.
        versions: (version, since when) of its segment, ascending: a leave happened under the one in force then.
    """
    version = one.version
    if one.change == LEFT:
        place = bisect_right(versions, one.recorded_at, key=lambda each: each[1])
        version = max(version, versions[place - 1][0] if place else 0)
    return {
        "change": one.change,
        "customer_id": str(one.customer_id),
        "external_id": one.external_id or str(one.customer_id),
        "effective_at": instants.to_text(instants.from_datetime(one.effective_at)),
        "recorded_at": instants.to_text(instants.from_datetime(one.recorded_at)),
        "reason": one.reason,
        "sequence": one.sequence,
        "segment_version": version,
    }


def version_json(one: Version) -> dict[str, Any]:
    """A version as the API shows it."""
    return {
        "version": one.version,
        "criteria": one.criteria,
        "created_by": one.created_by,
        "creator_name": one.creator_name,
        "created_at": one.created_at,
    }
