"""Keyed records in whole batches: each partition's records stay in order, and a batch costs one call."""

from __future__ import annotations

import asyncio
from asyncio import Future, gather
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import UnknownTopicOrPartitionError
from aiokafka.partitioner import murmur2

from service.adapters.kafka.change_bodies import change_bodies
from service.adapters.kafka.raw_batch import RawBatch
from service.app.changes import Changes

Headers = Sequence[tuple[str, bytes | None]]
#: Of changes, which are small: a request may hold a batch for each partition.
BATCH_BYTES: Final = 1_048_576
KEYS_MAX: Final = 200_000
TOPIC_SECONDS_MAX: Final = 5


@lru_cache(maxsize=KEYS_MAX)
def hash_of(key: bytes) -> int:
    """Kafka's own hash of a key (murmur2, made positive), as every default partitioner uses it."""
    return int(murmur2(key)) & 0x7FFFFFFF


class BatchPublisher:
    """Collects records by partition; `flush` waits until the broker has acknowledged all of them."""

    def __init__(self, producer: AIOKafkaProducer, batch_bytes: int = BATCH_BYTES) -> None:
        self._producer = producer
        self._batch_bytes = batch_bytes
        self._raw: dict[tuple[str, int], RawBatch] = {}
        self._batches: dict[tuple[str, int], Any] = {}
        self._sending: list[Future[Any]] = []
        self._partitions: dict[str, int] = {}
        self._turn = 0

    async def add(self, topic: str, key: bytes | None, value: bytes | None, headers: Headers) -> None:
        """Takes one record; without a key the partitions take turns."""
        count = await self._known_partitions(topic)
        if key is None:
            self._turn += 1
        place = (topic, (self._turn if key is None else hash_of(key)) % count)
        batch = self._batches.get(place)
        if batch is not None and _append(batch, key, value, headers):
            return
        if batch is not None:
            await self._send(batch, *place)
        batch = self._batches[place] = self._producer.create_batch()
        _append(batch, key, value, headers)

    async def add_changes(self, topic: str, changes: Changes) -> None:
        """Takes joined/left; nothing else goes to their topic, so that each customer's stay in order."""
        count = await self._known_partitions(topic)
        partitions: dict[int, int] = {}
        for customer, key, body in change_bodies(changes):
            partition = partitions.get(customer)
            if partition is None:
                partition = partitions[customer] = hash_of(key) % count
            batch = self._raw.get((topic, partition))
            if batch is not None and batch.add(body):
                continue
            if batch is not None:
                await self._send(batch, topic, partition)
            batch = self._raw[topic, partition] = RawBatch(self._batch_bytes)
            batch.add(body)

    async def _known_partitions(self, topic: str) -> int:
        count = self._partitions.get(topic)
        if count is None:
            count = self._partitions[topic] = await self._count_partitions(topic)
        return count

    async def _count_partitions(self, topic: str) -> int:
        try:
            found = await asyncio.wait_for(self._producer.partitions_for(topic), TOPIC_SECONDS_MAX)
        except TimeoutError:
            found = None
        if not found:
            msg = f"The topic {topic} does not exist; run `segments migrate` to create the service's topics."
            raise UnknownTopicOrPartitionError(msg)
        return len(found)

    async def flush(self) -> None:
        """Sends what is collected.

        Raises:
            KafkaError: a batch was refused or not acknowledged in time.
        """
        batches, self._batches, self._raw = {**self._batches, **self._raw}, {}, {}
        for place, batch in batches.items():
            await self._send(batch, *place)
        sending, self._sending = self._sending, []
        await gather(*sending)

    async def _send(self, batch: Any, topic: str, partition: int) -> None:
        future = await self._producer.send_batch(batch, topic, partition=partition)
        future.add_done_callback(_note)
        self._sending.append(future)


def _note(future: Future[Any]) -> None:
    """Looks at a failure, for who fails first tells of it and nobody asks the others."""
    if not future.cancelled():
        future.exception()


def _append(batch: Any, key: bytes | None, value: bytes | None, headers: Headers) -> bool:
    """False where the batch is full; the first record always fits."""
    return batch.append(key=key, value=value, timestamp=None, headers=headers) is not None
