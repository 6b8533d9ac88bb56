"""What leaves: joined/left events and dead letters, encoded once, in the transaction that causes them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple
from uuid import UUID

import msgspec

from service.app.changes import JOINED, LEFT, Changes, pack_changes, write_changes
from service.app.ports import DeadLetter
from service.core.segments.walk import Transition
from service.tracing import current_cause

#: (topic, key, value, headers): one Kafka record as the relay sends it.
OutgoingRecord = tuple[str, bytes | None, bytes | None, list[tuple[str, bytes]]]

#: What one outbox row holds at most, headers apart.
ROW_BYTES_MAX: Final = 8_388_608
ROW_RECORDS_MAX: Final = 20_000

_VERSION: Final = ("ce_specversion", b"1.0")
_SOURCE: Final = ("ce_source", b"/customer-segments")
_JSON: Final = ("content-type", b"application/json")

_packer: Final = msgspec.msgpack.Encoder()
_records: Final = msgspec.msgpack.Decoder(list[OutgoingRecord])
_changes: Final = msgspec.msgpack.Decoder(Changes)
#: The first byte of a payload of changes; no MessagePack begins with it, as payloads of records do.
CHANGES_FORM: Final = b"\xc1"


class OutboxRow(NamedTuple):
    """One row: its payload, how many records it holds, and by how much each segment grew (JSON)."""

    payload: bytes
    records: int
    counts: str


class Outgoing(NamedTuple):
    """The topics that things leave on."""

    membership_topic: str
    dead_letter_topic: str


def encode_outbox(
    outgoing: Outgoing,
    transitions: Sequence[Transition],
    recorded_at: int,
    letters: Sequence[DeadLetter],
    *,
    is_recovering: bool = False,
    is_counted: bool = False,
) -> list[OutboxRow]:
    """Rows for the outbox, in order: changes, then dead letters; few unless there is very much to send.

    Args:
        outgoing: the topics.
        transitions: in order.
        recorded_at: real time, microseconds.
        letters: dead letters.
        is_recovering: of the transitions only the counts are in them: they left before the database was lost.
        is_counted: the counts have been told already.
    """
    counts: dict[UUID, int] = {}
    told: list[Transition] = []
    for one in transitions:
        segment_id = one.definition.segment_id
        counts[segment_id] = counts.get(segment_id, 0) + (1 if one.has_joined else -1)
        if not (is_recovering or (one.definition.is_silent and one.reason == "definition")):
            told.append(one)
    growth = {} if is_counted else {str(key): count for key, count in counts.items() if count}
    rows = []
    for place in range(0, len(told), ROW_RECORDS_MAX):
        some = told[place : place + ROW_RECORDS_MAX]
        packed = _packer.encode(pack_changes(some, recorded_at, current_cause()))
        rows.append(OutboxRow(CHANGES_FORM + packed, len(some), "{}"))
    records = [letter_record(outgoing.dead_letter_topic, letter) for letter in letters]
    rows += encode_records(records)
    if growth:
        first = rows[0] if rows else OutboxRow(_packer.encode([]), 0, "{}")
        rows[:1] = [first._replace(counts=json.dumps(growth))]
    return rows


def encode_records(records: list[OutgoingRecord]) -> Iterator[OutboxRow]:
    """Rows for the outbox with these records, in order; none without records."""
    if records:
        for some in _bounded(records):
            yield OutboxRow(_packer.encode(some), len(some), "{}")


def _bounded(records: list[OutgoingRecord]) -> Iterator[list[OutgoingRecord]]:
    """The records in rows of bounded size; at least one row, maybe empty."""
    some: list[OutgoingRecord] = []
    size = 0
    for record in records:
        length = len(record[1] or b"") + len(record[2] or b"")
        if some and (size + length > ROW_BYTES_MAX or len(some) >= ROW_RECORDS_MAX):
            yield some
            some, size = [], 0
        some.append(record)
        size += length
    yield some


def read_outbox(payload: bytes) -> Changes | list[OutgoingRecord]:
    """What one outbox row holds."""
    if payload[:1] == CHANGES_FORM:
        return _changes.decode(memoryview(payload)[1:])
    return _records.decode(payload)


def decode_outbox(payload: bytes, membership_topic: str) -> list[OutgoingRecord]:
    """The records of one outbox row."""
    found = read_outbox(payload)
    return list(change_records(membership_topic, found)) if isinstance(found, Changes) else found


def change_records(topic: str, changes: Changes) -> Iterator[OutgoingRecord]:
    """Changes as records with all their headers; the relay writes the same bytes without the detour."""
    for one in write_changes(changes):
        headers = [
            _VERSION,
            ("ce_id", one.ce_id),
            _SOURCE,
            ("ce_type", JOINED if one.has_joined else LEFT),
            ("ce_subject", one.key),
            ("ce_time", one.ce_time),
            _JSON,
        ]
        if one.traceparent:
            headers.append(("traceparent", one.traceparent))
        yield topic, one.key, one.value, headers


#: Headers that this service adds to dead letters; all others are the record's own, and go out again.
OUR_HEADERS: Final = frozenset(
    {"x-reason", "x-error", "x-truncated", "x-customer-id"}
    | {f"x-original-{name}" for name in ("topic", "partition", "offset", "timestamp")}
)


def letter_record(topic: str, letter: DeadLetter) -> OutgoingRecord:
    """A dead letter: the original bytes and key, and where it came from."""
    headers = [(name, value or b"") for name, value in letter.headers if name.lower() not in OUR_HEADERS]
    headers += [
        ("x-reason", letter.reason.encode()),
        ("x-error", letter.error.encode(errors="replace")),
        ("x-original-topic", letter.topic.encode()),
        ("x-original-partition", str(letter.partition).encode()),
        ("x-original-offset", str(letter.offset).encode()),
        ("x-original-timestamp", str(letter.timestamp_ms).encode()),
    ]
    if letter.value is not None and letter.size > len(letter.value):
        headers.append(("x-truncated", str(letter.size).encode()))
    if letter.customer_id is not None:
        headers.append(("x-customer-id", str(letter.customer_id).encode()))
    return topic, letter.key, letter.value, headers
