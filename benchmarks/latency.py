"""From the producer's acknowledgement of an event to the receipt of the first joined or left that it caused.

The clock is the wall's. A preload makes customers with a history; then events come at a steady rate, each with the
time at which it is sent. The reader reads with read_committed, as subscribers should. The first seconds do not count.

Changes by time alone are measured too, from the instant they are due (`effective_at`) to their receipt: one segment
has a window of a minute, and logins of the minute before the start, which leave it again while we measure.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from benchmarks import machine
from benchmarks.stack import Roles, Run, command
from benchmarks.throughput import HEADERS, publish
from benchmarks.workload import Criteria, Flavour, Message, Shop, definitions, history
from service.adapters.kafka.offsets import OffsetReader
from service.adapters.kafka.options import connection_options
from service.stack.servers import Servers

DROPPED_SECONDS: Final = 3
TICK_SECONDS: Final = 0.005
POLL_MS: Final = 50
DRAIN_SECONDS: Final = 3
RECENT_RATE: Final = 200
MINUTE: Final = 60_000_000
#: Joined by a login, left a minute later by time alone.
FLEETING: Final[Criteria] = {"last_login": {"operator": "within_last", "minutes": 1}}


class _Change(msgspec.Struct):
    reason: str
    effective_at: datetime
    recorded_at: datetime
    cause_event_id: str | None = None


@dataclass
class Ledger:
    """When events were acknowledged and their first changes received, in seconds of the wall clock."""

    acknowledged: dict[str, float] = field(default_factory=dict)
    received: dict[str, float] = field(default_factory=dict)
    recorded: dict[str, float] = field(default_factory=dict)
    timers: list[tuple[float, float]] = field(default_factory=list)  # due, received
    changes: int = 0

    def note(self, value: bytes, at: float) -> None:
        """Takes one record of the membership topic."""
        change = _decoder.decode(value)
        self.changes += 1
        if change.cause_event_id is not None:
            self.received.setdefault(change.cause_event_id, at)
            self.recorded.setdefault(change.cause_event_id, change.recorded_at.timestamp())
        elif change.reason == "time":
            self.timers.append((change.effective_at.timestamp(), at))

    def event_latencies(self, since: float, ends: dict[str, float] | None = None) -> list[float]:
        """Milliseconds of the events that caused a change and were acknowledged after `since`."""
        acknowledged = self.acknowledged
        return [
            (at - acknowledged[event_id]) * 1e3
            for event_id, at in (self.received if ends is None else ends).items()
            if event_id in acknowledged and acknowledged[event_id] >= since
        ]

    def stages(self, since: float) -> tuple[list[float], list[float]]:
        """The same in two parts: until the worker began the event's batch, and from there to the receipt."""
        until = self.event_latencies(since, self.recorded)
        return until, [
            (self.received[event_id] - at) * 1e3
            for event_id, at in self.recorded.items()
            if self.acknowledged.get(event_id, 0) >= since
        ]

    def timer_latencies(self, since: float, until: float) -> list[float]:
        """Milliseconds of the changes that time alone made due in between."""
        return [(at - due) * 1e3 for due, at in self.timers if since <= due <= until]


_decoder: Final = msgspec.json.Decoder(_Change)


@dataclass(frozen=True)
class Load:
    """What to send."""

    segments: int
    flavour: Flavour
    rate: int = 1_000
    seconds: int = 20
    preload: int = 40_000
    customers: int = 20_000


async def measure(servers: Servers, load: Load, logs: Path, *, partitions: int = 1) -> dict[str, Any]:
    """One run; gives its figures."""
    run = Run(servers, f"latency-{time.time_ns() // 1_000_000}", partitions=partitions)
    await run.prepare([*definitions(load.segments - 1, load.flavour), FLEETING])
    shop = Shop(load.customers)
    with Roles(run, logs) as roles:
        pids = {"worker": roles.start("consume"), "relay": roles.start("relay"), "timers": roles.start("timers")}
        await publish(run, history(shop, load.preload, _now() - 2 * MINUTE))
        await _settled(run)
        await publish(run, _recent(shop))
        await _applied(run)  # not idle: from now on somebody is due at any time
        ledger = Ledger()
        backs = {name: found[0] for name, found in servers.pids().items()}
        before = machine.all_cpu_seconds(pids | backs)
        gc.disable()  # our own pauses are no latency of the product
        try:
            started, ended = await _live(run, shop, load, ledger)
        finally:
            gc.enable()
        used = machine.all_cpu_seconds(pids | backs)
        used = {name: round(seconds - before[name], 2) for name, seconds in used.items()}
        memory = machine.memory(pids, backs)
        roles.check()
        await _applied(run)
        letters = await _dead_letters(run)
    await run.drop()
    since = started + DROPPED_SECONDS
    waiting, working = ledger.stages(since)
    return {
        "job": f"{load.flavour}, {load.segments} segments, {load.rate} events/s, {load.customers:,} customers",
        "seconds": ended - started,
        "partitions": partitions,
        "rate_reached": len(ledger.acknowledged) / (ended - started),
        "changes_per_event": ledger.changes / max(1, len(ledger.acknowledged)),
        "event_ms": summary(ledger.event_latencies(since)),
        "until_batch_ms": summary(waiting),
        "from_batch_ms": summary(working),
        "timer_ms": summary(ledger.timer_latencies(since, ended)),
        "cpu_seconds": used,
        "memory_mb": memory,
        "load": machine.load(),
        "problems": [f"{letters} dead letters"] if letters else [],
    }


