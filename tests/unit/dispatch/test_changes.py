"""Joined and left as they lie on the topic."""

from __future__ import annotations

import json
from uuid import UUID

import pytest

from service.app.dispatch.changes import Change, Unreadable, read_change
from service.core import instants

DATA = {
    "customer_id": str(UUID(int=2)),
    "external_id": "zaphod",
    "segment_id": str(UUID(int=1)),
    "segment_name": "gold",
    "segment_version": 1,
    "sequence": 3,
    "effective_at": "2026-11-24T10:00:00Z",
    "recorded_at": "2026-11-24T10:00:01.5Z",
    "reason": "event",
    "backfill": False,
}
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
HEADERS = [
    ("ce_specversion", b"1.0"),
    ("ce_id", b"x"),
    ("ce_source", b"/customer-segments"),
    ("ce_type", b"segment.joined"),
    ("ce_time", b"2026-11-24T10:00:00Z"),
    ("traceparent", TRACE.encode()),
]
EXPECTED = Change(
    UUID(int=2),
    UUID(int=1),
    True,
    3,
    instants.parse("2026-11-24T10:00:00Z"),
    instants.parse("2026-11-24T10:00:01.5Z"),
    "event",
    False,
    TRACE,
)


def test_binary_mode() -> None:
    """As we write it."""
    assert read_change(json.dumps(DATA).encode(), HEADERS) == EXPECTED


def test_structured_mode() -> None:
    """As others may."""
    event = {"specversion": "1.0", "id": "x", "type": "segment.left", "time": DATA["effective_at"], "data": DATA}
    found = read_change(json.dumps(event | {"traceparent": TRACE}).encode(), [])
    assert found == EXPECTED._replace(has_joined=False)


@pytest.mark.parametrize(
    ("value", "headers"),
    [
        (None, HEADERS),
        (b"", []),
        (b"{broken", HEADERS),
        (b"\xff\xfe", HEADERS),
        (json.dumps(DATA).encode(), [*HEADERS[:3], ("ce_type", b"segment.renamed"), HEADERS[4]]),
        (json.dumps(DATA | {"sequence": "3"}).encode(), HEADERS),
        (json.dumps(DATA | {"effective_at": "2026-11-24T10:00:00"}).encode(), HEADERS),
        (json.dumps(DATA | {"customer_id": "zaphod"}).encode(), HEADERS),
        (json.dumps({"hello": 1}).encode(), []),
        (b"[" * 100_000, []),
    ],
)
def test_what_is_something_else(value: bytes | None, headers: list[tuple[str, bytes]]) -> None:
    """Is refused with a sentence, whatever it is."""
    with pytest.raises(Unreadable) as refused:
        read_change(value, headers)
    assert "zaphod" not in str(refused.value)
