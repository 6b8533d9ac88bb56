"""A producer for commands and requests: idempotent, in batches, for records as large as the input topics take."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiokafka import AIOKafkaProducer

from service.adapters.kafka.options import MESSAGE_BYTES_MAX, connection_options
from service.adapters.kafka.publisher import BatchPublisher
from service.settings import Settings

BATCH_BYTES_MAX: Final = 1_048_576


@asynccontextmanager
async def open_publisher(settings: Settings) -> AsyncIterator[BatchPublisher]:
    """A publisher that is connected; what was not flushed when the block ends may be lost.

    Raises:
        KafkaError: the broker is out of reach.
    """
    producer = AIOKafkaProducer(
        **connection_options(settings),
        enable_idempotence=True,
        max_batch_size=BATCH_BYTES_MAX,
        max_request_size=MESSAGE_BYTES_MAX + BATCH_BYTES_MAX,
    )
    try:
        await producer.start()
        yield BatchPublisher(producer)
    finally:
        await producer.stop()
