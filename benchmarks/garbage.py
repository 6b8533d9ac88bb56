"""Events a second while everything is garbage, beside good events of the same number on the same machine.

    python -m benchmarks.garbage                # 100,000 of each, about two minutes
    python -m benchmarks.garbage --rounds 3

Each bad record is decoded, stored as a dead letter and published on the dead letter topic; the clock runs until all of
that is done. The ratio is what counts: it must stay above one half.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Final

from benchmarks.jobs import own_job
from benchmarks.stack import Roles, Run, running_servers
from benchmarks.throughput import Watch, publish
from benchmarks.workload import HISTORY_END, SEED, Criteria, Message, Shop, history
from service.adapters.kafka.offsets import OffsetReader
from service.logs import configure_logs
from service.stack.servers import Servers

RATIO_MIN: Final = 0.5
SEGMENTS: Final = 20
CUSTOMERS: Final = 20_000
LETTERS: Final = "SELECT count(*) FROM dead_letters"


def garbage(count: int) -> Iterator[Message]:
    """Good events, each spoilt in one of five ways."""
    random = Random(SEED)
    for one in history(Shop(CUSTOMERS, SEED), count, HISTORY_END):
        yield one._replace(value=_spoilt(one.value, random.randrange(5)))


def _spoilt(value: bytes, way: int) -> bytes:
    if way == 0:
        return value[: len(value) // 2]
    if way == 1:
        return value.replace(b'"type":"', b'"type":"no.such.')
    if way == 2:
        return value.replace(b'"customer_id":"', b'"customer":"')
    if way == 3:
        return value.replace(b'"time":"2026', b'"time":"9026')
    return b"\xff" + value


async def rate(
    servers: Servers, logs: Path, segments: list[Criteria], messages: Iterable[Message], clock: str, workers: int
) -> tuple[float, int]:
    """Records a second until all is applied and published, and how many dead letters there are then."""
    run = Run(servers, f"garbage-{time.time_ns() // 1_000_000}", clock=clock, partitions=workers)
    await run.prepare(segments)
    total = await publish(run, messages)
    async with run.database() as database, database.session() as connection, OffsetReader(run.settings) as reader:
        with Roles(run, logs) as roles:
            watch = Watch(run, reader, connection, total, roles, started=time.perf_counter())
            for number in range(1, workers + 1):
                roles.start("consume", number)
            roles.start("relay")
            done = await watch.until_published()
        letters = await connection.fetchval(LETTERS)
    await run.drop()
    return total / done.at, letters


async def measure(servers: Servers, logs: Path, count: int, workers: int) -> tuple[float, float]:
    """The rates of good and of bad records.

    Raises:
        SystemExit: a good event became a dead letter, or a bad one did not.
    """
    job = own_job(SEGMENTS, "busy", count, CUSTOMERS)
    good, none = await rate(servers, logs, job.segments, job.messages(), job.clock, workers)
    bad, all_of_them = await rate(servers, logs, job.segments, garbage(count), job.clock, workers)
    if (none, all_of_them) != (0, count):
        msg = f"{none} of the good records and {all_of_them} of {count} bad ones became dead letters"
        raise SystemExit(msg)
    return good, bad


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.garbage", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2, help="and partitions")
    parser.add_argument("--rounds", type=int, default=1)
    chosen = parser.parse_args()
    configure_logs("console", "WARNING", "benchmark")
    logs = Path(tempfile.mkdtemp(prefix="segments-bench-logs-"))
    ratios = []
    with running_servers() as servers:
        for _ in range(chosen.rounds):
            good, bad = asyncio.run(measure(servers, logs, chosen.events, chosen.workers))
            ratios.append(bad / good)
            print(f"good {good:,.0f} events/s, garbage {bad:,.0f} records/s, ratio {bad / good:.2f}", flush=True)
    if statistics.median(ratios) < RATIO_MIN:
        msg = f"Garbage is slower than {RATIO_MIN} of good events."
        raise SystemExit(msg)


if __name__ == "__main__":
    main()
