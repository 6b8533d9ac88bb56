"""What leaves: joined/left events and dead letters, encoded once, in the transaction that causes them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple
from uuid import UUID

import msgspec

from service.app.ports import DeadLetter
from service.core import instants
from service.core.identity import transition_id
from service.core.profiles.profile import Profile
from service.core.segments.catalogue import Definition
from service.core.segments.walk import Transition
from service.tracing import current_cause

#: (topic, key, value, headers): one Kafka record as the relay sends it.
OutgoingRecord = tuple[str, bytes | None, bytes | None, list[tuple[str, bytes]]]

#: What one outbox row holds at most, headers apart.
ROW_BYTES_MAX: Final = 8_388_608
ROW_RECORDS_MAX: Final = 20_000

_VERSION: Final = ("ce_specversion", b"1.0")
_SOURCE: Final = ("ce_source", b"/customer-segments")
_JOINED: Final = ("ce_type", b"segment.joined")
_LEFT: Final = ("ce_type", b"segment.left")
_JSON: Final = ("content-type", b"application/json")
#: Where the type stands among the headers.
_TYPE_PLACE: Final = 3

_encoder: Final = msgspec.json.Encoder()
_packer: Final = msgspec.msgpack.Encoder()
_unpacker: Final = msgspec.msgpack.Decoder(list[OutgoingRecord])


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
) -> Iterator[OutboxRow]:
    """Rows for the outbox, in order; one unless there is very much to send.

    Args:
        outgoing: the topics.
        transitions: in order.
        recorded_at: real time, microseconds.
        letters: dead letters.
        is_recovering: of the transitions only the counts are in them: they left before the database was lost.
        is_counted: the counts have been told already.
    """
    counts: dict[UUID, int] = {}
    records: list[OutgoingRecord] = []
    writer = _Writer(outgoing.membership_topic, instants.to_text(recorded_at))
    for one in transitions:
        segment_id = one.definition.segment_id
        counts[segment_id] = counts.get(segment_id, 0) + (1 if one.has_joined else -1)
        if not (is_recovering or (one.definition.is_silent and one.reason == "definition")):
            records.append(writer.record(one))
    records += [letter_record(outgoing.dead_letter_topic, letter) for letter in letters]
    counted = "{}" if is_counted else json.dumps({str(key): count for key, count in counts.items() if count})
    for some in _bounded(records):
        yield OutboxRow(_packer.encode(some), len(some), counted)
        counted = "{}"


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


def decode_outbox(payload: bytes) -> list[OutgoingRecord]:
    """The records of one outbox row."""
    return _unpacker.decode(payload)


def count_changes(outgoing: Outgoing, records: Sequence[OutgoingRecord]) -> tuple[int, int]:
    """How many of these say that somebody joined, and how many that somebody left."""
    types = [headers[_TYPE_PLACE] for topic, _, _, headers in records if topic == outgoing.membership_topic]
    return types.count(_JOINED), types.count(_LEFT)


class _Writer:
    """Writes joined/left events (CONTRACT section 5); what many of them share is encoded once."""

    def __init__(self, topic: str, recorded_at: str) -> None:
        self._topic = topic
        self._recorded_at = recorded_at
        self._cause = current_cause()
        self._segments: dict[UUID, tuple[str, bytes]] = {}
        self._customers: dict[UUID, tuple[str, bytes, bytes]] = {}
        self._instants: dict[int, bytes] = {}

    def record(self, one: Transition) -> OutgoingRecord:
        """One event in CloudEvents binary mode."""
        segment_id, segment = self._segment(one.definition)
        customer_id, key, customer = self._customer(one.profile)
        at = self._instants.get(one.effective_at)
        if at is None:
            at = self._instants[one.effective_at] = instants.to_text(one.effective_at).encode()
        value = b'%b,%b,"sequence":%d,"effective_at":"%b","recorded_at":"%b","reason":"%b","backfill":%b' % (
            customer,
            segment,
            one.ordinal,
            at,
            self._recorded_at.encode(),
            one.reason.encode(),
            b"true" if one.reason == "definition" else b"false",
        )
        if one.event is not None:
            value += b',"cause_event_id":' + _encoder.encode(one.event.id)
        headers = [
            _VERSION,
            ("ce_id", transition_id(customer_id, segment_id, one.ordinal).encode()),
            _SOURCE,
            _JOINED if one.has_joined else _LEFT,
            ("ce_subject", key),
            ("ce_time", at),
            _JSON,
        ]
        trace = self._cause if one.event is None else one.event.trace
        if trace:
            headers.append(("traceparent", trace.encode()))
        return self._topic, key, value + b"}", headers

    def _segment(self, definition: Definition) -> tuple[str, bytes]:
        known = self._segments.get(definition.segment_id)
        if known is None:
            segment_id = str(definition.segment_id)
            encoded = b'"segment_id":"%b","segment_name":%b,"segment_version":%d' % (
                segment_id.encode(),
                _encoder.encode(definition.name),
                definition.version,
            )
            known = self._segments[definition.segment_id] = (segment_id, encoded)
        return known

    def _customer(self, profile: Profile) -> tuple[str, bytes, bytes]:
        known = self._customers.get(profile.customer_id)
        if known is None:
            customer_id = str(profile.customer_id)
            key = customer_id.encode()
            encoded = b'{"customer_id":"%b","external_id":%b' % (key, _encoder.encode(profile.external_id))
            known = self._customers[profile.customer_id] = (customer_id, key, encoded)
        return known


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
