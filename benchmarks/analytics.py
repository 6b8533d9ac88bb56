"""How long analytics, overlap, flows and cohorts take on a full database.

    python -m benchmarks.analytics           # 1,000,000 customers, 5,000,000 orders of which 100,000 by guests
    python -m benchmarks.analytics --quick   # a fifth of it

Facts and folds are written straight into the tables, one consistent with the other; the figures as of now must be those
from the facts at the same instant. CPU is that of the whole server: what a machine with nothing else to do divides
among its cores.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg

from benchmarks import machine
from benchmarks.command import arguments, measured
from benchmarks.preview import CLOCK, NOW, fill
from benchmarks.stack import Run
from service.adapters.postgres.analytics import PostgresAnalytics, analytics_store
from service.adapters.postgres.cohorts import PostgresCohorts
from service.adapters.postgres.database import Database
from service.adapters.postgres.flows import PostgresFlows
from service.adapters.postgres.overlap import PostgresOverlap
from service.app.analytics import Question, analytics, analytics_data
from service.app.cohorts import CohortQuestion, Kind, cohorts
from service.app.flows import flows
from service.core.instants import DAY
from service.stack.servers import Servers

SECONDS_MAX: Final = 3_600
EVERYBODY, HALF, TENTH = (UUID(int=number) for number in (2, 3, 4))
#: Name -> segment, and below which share of all first bytes of an id its members are.
SEGMENTS: Final = {"everybody": (EVERYBODY, 256), "half": (HALF, 128), "a tenth": (TENTH, 26)}

#: After the fill of benchmarks.preview; {guests} and {now} are put in.
GUESTS: Final = """
INSERT INTO order_facts (customer_id, order_id, event_id, kind, total, time)
SELECT CAST(lpad('', 32, '0') AS uuid), 'guest-' || o, 'gp-' || o, 'placed',
    100 + CAST(floor(random() * 19900) AS bigint), {now} - random() * interval '1095 days'
FROM generate_series(1, {guests}) AS o
"""
SEGMENT: Final = """
INSERT INTO customer_segments (id, segment_name, segment_type, status, criteria, version, introduced, since, is_kept,
    backfill_state, created_by)
VALUES ($1, $2, 'dynamic', 'active', '{}', 1, 1, 0, true, 'done', 'benchmark')
"""
STAYS: Final = """
INSERT INTO customer_segment_memberships (customer_id, segment_id, ordinal, joined_at, membership_source,
    segment_version)
SELECT customer_id, $1, 3, CAST($2 AS timestamptz) - random() * interval '200 days', 'event', 1
FROM profiles WHERE get_byte(uuid_send(customer_id), 0) < $3
"""
#: A tenth had been members before.
ENDED: Final = """
INSERT INTO customer_segment_memberships (customer_id, segment_id, ordinal, joined_at, left_at, membership_source,
    segment_version)
SELECT customer_id, segment_id, 1, joined_at - interval '90 days', joined_at - random() * interval '80 days', 'event', 1
FROM customer_segment_memberships WHERE segment_id = $1 AND random() < 0.1
"""

Job = Callable[[PostgresAnalytics], Awaitable[Any]]


async def add_segments(url: str, guests: int) -> None:
    """Segments with members and history, and guests' orders."""
    connection = await asyncpg.connect(url, server_settings={"synchronous_commit": "off"})
    now = await connection.fetchval(f"SELECT timestamptz '{CLOCK}'")
    await connection.execute(GUESTS.format(guests=guests, now=f"timestamptz '{CLOCK}'"))
    for name, (segment_id, bytes_max) in SEGMENTS.items():
        await connection.execute(SEGMENT, segment_id, name)
        await connection.execute(STAYS, segment_id, now, bytes_max)
        await connection.execute(ENDED, segment_id)
    await connection.execute("VACUUM (ANALYZE)")
    await connection.close()


async def figures(question: Question, store: PostgresAnalytics) -> dict[str, Any]:
    """One answer of analytics."""
    return analytics_data(await analytics(store, question))


