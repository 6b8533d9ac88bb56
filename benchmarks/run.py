"""`make bench`: throughput, latency and memory on this machine.

    python -m benchmarks.run             # about 10 minutes
    python -m benchmarks.run --quick     # about 2 minutes
    python -m benchmarks.run --rounds 3  # for figures worth quoting

Broker, database and all roles share this machine; PostgreSQL runs with fsync. Anything else that runs beside makes
the figures worthless: the load before each run is printed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks import latency, machine, throughput
from benchmarks.jobs import Job, file_job, own_job
from benchmarks.stack import running_servers
from service.logs import configure_logs
from service.stack.servers import Servers

RESULTS: Final = Path(__file__).parent / "results"
QUICK: Final = {"events": 100_000, "customers": 20_000, "seconds": 10}
FULL: Final = {"events": 300_000, "customers": 100_000, "seconds": 30}


def main() -> None:
    """Command line."""
    chosen = _arguments()
    configure_logs("console", "WARNING", "benchmark")
    logs = Path(tempfile.mkdtemp(prefix="segments-bench-logs-"))
    with running_servers(chosen.folder) as servers:
        about = asyncio.run(machine.description(servers.database_url))
        print(_machine_line(about), flush=True)
        rates = _throughput(servers, chosen, logs)
        latencies = _latency(servers, chosen, logs)
    path = _store({"machine": about, "arguments": vars(chosen), "throughput": rates, "latency": latencies})
    print(f"\nlogs of the roles: {logs}\nall figures: {path}")
    problems = [problem for run in (*rates, *latencies) for problem in run["problems"]]
    if problems:
        raise SystemExit("\n".join(problems))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer events and customers, shorter latency run")
    parser.add_argument("--rounds", type=int, default=1, help="runs of each job; the table shows medians")
    parser.add_argument("--segments", type=int, nargs="+", default=[20, 100])
    parser.add_argument("--flavour", choices=("calm", "busy"), default="busy")
    parser.add_argument("--events", type=int)
    parser.add_argument("--customers", type=int)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--partitions", type=int, default=1)
    parser.add_argument("--rate", type=int, default=1_000, help="events/s of the latency run")
    parser.add_argument("--seconds", type=int, help="length of the latency run")
    parser.add_argument("--only", choices=("throughput", "latency"))
    parser.add_argument(
        "--job", type=Path, nargs=2, metavar=("EVENTS", "SEGMENTS"), help="files instead of our own job"
    )
    parser.add_argument("--folder", type=Path, help="where the servers' files go: the disk to measure")
    chosen = parser.parse_args()
    for name, value in (QUICK if chosen.quick else FULL).items():
        if getattr(chosen, name) is None:
            setattr(chosen, name, value)
    return chosen


def _throughput(servers: Servers, chosen: argparse.Namespace, logs: Path) -> list[dict[str, Any]]:
    if chosen.only == "latency":
        return []
    jobs: list[Job] = (
        [file_job(*chosen.job)]
        if chosen.job
        else [own_job(count, chosen.flavour, chosen.events, chosen.customers) for count in chosen.segments]
    )
    print(
        f"\nthroughput: {chosen.workers} worker(s), {chosen.partitions} partition(s); events/s from process start to"
        " (published) all changes of the input readable with read_committed, (timers) what was due at the clock too,"
        " (steady) applied, without process start"
    )
    runs = []
    for number in range(chosen.rounds):  # rounds outside: a slow minute hits every job once
        for job in jobs:
            options = {"workers": chosen.workers, "partitions": chosen.partitions}
            one = asyncio.run(throughput.measure(servers, job, logs, **options))
            runs.append(one)
            print(f"  round {number + 1}: {throughput_line(one)}", flush=True)
    if chosen.rounds > 1:
        for job in jobs:
            print(f"  median of {chosen.rounds}: {throughput_line(median([r for r in runs if r['job'] == job.name]))}")
    return runs


def _latency(servers: Servers, chosen: argparse.Namespace, logs: Path) -> list[dict[str, Any]]:
    if chosen.only == "throughput" or chosen.job:
        return []
    print("\nlatency in ms: producer's acknowledgement to read_committed receipt; (timer) due to receipt")
    runs = []
    for number in range(chosen.rounds):
        for count in chosen.segments:
            load = latency.Load(count, chosen.flavour, chosen.rate, chosen.seconds)
            one = asyncio.run(latency.measure(servers, load, logs, partitions=chosen.partitions))
            runs.append(one)
            print(f"  round {number + 1}: {latency_line(one)}", flush=True)
    return runs


def throughput_line(one: dict[str, Any]) -> str:
    """One run on one or two lines."""
    rates = {name: f"{value:,.0f}" if value else "-" for name, value in one["rates"].items()}
    cpu = ", ".join(f"{name} {seconds:.1f}" for name, seconds in one["cpu_seconds"].items())
    used = ", ".join(f"{name} {megabytes:.0f}" for name, megabytes in one["memory_mb"].items())
    return (
        f"{one['job']}: published {rates['published']}, timers {rates['timers_without_wait']},"
        f" steady {rates['steady']} events/s; {one['changes_per_event']:.2f} changes an event;"
        f" WAL {one['wal_bytes_per_event']:,.0f} bytes an event\n"
        f"           CPU seconds {cpu}, others {one['seconds']['cpu_of_others']:.1f}; MB {used};"
        f" load {one['load']}; {'; '.join(one['problems']) or 'checks passed'}"
    )


def latency_line(one: dict[str, Any]) -> str:
    """One run on one line."""

    def figures(name: str) -> str:
        found = {key: value for key, value in one[name].items() if key != "count"}
        return " / ".join(f"{key} {value:.0f}" for key, value in found.items()) or "none"

    return (
        f"{one['job']} ({one['rate_reached']:.0f}/s reached): event {figures('event_ms')}"
        f" (until its batch began {figures('until_batch_ms')}; from there {figures('from_batch_ms')});"
        f" timer {figures('timer_ms')};"
        f" worker {one['memory_mb']['worker']:.0f} MB; load {one['load']};"
        f" {'; '.join(one['problems']) or 'checks passed'}"
    )


def median(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Each figure's median over runs of the same job."""
    first = runs[0]
    found: dict[str, Any] = {}
    for name, value in first.items():
        values = [run[name] for run in runs]
        if isinstance(value, dict):
            found[name] = median(values)
        elif isinstance(value, list):
            found[name] = sorted({entry for entries in values for entry in entries})
        elif isinstance(value, int | float):
            found[name] = statistics.median(one for one in values if one is not None)
        else:
            found[name] = value
    return found


def _machine_line(found: dict[str, Any]) -> str:
    return (
        f"{found['cpu']}, {found['cores']} cores, {found['memory_gb']} GB; Python {found['python']},"
        f" PostgreSQL {found['postgres']} (fsync/synchronous_commit {found['fsync_and_synchronous_commit']}),"
        f" Kafka {found['kafka']}; load {found['load']}"
    )


def _store(found: dict[str, Any]) -> Path:
    RESULTS.mkdir(exist_ok=True)
    ignored = RESULTS / ".gitignore"
    if not ignored.exists():
        ignored.write_text("*\n")
    path = RESULTS / f"{time.strftime('%Y%m%d-%H%M%S')}.json"
    path.write_text(json.dumps(found, indent=1, default=str) + "\n")
    return path


if __name__ == "__main__":
    main()
