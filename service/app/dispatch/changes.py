"""Joined and left events as the dispatcher reads them from the membership topic, in either mode of CloudEvents."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final, NamedTuple
from uuid import UUID

import msgspec

from service.core.events.check import Fault
from service.core.events.envelope import read_envelope, read_traceparent
from service.core.instants import from_datetime

_TYPES: Final = {"segment.joined": True, "segment.left": False}
_Time = Annotated[datetime, msgspec.Meta(tz=True)]


class Unreadable(ValueError):
    """The record is no joined or left event; the message says why, without anything of a customer's."""


class Change(NamedTuple):
    """Somebody joined or left. Instants are microseconds.

    Attributes:
        sequence: which of this customer's joins and leaves of this segment it is.
        effective_at: from when it is true.
        recorded_at: when it was found out, in real time.
        reason: why, such as `event`, `time` or `definition`.
        is_backfill: the segment's definition changed, not the customer.
    """

    customer_id: UUID
    segment_id: UUID
    has_joined: bool
    sequence: int
    effective_at: int
    recorded_at: int
    reason: str
    is_backfill: bool
    traceparent: str | None


class _Data(msgspec.Struct):
    customer_id: UUID
    segment_id: UUID
    sequence: int
    effective_at: _Time
    recorded_at: _Time
    reason: str
    backfill: bool = False


_data: Final = msgspec.json.Decoder(_Data)


def read_change(value: bytes | None, headers: Sequence[tuple[str, bytes | None]]) -> Change:
    """One record.

    Raises:
        Unreadable: it is something else; the topic may be shared.
    """
    try:
        envelope = read_envelope(value or b"", headers)
        if envelope.type not in _TYPES:
            msg = f"the type {envelope.type[:100]!r} is neither segment.joined nor segment.left"
            raise Unreadable(msg)
        data = _data.decode(envelope.data)
    except Fault as error:
        raise Unreadable(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        msg = f"it cannot be read ({type(error).__name__})"
        raise Unreadable(msg) from None
    return Change(
        data.customer_id,
        data.segment_id,
        _TYPES[envelope.type],
        data.sequence,
        from_datetime(data.effective_at),
        from_datetime(data.recorded_at),
        data.reason,
        data.backfill,
        read_traceparent(envelope.traceparent),
    )