def jobs() -> dict[str, tuple[bool, Job]]:
    """Name -> whether it asks the folds, and what it does."""
    utc = ZoneInfo("UTC")
    found: dict[str, tuple[bool, Job]] = {}
    for name, (segment_id, _) in SEGMENTS.items():
        found[f"analytics of {name}"] = (True, partial(figures, Question(segment_id, NOW, True)))
    for name, (segment_id, _) in SEGMENTS.items():
        found[f"analytics of {name}, from the facts"] = (False, partial(figures, Question(segment_id, NOW, False)))
    month_ago = Question(TENTH, NOW - 30 * DAY, False)
    found["analytics of a tenth, a month ago"] = (False, partial(figures, month_ago))
    for name, (segment_id, _) in SEGMENTS.items():
        question = Question(segment_id, NOW, True)
        found[f"flows of {name}"] = (True, partial(lambda asked, store: flows(PostgresFlows(store), asked), question))
    asked = CohortQuestion(Kind.PURCHASE, None, NOW, True, 12, utc, "UTC")
    found["cohorts of the business"] = (True, lambda store: cohorts(PostgresCohorts(store.connection), asked))
    ids = [segment_id for segment_id, _ in SEGMENTS.values()]
    found["overlap of all three"] = (True, lambda store: PostgresOverlap(store.connection).overlap(ids, NOW))
    return found


async def measure(database: Database, server_pid: int, rounds: int) -> dict[str, dict[str, Any]]:
    """Figures by question; prints each as it comes.

    Raises:
        SystemExit: the folds and the facts say different things.
    """
    results: dict[str, dict[str, Any]] = {}
    answers: dict[str, Any] = {}
    for name, (is_live, job) in jobs().items():
        seconds, cpu = [], []
        for _ in range(rounds if is_live else 1):
            started, used = time.perf_counter(), machine.cpu_seconds(server_pid)
            async with analytics_store(database, SECONDS_MAX, "SECONDS_MAX", is_live=is_live) as store:
                answers[name] = await job(store)
            seconds.append(time.perf_counter() - started)
            cpu.append(machine.cpu_seconds(server_pid) - used)
        results[name] = {"seconds": seconds, "cpu": cpu}
        median, spread = statistics.median(seconds), f"{min(seconds):.2f} to {max(seconds):.2f}"
        said = f"CPU {statistics.median(cpu):.2f}; load {machine.load()}"
        print(f"  {name:<44}{median:>8.2f} s  ({spread}); {said}", flush=True)
    for name in SEGMENTS:
        by_folds, by_facts = answers[f"analytics of {name}"], answers[f"analytics of {name}, from the facts"]
        apart = {one: (by_folds[one], by_facts[one]) for one in by_folds if by_folds[one] != by_facts[one]}
        if apart:
            raise SystemExit(f"{name}: the folds say other figures than the facts: {apart}")
    print("  the folds say what the facts say")
    return results


async def run(servers: Servers, sizes: dict[str, int], guests: int, rounds: int) -> dict[str, Any]:
    """Fills a database and measures."""
    about = await machine.description(servers.database_url)
    made = Run(servers, f"analytics_{time.time_ns() // 1_000_000}", clock=CLOCK)
    await made.prepare([], with_topics=False)
    started = time.perf_counter()
    await fill(made.database_url, sizes)
    await add_segments(made.database_url, guests)
    taken = time.perf_counter() - started
    print(f"{about['cores']} cores, PostgreSQL {about['postgres']}; {sizes}; filled in {taken:.0f} s", flush=True)
    async with made.database() as database:
        results = await measure(database, servers.pids()["postgres"][0], rounds)
    await made.drop()
    return {"machine": about, "sizes": sizes, "guests": guests, "results": results}


def main() -> None:
    """Command line."""
    parser = arguments("analytics", __doc__, "a fifth of the customers and orders")
    parser.add_argument("--rounds", type=int, default=5, help="of each question of now; the table shows medians")
    chosen = parser.parse_args()
    part = 5 if chosen.quick else 1
    sizes = {"customers": 1_000_000 // part, "orders": 4_900_000 // part, "activities": 1}
    measured(chosen, lambda servers: asyncio.run(run(servers, sizes, 100_000 // part, chosen.rounds)))


if __name__ == "__main__":
    main()
