"""What leaves: joined/left events and dead letters, encoded once, in the transaction that causes them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from service.app.ports import DeadLetter
from service.core import instants
from service.core.identity import transition_uuid
from service.core.segments.walk import Transition

#: (topic, key, value, headers): one Kafka record as the relay sends it.
OutgoingRecord = tuple[str, bytes | None, bytes | None, list[tuple[str, bytes]]]

SOURCE: Final = b"/customer-segments"

_encoder: Final = msgspec.json.Encoder()
_packer: Final = msgspec.msgpack.Encoder()
_unpacker: Final = msgspec.msgpack.Decoder(list[OutgoingRecord])


class Outgoing(NamedTuple):
    """The topics that things leave on."""

    membership_topic: str
    dead_letter_topic: str


class MembershipData(msgspec.Struct, omit_defaults=True):
    """Data of segment.joined and segment.left (CONTRACT section 5)."""

    customer_id: str
    external_id: str
    segment_id: str
    segment_name: str
    segment_version: int
    sequence: int
    effective_at: str
    recorded_at: str
    reason: str
    backfill: bool
    cause_event_id: str | None = None


def encode_outbox(
    outgoing: Outgoing, transitions: Sequence[Transition], recorded_at: int, letters: Sequence[DeadLetter]
) -> tuple[bytes, int, str]:
    """One outbox row: its payload, how many records it holds, and by how much each segment grew (JSON)."""
    counts: dict[str, int] = {}
    records: list[OutgoingRecord] = []
    recorded = instants.to_text(recorded_at)
    for one in transitions:
        segment_id = str(one.definition.segment_id)
        counts[segment_id] = counts.get(segment_id, 0) + (1 if one.has_joined else -1)
        if not (one.definition.is_silent and one.reason == "definition"):
            records.append(membership_record(outgoing.membership_topic, one, recorded))
    records += [letter_record(outgoing.dead_letter_topic, letter) for letter in letters]
    return _packer.encode(records), len(records), json.dumps({key: count for key, count in counts.items() if count})


def decode_outbox(payload: bytes) -> list[OutgoingRecord]:
    """The records of one outbox row."""
    return _unpacker.decode(payload)


def membership_record(topic: str, one: Transition, recorded_at: str) -> OutgoingRecord:
    """A joined or left event in CloudEvents binary mode."""
    customer_id = str(one.profile.customer_id)
    data = MembershipData(
        customer_id=customer_id,
        external_id=one.profile.external_id,
        segment_id=str(one.definition.segment_id),
        segment_name=one.definition.name,
        segment_version=one.definition.version,
        sequence=one.ordinal,
        effective_at=instants.to_text(one.effective_at),
        recorded_at=recorded_at,
        reason=one.reason,
        backfill=one.reason == "definition",
        cause_event_id=one.event.id if one.event else None,
    )
    event_id = transition_uuid(one.profile.customer_id, one.definition.segment_id, one.ordinal)
    key = customer_id.encode()
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", str(event_id).encode()),
        ("ce_source", SOURCE),
        ("ce_type", b"segment.joined" if one.has_joined else b"segment.left"),
        ("ce_subject", key),
        ("ce_time", data.effective_at.encode()),
        ("content-type", b"application/json"),
    ]
    if one.event is not None and one.event.trace:
        headers.append(("traceparent", one.event.trace.encode()))
    return topic, key, _encoder.encode(data), headers


def letter_record(topic: str, letter: DeadLetter) -> OutgoingRecord:
    """A dead letter: the original bytes and key, and where it came from."""
    headers = [(name, value or b"") for name, value in letter.headers if not name.startswith("x-")]
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
