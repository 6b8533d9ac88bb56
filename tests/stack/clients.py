"""What the tests of the stack ask of its servers."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic


async def query(url: str, sql: str) -> Any:
    """The one value of a query."""
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def create_topic(bootstrap: str, topic: str, **security: Any) -> None:
    """A topic of one partition that takes records of 32 MiB."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, **security)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, 1, 1, topic_configs={"max.message.bytes": "33554432"})])
    finally:
        await admin.close()


async def produce(bootstrap: str, topic: str, *values: bytes, **options: Any) -> None:
    """Publish records, in a transaction if an id for it is given, and wait until they are acknowledged."""
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, enable_idempotence=True, max_request_size=33_554_432, **options
    )
    await producer.start()
    try:
        async with producer.transaction() if "transactional_id" in options else nullcontext():
            for value in values:
                await producer.send_and_wait(topic, value)
    finally:
        await producer.stop()


async def consume(bootstrap: str, topic: str, count: int, **options: Any) -> list[bytes]:
    """The first records of a topic."""
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest", **options)
    await consumer.start()
    try:
        return [(await consumer.getone()).value for _ in range(count)]
    finally:
        await consumer.stop()
