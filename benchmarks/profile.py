"""Where the worker's time goes: its batch path in this process, against a real PostgreSQL, without Kafka.

    python -m benchmarks.profile --segments 100 --flavour busy

Batches come straight from the generator into consumers.apply.Applier. After a warm-up they are taken in turns: one
untouched (the figure), one with timers around each step (the table), one under cProfile (the functions), so that all
three see the same state of the database and the same noise.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import gc
import io
import os
import pstats
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import psutil

from benchmarks.stack import Run, running_servers
from benchmarks.steps import Steps
from benchmarks.workload import HISTORY_END, Flavour, Shop, definitions, history, text_of
from consumers.apply import Applier
from service.app.ingest import Record
from service.bootstrap import open_runtime
from service.logs import configure_logs
from service.stack.servers import Servers

HEADERS: Final = [("content-type", b"application/cloudevents+json")]
KINDS: Final = ("plain", "steps", "functions")
TOPIC: Final = "orders"


class Tally:
    """Events, time and CPU time of the batches of one kind."""

    def __init__(self) -> None:
        self.events = 0
        self.wall: list[float] = []
        self.python = self.backend = 0.0
        self.wal = 0

    def per_event(self, seconds: float) -> float:
        """Microseconds an event."""
        return seconds / max(1, self.events) * 1e6


async def profile(
    servers: Servers, segments: int, flavour: Flavour, events: int, customers: int, batch: int
) -> tuple[str, dict[str, Any]]:
    """Runs the path; gives the report as text and as figures."""
    run = Run(servers, f"profile_{segments}_{flavour}_{time.time_ns() // 1_000_000}", clock=text_of(HISTORY_END))
    await run.prepare(definitions(segments, flavour), with_topics=False)
    records = _records(events, customers)
    batches = [records[start : start + batch] for start in range(0, len(records), batch)]
    tallies = {kind: Tally() for kind in KINDS}
    profiler = cProfile.Profile()
    gc.collect()
    gc.freeze()  # the records lie in Kafka as a rule, not in this process
    gc.disable()  # as consumers.events does; the applier collects
    settings = run.settings.model_copy(update={"outbox_rows_max": 10**9})  # no relay takes them away
    async with open_runtime(settings, "profile") as runtime:
        applier = Applier(runtime, asyncio.Event())
        async with runtime.database.session() as connection:
            backend = await connection.fetchval("SELECT pg_backend_pid()")
        watch, steps = _Watch(runtime, psutil.Process(backend)), Steps(backend)
        for number, some in enumerate(batches):
            # The first third fills the tables.
            kind = KINDS[number % 3] if number >= len(batches) // 3 else None
            await _apply(
                applier,
                some,
                tallies[kind] if kind else None,
                watch,
                steps if kind == "steps" else None,
                profiler if kind == "functions" else None,
            )
        async with runtime.database.session() as connection:
            changes = await connection.fetchval("SELECT COALESCE(sum(records), 0) FROM outbox")
            dead = await connection.fetchval("SELECT count(*) FROM dead_letters")
    await run.drop()
    figures = _figures(tallies, int(changes) / events, steps)
    head = (
        f"{segments} segments, {flavour}, {events} events, {customers} customers, batches of {batch}; "
        f"{figures['changes_per_event']:.2f} changes an event; dead letters {dead}; load {os.getloadavg()[0]:.1f}"
    )
    return _report(head, figures, profiler), figures


def _records(events: int, customers: int) -> list[Record]:
    found = history(Shop(customers), events)
    return [Record(TOPIC, 0, number, 0, one.key, one.value, HEADERS) for number, one in enumerate(found)]


class _Watch:
    """CPU of this process and of the database's backend, and WAL written."""

    def __init__(self, runtime: Any, backend: psutil.Process) -> None:
        self._runtime, self._backend = runtime, backend

    async def look(self) -> tuple[float, float, float, int]:
        async with self._runtime.database.session() as connection:
            wal = await connection.fetchval("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")
        times = self._backend.cpu_times()
        return time.perf_counter(), time.process_time(), times.user + times.system, int(wal)


async def _apply(
    applier: Applier,
    records: Sequence[Record],
    tally: Tally | None,
    watch: _Watch,
    steps: Steps | None,
    profiler: cProfile.Profile | None,
) -> None:
    before = await watch.look()
    if steps:
        steps.install()
    if profiler:
        profiler.enable()
    started = time.perf_counter()
    await applier.apply(records)
    wall = time.perf_counter() - started
    if profiler:
        profiler.disable()
    if steps:
        steps.uninstall()
    after = await watch.look()
    if tally:
        tally.events += len(records)
        tally.wall.append(wall)
        tally.python += after[1] - before[1]
        tally.backend += after[2] - before[2]
        tally.wal += after[3] - before[3]


def _figures(tallies: dict[str, Tally], changes: float, steps: Steps) -> dict[str, Any]:
    plain, timed = tallies["plain"], tallies["steps"]
    return {
        "changes_per_event": changes,
        "us_per_event": plain.per_event(sum(plain.wall)),
        "us_per_event_median": plain.per_event(statistics.median(plain.wall) * len(plain.wall)),
        "python_cpu_us": plain.per_event(plain.python),
        "backend_cpu_us": plain.per_event(plain.backend),
        "wal_bytes_per_event": plain.wal / max(1, plain.events),
        "steps": {name: [timed.per_event(seconds) for seconds in cost] for name, cost in steps.ordered()},
        "functions_events": tallies["functions"].events,
    }


def _report(head: str, figures: dict[str, Any], profiler: cProfile.Profile) -> str:
    whole = (
        f"untouched batches: {figures['us_per_event']:.1f} us an event (median batch "
        f"{figures['us_per_event_median']:.1f}), {1e6 / figures['us_per_event']:,.0f} events/s; "
        f"CPU: Python {figures['python_cpu_us']:.1f} us, database backend {figures['backend_cpu_us']:.1f} us; "
        f"WAL {figures['wal_bytes_per_event']:,.0f} bytes an event"
    )
    lines = [head, whole, "", f"{'us an event':<44}{'Python':>10}{'backend':>10}{'waiting':>10}"]
    sums = [0.0, 0.0, 0.0]
    for name, costs in figures["steps"].items():
        lines.append(f"{name:<44}" + "".join(f"{micros:>10.2f}" for micros in costs))
        sums = [total + micros for total, micros in zip(sums, costs, strict=True)]
    lines += [f"{'all':<44}" + "".join(f"{micros:>10.2f}" for micros in sums), ""]
    text = io.StringIO()
    pstats.Stats(profiler, stream=text).strip_dirs().sort_stats("tottime").print_stats(25)
    lines += [f"cProfile over {figures['functions_events']} events, by own time", text.getvalue()]
    return "\n".join(lines)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile", description=__doc__)
    parser.add_argument("--segments", type=int, nargs="+", default=[20, 100])
    parser.add_argument("--flavour", choices=("calm", "busy"), default="busy")
    parser.add_argument("--events", type=int, default=120_000)
    parser.add_argument("--customers", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=4_000)
    parser.add_argument("--folder", type=Path, help="where the database's files go")
    chosen = parser.parse_args()
    configure_logs("console", "WARNING", "benchmark")
    with running_servers(chosen.folder, with_kafka=False) as servers:
        for segments in chosen.segments:
            job = profile(servers, segments, chosen.flavour, chosen.events, chosen.customers, chosen.batch)
            print(asyncio.run(job)[0], flush=True)


if __name__ == "__main__":
    main()
