"""Events a second from end to end: the events lie in the topic, then the worker, the relay and the timers start.

The clock runs from the start of the processes to the last change that a read_committed reader can see. Three ends are
told apart, since under a fixed clock the timers wait until the input stood still for 5 s before they fire:

- `published`: all input applied and everything that it caused visible. The figure.
- `last_change`: the last change that input caused became visible; before or at `published`.
- `timers`: what was due between a customer's last event and the clock is visible as well; told with and without
  the wait.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from aiokafka import AIOKafkaProducer

from benchmarks import machine
from benchmarks.jobs import Job
from benchmarks.stack import Roles, Run, command
from benchmarks.workload import Message
from producers.timers import QUIET_SECONDS
from service.adapters.kafka.offsets import OffsetReader
from service.adapters.kafka.options import connection_options
from service.adapters.kafka.publisher import BatchPublisher
from service.stack.servers import Servers

HEADERS: Final = [("content-type", b"application/cloudevents+json")]
A_FLUSH: Final = 2_000
LOOK_SECONDS: Final = 0.05
SECONDS_MAX: Final = 900.0
BEHIND: Final = """
SELECT (SELECT COALESCE(sum(next_offset), 0) FROM input_frontier), (SELECT count(*) FROM outbox),
       pg_current_wal_insert_lsn() - '0/0'::pg_lsn
