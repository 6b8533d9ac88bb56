"""Backfills and timers over many customers, against a real PostgreSQL, without Kafka.

    python -m benchmarks.backfill --customers 1000000

Customers come through the hot path, two events each. Then, each in slices of the size that the timers role takes: a new
segment without a window; one with a rolling window that no profile keeps entries for yet, so that every profile is
folded anew from its facts; one with a window that they keep; and timers, when everybody is due at one instant.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final
from uuid import UUID

from benchmarks.stack import AUTHOR, Run, running_servers
from producers.timers import LANES
from service.adapters.postgres import backfills
from service.adapters.postgres.candidates import find_candidates
from service.adapters.postgres.segments import PostgresSegments
from service.app.backfill import CUSTOMERS_MAX, backfill_slice
from service.app.expire import expire
from service.app.ingest import Record, decode_batch, ingest
from service.app.segment_changes import create_segment
from service.app.segments import NewSegment
from service.bootstrap import Runtime, open_runtime
from service.core import instants
from service.logs import configure_logs
from service.stack.servers import Servers

CLOCK: Final = "2026-06-30T00:00:00Z"
PLACED: Final = "2026-06-10T00:00:00Z"
#: Everybody's orders leave the windows of 25 and of 30 days before this.
LATER: Final = "2026-07-20T00:00:00Z"
BATCH: Final = 4_000
MB: Final = 1_000
SEGMENTS: Final = {
    "backfill without a window": {"total_spent": {"operator": "gte", "value": 50}},
    "backfill with a new window": {"total_spent": {"operator": "gte", "value": 50, "window": {"days": 30}}},
    "backfill with a window that is kept": {"total_orders": {"operator": "gte", "value": 1, "window": {"days": 25}}},
    "backfill of a window of few": {
        "total_orders": {"operator": "gte", "value": 1, "window": {"days": 22}},
        "total_spent": {"operator": "gte", "value": 98},
    },
}


def events(customers: int) -> Iterator[bytes]:
    """Two events a customer, all orders at one instant; half of them above the segments' bound."""
    for number in range(customers):
        data: dict[str, Any] = {"customer_id": f"c{number}"}
        event = {"specversion": "1.0", "source": "/bench", "time": PLACED}
        yield json.dumps({**event, "id": f"r{number}", "type": "customer.registered", "data": data}).encode()
        data |= {"order_id": f"o{number}", "currency": "USD", "total": number % 100}
        yield json.dumps({**event, "id": f"p{number}", "type": "order.placed", "data": data}).encode()


async def fill(runtime: Runtime, customers: int, now: int) -> int:
    """Takes everybody in through the hot path; gives the number of events."""
    records: list[Record] = []
    count = 0
    for line in events(customers):
        records.append(Record("orders", 0, count, 0, None, line, ()))
        count += 1
        if len(records) == BATCH or count == 2 * customers:
            async with runtime.batches.store() as store:
                await ingest(store, decode_batch(records, runtime.rules, now), now, now)
            records = []
    return count


async def backfill(runtime: Runtime, name: str, criteria: dict[str, Any], now: int) -> int:
    """Creates the segment and brings up to it whom it affects, as the timers role does; gives how many those are."""
    async with runtime.database.transaction() as connection:
        await create_segment(PostgresSegments(connection), lambda: now, AUTHOR, NewSegment(name, criteria))
    async with runtime.database.session() as session:
        target = await backfills.running(session)
    if target is None:
        return 0
    began = time.perf_counter()
    candidates = await find_candidates(runtime.database, target)
    print(f"{name}: evaluated in {time.perf_counter() - began:.2f} s", flush=True)
    after, count = UUID(int=0), 0
    while True:
        chosen = None if candidates is None else candidates.some(count, CUSTOMERS_MAX)
        async with runtime.batches.store() as store:
            done = await backfill_slice(store, introduced=target, after=after, now=now, recorded_at=now, chosen=chosen)
            if not done.customers:
                await backfills.finish(store.connection, target)
                return count
        after, count = done.last, count + done.customers


async def fire(runtime: Runtime, now: int) -> int:
    """Fires all that is due, in as many lanes as the timers role; gives how many customers that were."""

    async def lane() -> int:
        count = 0
        while True:
            async with runtime.batches.store() as store:
                fired = await expire(store, now=now, until=now, recorded_at=now)
            if not fired:
                return count
            count += fired

    return sum(await asyncio.gather(*(lane() for _ in range(LANES))))


async def timed(name: str, work: Callable[[], Awaitable[int]]) -> None:
    """Runs and prints one figure."""
    cpu, began = time.process_time(), time.perf_counter()
    count = await work()
    seconds, python = time.perf_counter() - began, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MB
    each = f"Python {python / count * 1e6:.1f} us each"
    print(f"{name}: {count} in {seconds:.1f} s, {count / seconds:.0f}/s, {each}, peak {peak:.0f} MB", flush=True)


async def measure(servers: Servers, customers: int) -> None:
    """One pass over all of it."""
    run = Run(servers, f"backfill_{time.time_ns() // 1_000_000}", clock=CLOCK)
    await run.prepare([], with_topics=False)
    now, later = instants.parse(CLOCK), instants.parse(LATER)
    async with open_runtime(run.settings, "benchmark") as runtime:
        await timed("events in", lambda: fill(runtime, customers, now))
        for name, criteria in SEGMENTS.items():
            await timed(name, lambda name=name, criteria=criteria: backfill(runtime, name, criteria, now))  # type: ignore[misc]
        await timed("timers, all due at two instants", lambda: fire(runtime, later))
    await run.drop()


def main() -> None:
    """Reads the arguments and runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, default=1_000_000)
    arguments = parser.parse_args()
    configure_logs("console", "WARNING", "benchmark")
    with running_servers(with_kafka=False) as servers:
        asyncio.run(measure(servers, arguments.customers))


if __name__ == "__main__":
    main()
