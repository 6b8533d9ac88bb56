"""Ingest: one batch of Kafka records becomes one transaction (DESIGN, the life of an event)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from service.app.batch import Outcome, Work, run_batch
from service.app.ports import DeadLetter, Offset, Store
from service.core.events.decode import Rejected, Rules, decode
from service.core.events.envelope import Headers
from service.core.events.model import Event
from service.core.events.owner import owner_of
from service.crash import crash_point

#: How much of a too large record is kept (CONTRACT section 5).
TRUNCATED_BYTES = 65_536
KEY_BYTES_MAX = 1_048_576
ERROR_CHARACTERS_MAX = 500
ERASED_ERROR = "The customer was erased before; the event was dropped."


class Record(NamedTuple):
    """One Kafka record, as bytes."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class Decoded(NamedTuple):
    """A batch read: events by customer, and what is none."""

    events: dict[UUID, list[Event]]
    places: Mapping[int, Record]  # id(event) -> where it came from
    letters: list[DeadLetter]
    offsets: list[Offset]


def decode_batch(records: Sequence[Record], rules: Rules, now: int) -> Decoded:
    """Step 2: each record on its own; a bad one never takes its neighbours along."""
    events: dict[UUID, list[Event]] = {}
    places = {}
    letters = []
    ends: dict[tuple[str, int], int] = {}
    for record in records:
        ends[record.topic, record.partition] = record.offset + 1
        found = decode(record.value, record.headers, rules, now, record.key)
        if isinstance(found, Event):
            events.setdefault(found.customer_id, []).append(found)
            places[id(found)] = record
        elif isinstance(found, Rejected):
            letters.append(dead_letter(record, found))
        else:
            for event in found:
                events.setdefault(event.customer_id, []).append(event)
                places[id(event)] = record
    offsets = [Offset(topic, partition, end) for (topic, partition), end in sorted(ends.items())]
    return Decoded(events, places, letters, offsets)


def dead_letter(record: Record, why: Rejected) -> DeadLetter:
    """The record set aside, with its bytes; above the limit the first 64 KiB."""
    value = record.value
    size = 0 if value is None else len(value)
    if why.reason == "too_large" and value is not None:
        value = value[:TRUNCATED_BYTES]
    headers = record.headers
    if sum(len(name) + len(text or b"") for name, text in headers) > TRUNCATED_BYTES:
        headers = [("headers-left-out", str(len(headers)).encode())]
    return DeadLetter(
        why.reason,
        why.error[:ERROR_CHARACTERS_MAX].replace("\0", "\\0"),
        record.topic,
        record.partition,
        record.offset,
        record.timestamp_ms,
        None if record.key is None else record.key[:KEY_BYTES_MAX],
        value,
        size,
        headers,
        owner_of(value, record.key, record.headers),
    )


async def ingest(store: Store, decoded: Decoded, now: int, recorded_at: int) -> Outcome:
    """Steps 3 to 7 for one batch, within the transaction that the store stands for."""
    catalogue = await store.catalogue()
    outcome = Outcome()
    events = await _without_letters(store, decoded)
    if events:
        outcome = await run_batch(store, catalogue, Work(now, recorded_at, events))
    letters = [*decoded.letters, *_erased_letters(decoded, outcome.erased)]
    if decoded.letters:
        letters = await _without_erased(store, letters)
    outcome.letters = await store.write_dead_letters(letters) if letters else ()
    if outcome.transitions or outcome.letters:
        await store.write_outbox(outcome.transitions, recorded_at, outcome.letters)
    await store.advance_frontier(decoded.offsets)
    crash_point("frontier-written")
    return outcome


async def _without_letters(store: Store, decoded: Decoded) -> Mapping[UUID, list[Event]]:
    """The events but for those that lay in the future when they were read first: they are dead letters, and stay so.

    However often input is read again, it must not matter when.
    """
    applied = await store.frontier()
    again = {
        (one.topic, one.partition, one.offset)
        for one in decoded.places.values()
        if one.offset < applied.get((one.topic, one.partition), 0)
    }
    letters = await store.future_letters(again) if again else set()
    if not letters:
        return decoded.events
    found: dict[UUID, list[Event]] = {}
    for customer_id, some in decoded.events.items():
        records = ((event, decoded.places[id(event)]) for event in some)
        kept = [event for event, one in records if (one.topic, one.partition, one.offset) not in letters]
        if kept:
            found[customer_id] = kept
    return found


async def _without_erased(store: Store, letters: Sequence[DeadLetter]) -> list[DeadLetter]:
    """Letters about erased customers hold where the record lay, and nothing of what it said."""
    await store.hold_erasures(is_erasing=False)
    owners = {letter.customer_id for letter in letters if letter.customer_id is not None}
    erased = await store.erased(sorted(owners)) if owners else set()
    return [_blank(letter) if letter.customer_id in erased else letter for letter in letters]


def _blank(letter: DeadLetter) -> DeadLetter:
    return letter._replace(reason="erased", error=ERASED_ERROR, key=None, value=None, size=0, headers=())


def _erased_letters(decoded: Decoded, erased: Sequence[Event]) -> list[DeadLetter]:
    """One a record, however many events it held."""
    letters = {}
    for event in erased:
        record = decoded.places[id(event)]
        place = (record.topic, record.partition, record.offset)
        letters[place] = DeadLetter(
            "erased", ERASED_ERROR, *place, record.timestamp_ms, None, None, 0, (), event.customer_id
        )
    return list(letters.values())
