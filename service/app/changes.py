"""Joined/left on their way out: what many of them share is stored once, and written as events when they leave.

A change is kept as 29 bytes of columns instead of an event of some 600, since at a thousand segments a batch makes a
hundred thousand of them, and every byte goes through the database's log.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple
from uuid import UUID

import msgspec
from msgspec import Struct

from service.core import instants
from service.core.identity import transition_id
from service.core.segments.walk import Transition

#: What a record says in its headers; the id, the subject and the instant stand between them.
JOINED: Final = b"segment.joined"
LEFT: Final = b"segment.left"
#: No event made this change.
NO_EVENT: Final = 0xFFFF_FFFF

_encoder: Final = msgspec.json.Encoder()


class Changes(Struct, array_like=True, gc=False):
    """Changes in their order, as columns; numbers are little-endian as the machine's, and machines of one kind.

    Attributes:
        recorded_at: RFC 3339.
        cause: the traceparent of changes without an event.
        segments: (id, name, version) of each definition; customers: (id, external id); events: (id, traceparent);
            reasons: their names. The columns hold indices into these.
        customer, segment, event: 4 bytes each, an event NO_EVENT where there is none.
        ordinal, at: 8 bytes each; instants in microseconds. Joins have odd ordinals.
        reason: 1 byte each.
    """

    recorded_at: str
    cause: str | None
    segments: list[tuple[bytes, str, int]]
    customers: list[tuple[bytes, str]]
    events: list[tuple[str, str | None]]
    reasons: list[str]
    customer: bytes
    segment: bytes
    event: bytes
    ordinal: bytes
    at: bytes
    reason: bytes

    def __len__(self) -> int:
        return len(self.reason)

    @property
    def joined(self) -> int:
        """How many of them are joins."""
        return sum(one & 1 for one in _unpacked("q", self.ordinal))


class Written(NamedTuple):
    """One change as an event in CloudEvents binary mode (CONTRACT section 5).

    Attributes:
        customer: which of the customers; their events must leave in order.
        key, value, ce_id, ce_time, traceparent: as Kafka takes them; traceparent is b"" where there is none.
    """

    customer: int
    key: bytes
    value: bytes
    has_joined: bool
    ce_id: bytes
    ce_time: bytes
    traceparent: bytes


def pack_changes(transitions: Sequence[Transition], recorded_at: int, cause: str | None) -> Changes:
    """Packs transitions, in order.

    Args:
        transitions: some.
        recorded_at: real time, microseconds.
        cause: the traceparent of those that no event made.
    """
    definitions: dict[int, int] = {}
    profiles: dict[int, int] = {}
    causes: dict[int, int] = {}
    reasons: dict[str, int] = {}
    segments: list[tuple[bytes, str, int]] = []
    customers: list[tuple[bytes, str]] = []
    events: list[tuple[str, str | None]] = []
    columns: list[tuple[int, ...]] = []
    for profile, definition, ordinal, _, at, reason, event in transitions:
        customer = profiles.get(id(profile))
        if customer is None:
            customer = profiles[id(profile)] = len(customers)
            customers.append((profile.customer_id.bytes, profile.external_id))
        segment = definitions.get(id(definition))
        if segment is None:
            segment = definitions[id(definition)] = len(segments)
            segments.append((definition.segment_id.bytes, definition.name, definition.version))
        place = NO_EVENT
        if event is not None:
            known = causes.get(id(event))
            if known is None:
                known = causes[id(event)] = len(events)
                events.append((event.id, event.trace))
            place = known
        columns.append((customer, segment, place, ordinal, at, reasons.setdefault(reason, len(reasons))))
    packed: Iterable[tuple[int, ...]] = zip(*columns, strict=True) if columns else ((),) * 6
    customer_column, segment_column, event_column, ordinal_column, at_column, reason_column = packed
    return Changes(
        instants.to_text(recorded_at),
        cause,
        segments,
        customers,
        events,
        list(reasons),
        array("I", customer_column).tobytes(),
        array("I", segment_column).tobytes(),
        array("I", event_column).tobytes(),
        array("q", ordinal_column).tobytes(),
        array("q", at_column).tobytes(),
        bytes(reason_column),
    )


def write_changes(changes: Changes) -> Iterator[Written]:
    """The events, in order."""
    recorded_at = b',"recorded_at":"%b","reason":"' % changes.recorded_at.encode()
    reasons = [
        b'%b%b","backfill":%b' % (recorded_at, one.encode(), _BACKFILL[one == "definition"]) for one in changes.reasons
    ]
    segments = [_segment(*one) for one in changes.segments]
    customers = [_customer(*one) for one in changes.customers]
    events = [
        (b',"cause_event_id":%b}' % _encoder.encode(event_id), (trace or "").encode())
        for event_id, trace in changes.events
    ]
    by_itself = b"}", (changes.cause or "").encode()
    texts: dict[int, bytes] = {}
    for customer, segment, event, ordinal, at, reason in zip(
        _unpacked("I", changes.customer),
        _unpacked("I", changes.segment),
        _unpacked("I", changes.event),
        _unpacked("q", changes.ordinal),
        _unpacked("q", changes.at),
        changes.reason,
        strict=True,
    ):
        customer_id, key, head = customers[customer]
        segment_id, named = segments[segment]
        end, trace = by_itself if event == NO_EVENT else events[event]
        time = texts.get(at)
        if time is None:
            time = texts[at] = instants.to_text(at).encode()
        value = b'%b%b,"sequence":%d,"effective_at":"%b"%b%b' % (head, named, ordinal, time, reasons[reason], end)
        ce_id = transition_id(customer_id, segment_id, ordinal).encode()
        yield Written(customer, key, value, ordinal & 1 == 1, ce_id, time, trace)


_BACKFILL: Final = (b"false", b"true")


def _segment(segment_id: bytes, name: str, version: int) -> tuple[str, bytes]:
    text = str(UUID(bytes=segment_id))
    encoded = b'"segment_id":"%b","segment_name":%b,"segment_version":%d'
    return text, encoded % (text.encode(), _encoder.encode(name), version)


def _customer(customer_id: bytes, external_id: str) -> tuple[str, bytes, bytes]:
    text = str(UUID(bytes=customer_id))
    key = text.encode()
    return text, key, b'{"customer_id":"%b","external_id":%b,' % (key, _encoder.encode(external_id))


def _unpacked(code: str, column: bytes) -> array[int]:
    found = array(code)
    found.frombytes(column)
    return found
