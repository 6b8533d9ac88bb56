"""What leaves, byte for byte (CONTRACT section 5)."""

from __future__ import annotations

import json
from uuid import NAMESPACE_URL, UUID, uuid5

from service.app.outgoing import Outgoing, decode_outbox, encode_outbox
from service.app.ports import DeadLetter
from service.core import instants
from service.core.criteria.model import All
from service.core.profiles.profile import Profile
from service.core.segments.catalogue import Definition
from service.core.segments.walk import Transition

CUSTOMER = UUID("67a1ab0b-b0d6-540d-a677-aade60ee6eca")
SEGMENT = UUID("7f163211-20c8-51ac-a303-5b473e0a244a")
AT = instants.parse("2024-01-01T00:00:00.25Z")
TOPICS = Outgoing("membership", "dead")


def transition(*, reason: str = "time", is_silent: bool = False) -> Transition:
    """One joined."""
    definition = Definition(SEGMENT, 0, 'Kölner "VIPs"', 3, All(()), 1, 0, is_silent)
    return Transition(Profile(CUSTOMER, "o'brien-ü"), definition, 7, True, AT, reason, None)


def test_joined_in_binary_mode() -> None:
    """Key, headers and data of a joined event are those of the contract; its id is uuid5 of (customer, segment, n)."""
    ((payload, records, growth),) = encode_outbox(TOPICS, [transition()], AT, [])
    ((topic, key, value, headers),) = decode_outbox(payload, "membership")

    assert (topic, key, records, json.loads(growth)) == ("membership", str(CUSTOMER).encode(), 1, {str(SEGMENT): 1})
    assert json.loads(value or b"") == {
        "customer_id": str(CUSTOMER),
        "external_id": "o'brien-ü",
        "segment_id": str(SEGMENT),
        "segment_name": 'Kölner "VIPs"',
        "segment_version": 3,
        "sequence": 7,
        "effective_at": "2024-01-01T00:00:00.250000Z",
        "recorded_at": "2024-01-01T00:00:00.250000Z",
        "reason": "time",
        "backfill": False,
    }
    assert dict(headers) == {
        "ce_specversion": b"1.0",
        "ce_id": str(uuid5(NAMESPACE_URL, f"transition:{CUSTOMER}:{SEGMENT}:7")).encode(),
        "ce_source": b"/customer-segments",
        "ce_type": b"segment.joined",
        "ce_subject": str(CUSTOMER).encode(),
        "ce_time": b"2024-01-01T00:00:00.250000Z",
        "content-type": b"application/json",
    }


def test_silent_definitions_are_counted_and_not_published() -> None:
    """With emit=none the change itself publishes nothing, but counts; later changes are published."""
    both = [transition(reason="definition", is_silent=True), transition(reason="time", is_silent=True)]
    ((payload, records, growth),) = encode_outbox(TOPICS, both, AT, [])

    assert (records, json.loads(growth)) == (1, {str(SEGMENT): 2})
    assert len(decode_outbox(payload, "membership")) == 1


def test_dead_letter_keeps_bytes_and_place() -> None:
    """A dead letter carries the original key, bytes and headers, and where it came from."""
    own = [("a", b"\xfe"), ("X-Shopify-Topic", b"orders/create"), ("x-reason", b"of another service"), ("x-a", b"1")]
    letter = DeadLetter("invalid_json", "It broke.", "orders", 2, 41, 1700, b"k", b"\xff", 1, own)
    ((payload, _, _),) = encode_outbox(TOPICS, [], AT, [letter])
    ((topic, key, value, headers),) = decode_outbox(payload, "membership")

    assert (topic, key, value) == ("dead", b"k", b"\xff")
    assert dict(headers) == {
        "a": b"\xfe",
        "X-Shopify-Topic": b"orders/create",
        "x-a": b"1",
        "x-reason": b"invalid_json",
        "x-error": b"It broke.",
        "x-original-topic": b"orders",
        "x-original-partition": b"2",
        "x-original-offset": b"41",
        "x-original-timestamp": b"1700",
    }


def test_very_much_is_split_into_rows_in_order() -> None:
    """More than a row may hold goes into several rows in order; growth is counted once."""
    letters = [DeadLetter("x", "X.", "orders", 0, n, 0, None, b"y" * 1_000_000, 1_000_000, ()) for n in range(20)]
    rows = list(encode_outbox(TOPICS, [transition()], AT, letters))

    assert [row.records for row in rows] == [1, 8, 8, 4]
    assert [json.loads(row.counts) for row in rows] == [{str(SEGMENT): 1}, {}, {}, {}]
    offsets = [
        dict(headers).get("x-original-offset")
        for row in rows
        for *_, headers in decode_outbox(row.payload, "membership")
    ]
    assert offsets == [None, *(str(n).encode() for n in range(20))]