def summary(values: list[float]) -> dict[str, float]:
    """Count, percentiles (nearest rank) and the worst."""
    ordered = sorted(values)
    if not ordered:
        return {"count": 0}
    at = {f"p{share}": ordered[min(len(ordered) - 1, len(ordered) * share // 100)] for share in (50, 95, 99)}
    return {
        "count": len(ordered),
        **{name: round(value, 1) for name, value in at.items()},
        "max": round(ordered[-1], 1),
    }


def _now() -> int:
    return time.time_ns() // 1_000


async def _settled(run: Run) -> None:
    code, said = await command(run, "wait-idle", "--timeout", "120")
    if code:
        raise RuntimeError(said)


async def _applied(run: Run) -> None:
    async with run.database() as database, database.session() as connection, OffsetReader(run.settings) as reader:
        ends = sum((await reader.ends()).values())
        while await connection.fetchval("SELECT sum(next_offset) FROM input_frontier") < ends:  # noqa: ASYNC110 - another process
            await asyncio.sleep(TICK_SECONDS * 20)


async def _dead_letters(run: Run) -> int:
    async with run.database() as database, database.session() as connection:
        return int(await connection.fetchval("SELECT count(*) FROM dead_letters"))


def _recent(shop: Shop) -> Iterable[Message]:
    """Events of the last minute, so that their logins run out of the window while we measure."""
    count = 60 * RECENT_RATE
    start = _now() - MINUTE
    return (shop.event(start + number * MINUTE // count) for number in range(count))


async def _live(run: Run, shop: Shop, load: Load, ledger: Ledger) -> tuple[float, float]:
    async with _reader(run) as consumer:
        reading = asyncio.create_task(_read(consumer, ledger))
        producer = AIOKafkaProducer(**connection_options(run.settings), enable_idempotence=True)
        await producer.start()
        try:
            started = time.time()
            await _send(producer, run.settings.orders_topic, shop, load, ledger, started)
            ended = time.time()
            await asyncio.sleep(DRAIN_SECONDS)
        finally:
            await producer.stop()
            reading.cancel()
    return started, ended


async def _send(producer: AIOKafkaProducer, topic: str, shop: Shop, load: Load, ledger: Ledger, started: float) -> None:
    """Sends at the rate, whatever the product does; each acknowledgement is noted as it comes."""
    sent = 0
    while sent < load.rate * load.seconds:
        due = min(load.rate * load.seconds, int((time.time() - started) * load.rate))
        for _ in range(sent, due):
            message = shop.event(_now())
            future = await producer.send(topic, key=message.key, value=message.value, headers=HEADERS)
            future.add_done_callback(lambda _, name=message.event_id: ledger.acknowledged.setdefault(name, time.time()))
        sent = max(sent, due)
        await asyncio.sleep(TICK_SECONDS)
    await producer.flush()


async def _read(consumer: AIOKafkaConsumer, ledger: Ledger) -> None:
    while True:
        batches = await consumer.getmany(timeout_ms=POLL_MS)
        at = time.time()
        for records in batches.values():
            for record in records:
                ledger.note(record.value, at)


@asynccontextmanager
async def _reader(run: Run) -> AsyncIterator[AIOKafkaConsumer]:
    """A read_committed consumer that stands at the end of the membership topic."""
    topic = run.settings.membership_topic
    consumer = AIOKafkaConsumer(**connection_options(run.settings), group_id=None, isolation_level="read_committed")
    await consumer.start()
    try:
        places = [TopicPartition(topic, number) for number in range(run.partitions)]
        consumer.assign(places)
        await consumer.seek_to_end(*places)
        yield consumer
    finally:
        await consumer.stop()
