"""Joined/left as bodies of Kafka records: the bytes of app.outgoing.change_records without objects for headers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from service.adapters.kafka.raw_batch import fast_varint, sized, varint
from service.app.changes import JOINED, LEFT, Changes, write_changes

_HEADERS: Final = 7


def change_bodies(changes: Changes) -> Iterator[tuple[int, bytes, bytes]]:
    """(which customer, key, body) of each change, in order."""
    keys: dict[int, tuple[bytes, bytes]] = {}
    for customer, key, value, has_joined, ce_id, ce_time, trace in write_changes(changes):
        known = keys.get(customer)
        if known is None:
            known = keys[customer] = sized(key), sized(b"ce_subject") + sized(key)
        sized_key, subject = known
        count = _WITH_TRACE if trace else _WITHOUT_TRACE
        body = b"%b%b%b%b%b%b%b%b%b%b" % (
            sized_key,
            fast_varint(len(value)),
            value,
            count,
            ce_id,
            _AFTER_ID[has_joined],
            subject,
            _BEFORE_TIME,
            sized(ce_time),
            _LAST,
        )
        yield customer, key, body + _TRACE + sized(trace) if trace else body


_FIRST: Final = sized(b"ce_specversion") + sized(b"1.0") + sized(b"ce_id") + varint(36)
_WITHOUT_TRACE: Final = varint(_HEADERS) + _FIRST
_WITH_TRACE: Final = varint(_HEADERS + 1) + _FIRST
_AFTER_ID: Final = tuple(
    sized(b"ce_source") + sized(b"/customer-segments") + sized(b"ce_type") + sized(kind) for kind in (LEFT, JOINED)
)
_BEFORE_TIME: Final = sized(b"ce_time")
_LAST: Final = sized(b"content-type") + sized(b"application/json")
_TRACE: Final = sized(b"traceparent")