"""
CHANGES: Final = """
SELECT reason, count(*) FROM (
    SELECT membership_source AS reason FROM customer_segment_memberships
    UNION ALL SELECT left_reason FROM customer_segment_memberships WHERE left_at IS NOT NULL
) one GROUP BY reason
"""
DUE: Final = "SELECT count(*) FROM profiles WHERE next_due_at <= $1"


@dataclass
class Look:
    """The state at one instant."""

    at: float
    applied: int
    outbox: int
    wal: int
    end: int  # read_committed ends of the membership topic, added up


@dataclass
class Watch:
    """Looks on until all is done; costs the machine about 1 % of a core."""

    run: Run
    reader: OffsetReader
    connection: Any
    total: int
    roles: Roles
    started: float = 0.0
    looks: list[Look] = field(default_factory=list)

    async def look(self) -> Look:
        """One look; what input leaves behind comes after the input."""
        applied, outbox, wal = await self.connection.fetchrow(BEHIND)
        ends = await self.reader.ends(self.run.settings.membership_topic)
        one = Look(time.perf_counter() - self.started, int(applied), outbox, int(wal), sum(ends.values()))
        self.looks.append(one)
        return one

    async def until_published(self) -> Look:
        """All input applied, nothing left to publish."""
        while True:
            one = await self.look()
            if one.applied >= self.total and not one.outbox:
                return await self.look()
            self.roles.check()
            if one.at > SECONDS_MAX:
                msg = f"not done after {one.at:.0f} s: {one}"
                raise TimeoutError(msg)
            await asyncio.sleep(LOOK_SECONDS)

    async def until_fired(self, clock: int) -> Look:
        """No timer due any more, nothing left to publish."""
        while await self.connection.fetchval(DUE, clock) or (await self.look()).outbox:
            self.roles.check()
            await asyncio.sleep(LOOK_SECONDS)
        return await self.look()

    def last_change(self) -> float:
        """When the end of the membership topic moved last."""
        end = self.looks[-1].end
        return next(one.at for one in self.looks if one.end == end)


async def publish(run: Run, messages: Iterable[Message]) -> int:
    """Sends everything to the orders topic, in order (between topics Kafka keeps none); gives how many."""
    async with _producer(run) as producer:
        publisher, topic = BatchPublisher(producer), run.settings.orders_topic
        count = 0
        for one in messages:
            await publisher.add(topic, one.key, one.value, HEADERS)
            count += 1
            if count % A_FLUSH == 0:
                await publisher.flush()
        await publisher.flush()
    return count


@asynccontextmanager
async def _producer(run: Run) -> AsyncIterator[AIOKafkaProducer]:
    options = connection_options(run.settings)
    producer = AIOKafkaProducer(**options, enable_idempotence=True, max_batch_size=1_048_576)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def measure(servers: Servers, job: Job, logs: Path, *, workers: int = 1, partitions: int = 1) -> dict[str, Any]:
    """One run on a fresh database and fresh topics; gives its figures."""
    run = Run(servers, f"bench-{time.time_ns() // 1_000_000}", clock=job.clock, partitions=partitions)
    await run.prepare(job.segments)
    total = await publish(run, job.messages())
    async with run.database() as database, database.session() as connection, OffsetReader(run.settings) as reader:
        with Roles(run, logs) as roles:
            watch = Watch(run, reader, connection, total, roles)
            figures = await _measure(watch, servers, workers)
            figures |= await _check(run, connection)
            end = watch.looks[-1].end
    await run.drop()
    return {"job": job.name, "events": total, "workers": workers, "partitions": partitions, "end": end, **figures}


async def _measure(watch: Watch, servers: Servers, workers: int) -> dict[str, Any]:
    run, total = watch.run, watch.total
    first = await watch.look()
    backs = {name: pids[0] for name, pids in servers.pids().items()}
    before, busy = machine.all_cpu_seconds(backs), machine.busy_seconds()
    watch.started = time.perf_counter()
    watch.looks.clear()
    pids = {}
    for number in range(1, workers + 1):
        pids["worker" if number == 1 else f"worker-{number}"] = watch.roles.start("consume", number)
    pids |= {role: watch.roles.start(role) for role in ("relay", "timers")}
    done = await watch.until_published()
    last_change, changes = watch.last_change(), done.end
    used = machine.all_cpu_seconds(pids | backs)
    used = {name: seconds - before.get(name, 0.0) for name, seconds in used.items()}
    busy = machine.busy_seconds() - busy
    applied = next(one for one in watch.looks if one.applied >= total)
    begun = next(one for one in watch.looks if one.applied)
    clock = run.settings.fixed_clock
    assert clock is not None  # noqa: S101 - Job has one
    fired = await watch.until_fired(int(clock.timestamp()) * 1_000_000 + clock.microsecond)
    fired_at = watch.last_change() if fired.end > changes else done.at
    span = applied.at - begun.at
    return {
        "seconds": {
            "first_batch": begun.at,
            "applied": applied.at,
            "last_change": last_change,
            "published": done.at,
            "timers": fired_at,
            "cpu_of_others": max(0.0, busy - sum(used.values())),
        },
        "rates": {
            "published": total / done.at,
            "last_change": total / last_change if last_change else None,
            "applied": total / applied.at,
            "steady": (total - begun.applied) / span if span > 0 else None,
            "timers": total / fired_at,
            "timers_without_wait": total / max(done.at, fired_at - QUIET_SECONDS),
        },
        "cpu_seconds": {name: round(seconds, 2) for name, seconds in used.items()},
        "memory_mb": machine.memory(pids, backs),
        "wal_bytes_per_event": (done.wal - first.wal) / total,
        "load": machine.load(),
    }


async def _check(run: Run, connection: Any) -> dict[str, Any]:
    """What must be true at the end, whatever the speed."""
    idle, idle_said = await command(run, "wait-idle", "--timeout", "60")
    started = time.perf_counter()
    verified, verify_said = await command(run, "verify")
    seconds = time.perf_counter() - started
    changes = {row[0]: row[1] for row in await connection.fetch(CHANGES)}
    letters = await connection.fetchval("SELECT count(*) FROM dead_letters")
    frontier = await connection.fetchval("SELECT COALESCE(sum(next_offset), 0) FROM input_frontier")
    problems = []
    if idle:
        problems.append(f"wait-idle: {idle_said.strip()[-300:]}")
    if verified:
        problems.append(f"verify: {verify_said.strip()[-300:]}")
    if letters:
        problems.append(f"{letters} dead letters")
    return {
        "changes": changes,
        "changes_per_event": sum(changes.values()) / int(frontier),
        "verify_seconds": seconds,
        "problems": problems,
    }
