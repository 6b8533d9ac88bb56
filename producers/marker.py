"""The relay's marker: which outbox rows its last Kafka transaction held.

One record in the same transaction says the database's instance and the EXACT ids. Never a high-water mark: ids commit
out of order, so a row below the highest may not have been there yet.
"""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

#: How far back the first look goes; each further one goes four times as far.
FIRST_LOOK_RECORDS: Final = 64
POLL_MS: Final = 500


def encode_marker(ids: list[int]) -> bytes:
    """The marker's value."""
    return msgspec.json.encode(ids)


async def read_marker(topic: str, instance_id: UUID, options: dict[str, Any]) -> list[int]:
    """The ids of the last committed transaction of this database; empty where there was none.

    Raises:
        KafkaError: the broker is out of reach.
    """
    place = TopicPartition(topic, 0)
    consumer = AIOKafkaConsumer(**options, group_id=None, isolation_level="read_committed", enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign([place])
        end = (await consumer.end_offsets([place]))[place]
        begin = (await consumer.beginning_offsets([place]))[place]
        look = FIRST_LOOK_RECORDS
        while True:
            start = max(begin, end - look)
            found = await _last_between(consumer, place, start, end, str(instance_id).encode())
            if found is not None or start <= begin:
                return found or []
            look *= 4
    finally:
        await consumer.stop()


async def _last_between(
    consumer: AIOKafkaConsumer, place: TopicPartition, start: int, end: int, key: bytes
) -> list[int] | None:
    found = None
    if start >= end:
        return None
    consumer.seek(place, start)
    while await consumer.position(place) < end:
        batches = await consumer.getmany(place, timeout_ms=POLL_MS)
        for record in batches.get(place, ()):
            if record.key == key and record.offset < end:
                found = msgspec.json.decode(record.value or b"[]", type=list[int])
    return found
