"""From the receipt of a join to that of the message it fires, both in one process with read_committed."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition

from benchmarks import machine
from benchmarks.campaign_runs import LOOK_SECONDS, TICK_SECONDS, begin, campaign_of, run_of
from benchmarks.latency import summary
from benchmarks.stack import Roles, Run
from benchmarks.throughput import HEADERS
from service.adapters.kafka.options import connection_options
from service.core import instants
from service.stack.servers import Servers

DROPPED_SECONDS: Final = 3


async def joins(servers: Servers, logs: Path, rate: int, seconds: int) -> dict[str, Any]:
    """Milliseconds from joined to message, the first seconds left out.

    Raises:
        RuntimeError: somebody got no message, or more than one.
    """
    run = run_of(servers, "joins")
    await run.prepare([{}])
    async with run.database() as database, database.session() as connection:
        segment_id = await connection.fetchval("SELECT id FROM customer_segments")
    with Roles(run, logs) as roles:
        for role in ("consume", "relay", "timers", "dispatch"):
            roles.start(role)
        await begin(run, campaign_of(segment_id, "sms", trigger="on_joined", state="active"))
        joined: dict[str, float] = {}
        asked: dict[str, list[float]] = {}
        reading = asyncio.create_task(_read(run, joined, asked))
        count = rate * seconds
        started = time.perf_counter()
        await _come(run, rate, count)
        reached = count / (time.perf_counter() - started)
        async with asyncio.timeout(60):
            while len(asked) < count:  # noqa: ASYNC110 - of the reader, which has no end
                await asyncio.sleep(LOOK_SECONDS)
        await asyncio.sleep(1)  # a second message of somebody would be here by now
        reading.cancel()
        roles.check()
    await run.drop()
    if any(len(times) != 1 for times in asked.values()) or set(asked) != set(joined):
        msg = f"{len(joined)} joined, messages by customer: {Counter(map(len, asked.values()))}"
        raise RuntimeError(msg)
    late = [(asked[one][0] - at) * 1e3 for one, at in joined.items() if at >= started + DROPPED_SECONDS]
    return {"rate_reached": reached, "milliseconds": summary(late), "load": machine.load()}


async def _come(run: Run, rate: int, count: int) -> None:
    """Customers register, each when it is due."""
    producer = AIOKafkaProducer(**connection_options(run.settings), enable_idempotence=True)
    await producer.start()
    started, sent = time.perf_counter(), 0
    try:
        while sent < count:
            due = min(count, int((time.perf_counter() - started) * rate) + 1)
            for number in range(sent, due):
                event = _registered(f"customer-{number}")
                await producer.send(run.settings.customers_topic, json.dumps(event).encode(), headers=HEADERS)
            sent = due
            await asyncio.sleep(TICK_SECONDS)
    finally:
        await producer.stop()


def _registered(customer: str) -> dict[str, Any]:
    data = {"customer_id": customer, "name": customer, "phone": "+12025550123", "sms_subscribed": True}
    head = {"specversion": "1.0", "id": uuid4().hex, "source": "/benchmark", "type": "customer.registered"}
    return head | {"time": instants.to_text(time.time_ns() // 1_000), "data": data}


async def _read(run: Run, joined: dict[str, float], asked: dict[str, list[float]]) -> None:
    """Notes receipts, by customer."""
    settings = run.settings
    options = connection_options(settings) | {"isolation_level": "read_committed", "enable_auto_commit": False}
    consumer = AIOKafkaConsumer(**options, auto_offset_reset="earliest", fetch_max_wait_ms=50)
    await consumer.start()
    topics = (settings.membership_topic, settings.messages_topic)
    consumer.assign([TopicPartition(topic, number) for topic in topics for number in range(run.partitions)])
    try:
        while True:
            found: Mapping[TopicPartition, list[ConsumerRecord]] = await consumer.getmany(timeout_ms=50)
            now = time.perf_counter()
            for place, records in found.items():
                for one in records:
                    if place.topic == settings.membership_topic:
                        joined[one.key.decode()] = now
                    else:
                        asked.setdefault(one.key.decode(), []).append(now)
    finally:
        await consumer.stop()
