"""The membership topic read from its beginning: the last that was said of each customer and segment."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Final
from uuid import UUID

import msgspec
from aiokafka import AIOKafkaConsumer
from msgspec import Struct

from service.adapters.kafka.offsets import OffsetReader
from service.adapters.kafka.options import connection_options
from service.app.recover import Published
from service.settings import Settings

RECORDS_AT_ONCE_MAX: Final = 20_000
READ_MS_MAX: Final = 1_000


class _Change(Struct):
    """What counts of a joined or left event."""

    customer_id: UUID
    external_id: str
    segment_id: UUID
    sequence: int


_changes: Final = msgspec.json.Decoder(_Change)


async def read_log(settings: Settings, told: Callable[[int], None]) -> AsyncIterator[list[Published]]:
    """All joined and left events that are committed, some at a time, in order per customer.

    Args:
        settings: how to connect, and the topic.
        told: called with how many records were read since the last time.

    Raises:
        KafkaError: the broker is out of reach, or there is no such topic.
    """
    async with OffsetReader(settings) as reader:
        places = await reader.partitions(settings.membership_topic)
        begins = await reader.begins(settings.membership_topic)
        ends = await reader.ends(settings.membership_topic)
    consumer = AIOKafkaConsumer(
        **connection_options(settings), group_id=None, isolation_level="read_committed", enable_auto_commit=False
    )
    await consumer.start()
    try:
        consumer.assign(places)
        for place in places:  # seek_to_beginning races with the client's own reset to the end
            consumer.seek(place, begins[place.topic, place.partition])
        while waiting := [
            place for place in places if await consumer.position(place) < ends[place.topic, place.partition]
        ]:
            found = await consumer.getmany(*waiting, timeout_ms=READ_MS_MAX, max_records=RECORDS_AT_ONCE_MAX)
            records = [record for some in found.values() for record in some if record.value is not None]
            told(len(records))
            yield [one for record in records if (one := _read(record.value)) is not None]
    finally:
        await consumer.stop()


def _read(value: bytes) -> Published | None:
    """None for what is no event of ours; the topic may be shared."""
    try:
        found = _changes.decode(value)
    except msgspec.DecodeError:
        return None
    return Published(found.customer_id, found.external_id, found.segment_id, found.sequence)
