"""The membership topic from its end on: what has just been published, as CloudEvents in structured form."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import UUID

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from msgspec import Raw, Struct

from service.adapters.kafka.offsets import OffsetReader
from service.adapters.kafka.options import connection_options
from service.app.live import LiveChange, Tail, TailAway
from service.settings import Settings, SettingsError

RECORDS_AT_ONCE_MAX: Final = 500
READ_MS_MAX: Final = 1_000
#: What is read ahead of a partition; larger batches come one by one.
FETCH_BYTES_MAX: Final = 262_144
#: New partitions are seen after at most this long.
METADATA_MS_MAX: Final = 30_000

_TYPES: Final = frozenset({b"segment.joined", b"segment.left"})
_PREFIX: Final = "ce_"


class _Data(Struct):
    """What of an event's data tells who wants it."""

    segment_id: UUID


_data: Final = msgspec.json.Decoder(_Data)
_encoder: Final = msgspec.json.Encoder()


@asynccontextmanager
async def open_tail(settings: Settings) -> AsyncIterator[Tail]:
    """Everything that is committed to the membership topic from now on; positions outlive a restart of the broker.

    Raises:
        TailAway: no broker is named, it is out of reach, or there is no such topic.
    """
    try:
        options = connection_options(settings)
    except SettingsError as error:
        raise TailAway(str(error)) from error
    consumer = AIOKafkaConsumer(
        **options,
        group_id=None,
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="latest",
        max_partition_fetch_bytes=FETCH_BYTES_MAX,
        metadata_max_age_ms=METADATA_MS_MAX,
    )
    try:
        try:
            async with OffsetReader(settings) as reader:
                ends = await reader.ends(settings.membership_topic)
            await consumer.start()
        except (KafkaError, OSError) as error:
            raise TailAway(str(error)) from error
        consumer.assign([TopicPartition(*place) for place in ends])
        for place, offset in ends.items():
            consumer.seek(TopicPartition(*place), offset)
        yield _changes(consumer, settings.membership_topic)
    finally:
        await consumer.stop()


async def _changes(consumer: AIOKafkaConsumer, topic: str) -> Tail:
    while True:
        found = await consumer.getmany(timeout_ms=READ_MS_MAX, max_records=RECORDS_AT_ONCE_MAX)
        changes = [one for records in found.values() for record in records if (one := _change(record)) is not None]
        if changes:
            yield changes
        await _take_new_partitions(consumer, topic)


async def _take_new_partitions(consumer: AIOKafkaConsumer, topic: str) -> None:
    """Begins the partitions that were added at their beginning; the others go on where they are."""
    known = consumer.assignment()
    present = {TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()}
    if not present - known:
        return
    positions = {place: await consumer.position(place) for place in known}
    consumer.assign(list(known | present))
    for place in known | present:
        consumer.seek(place, positions.get(place, 0))


def _change(record: Any) -> LiveChange | None:
    """None for what is no event of ours; the topic may be shared."""
    headers = dict(record.headers)
    if headers.get("ce_type") not in _TYPES or record.value is None:
        return None
    try:
        segment_id = _data.decode(record.value).segment_id
        return LiveChange(segment_id, structured(record.headers, record.value))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def structured(headers: Iterable[tuple[str, bytes]], data: bytes) -> str:
    """A CloudEvent in structured JSON made of one in binary mode; the data is put in as it is.

    Raises:
        UnicodeDecodeError: a header is no UTF-8.
    """
    event: dict[str, Any] = {}
    for name, value in headers:
        if name.startswith(_PREFIX):
            event[name.removeprefix(_PREFIX)] = value.decode()
        elif name == "content-type":
            event["datacontenttype"] = value.decode()
        elif name == "traceparent":
            event[name] = value.decode()
    return _encoder.encode({**event, "data": Raw(data)}).decode()
