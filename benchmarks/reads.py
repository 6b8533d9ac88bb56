"""How long the read routes take beside each other: a real `serve` process, requests at a steady rate.

    python -m benchmarks.reads           # 1,000,000 customers, all of them in one segment, 120 segments
    python -m benchmarks.reads --quick   # a twentieth of it, for 10 s a route
    python -m benchmarks.reads --before ../other-checkout

Requests are sent when they are due, whether the ones before have been answered or not, and a request's time runs from
when it was due (no coordinated omission). With --before another checkout serves the same database as well, and in the
end both are asked the same, one request at a time and in turns, so that both see the same noise.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import asyncpg
import httpx2

from benchmarks import machine
from benchmarks.command import arguments, measured
from benchmarks.preview import CLOCK, fill
from benchmarks.stack import Run
from service.app.members import cursor_after
from service.app.tokens import TokenRules
from service.settings import load_settings
from service.stack.processes import Command, spawn
from service.stack.servers import Servers

RATE: Final = 50
SECONDS: Final = 60
WARM_UP_SECONDS: Final = 5
LIMIT_MS: Final = 25
ROUNDS: Final = 100
SEGMENTS: Final = 120
START_SECONDS_MAX: Final = 30
SIZES: Final = {"customers": 1_000_000, "orders": 300_000, "activities": 20_000}
SECRET: Final = "a secret of the benchmark, long enough for HS256"  # noqa: S105
#: What LIMIT_MS is the goal of.
GOAL: Final = ("list of segments", "a segment", "100 of 1,000,000 members")
EVERYBODY: Final = UUID(int=2)
BASE: Final = "/api/customer-segments"

#: All customers in one segment, each after two earlier stays; a hundred other segments of some thousand members.
FILL: Final = (
    """INSERT INTO customer_segments (id, segment_name, segment_type, status, criteria, version, introduced, since,
    is_kept, backfill_state, created_by, customer_count)
SELECT CAST(lpad(to_hex(n), 32, '0') AS uuid), 'Segment ' || n, 'dynamic', 'active', '{}', 1, 1, 0, true, 'done',
    'benchmark', CASE WHEN n = 2 THEN (SELECT count(*) FROM profiles) ELSE (SELECT count(*) FROM profiles) / n END
FROM generate_series(2, $1::integer) n""",
    """INSERT INTO segment_versions (segment_id, version, criteria, created_by)
SELECT id, 1, criteria, 'benchmark' FROM customer_segments""",
    """INSERT INTO customer_segment_memberships (customer_id, segment_id, ordinal, joined_at, left_at,
    membership_source, left_reason, segment_version, recorded_at, left_recorded_at)
SELECT customer_id, '00000000-0000-0000-0000-000000000002', 1 + 2 * stay,
    timestamptz '2026-01-01' + (30 * stay + 29 * random()) * interval '1 day',
    CASE WHEN stay < 2 THEN timestamptz '2026-01-30' + 30 * stay * interval '1 day' + random() * interval '1 day' END,
    'event', CASE WHEN stay < 2 THEN 'time' END, 1, now(), CASE WHEN stay < 2 THEN now() END
FROM profiles CROSS JOIN generate_series(0, 2) AS stay""",
    """INSERT INTO customer_segment_memberships (customer_id, segment_id, ordinal, joined_at, membership_source,
    segment_version)
SELECT customer_id, s.id, 1, now(), 'event', 1
FROM customer_segments s CROSS JOIN LATERAL (
    SELECT customer_id FROM profiles WHERE customer_id > gen_random_uuid() ORDER BY customer_id LIMIT 2000 + s.slot
) p
WHERE s.slot > 1""",
    "VACUUM (ANALYZE)",
)

Address = Callable[[random.Random], str]


def _page(chance: random.Random) -> str:
    cursor = cursor_after(EVERYBODY, UUID(int=chance.getrandbits(128)))
    return f"/{EVERYBODY}/customers?limit=100&cursor={cursor}"


def routes(customers: list[str]) -> dict[str, Address]:
    """What is asked, by name."""
    return {
        "list of segments": lambda chance: f"?limit=20&page={chance.randint(1, 5)}",
        "a segment": lambda chance: f"/{UUID(int=chance.randint(1, SEGMENTS))}",
        "100 of 1,000,000 members": _page,
        "history, newest 100": lambda _: f"/{EVERYBODY}/history",
        "history, 100 in between": lambda chance: f"/{EVERYBODY}/history?to=2026-03-{chance.randint(10, 28)}",
        "a customer": lambda chance: f"/customers/{chance.choice(customers)}",
    }


@asynccontextmanager
async def serving(run: Run, folder: Path | None, logs: Path) -> AsyncIterator[httpx2.AsyncClient]:
    """A `serve` process of a checkout (None: this one), and a client on it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    argv = [sys.executable, "-m", "service.cli.main", "serve", "--port", str(port)]
    environment = run.environment | ({"PYTHONPATH": str(folder)} if folder else {})
    process = spawn(Command(argv, log=logs / f"serve-{port}.log", env=environment, cwd=folder))
    rules = TokenRules(load_settings(jwt_secret=SECRET).jwt_secret, "customer-segments", "customer-segments")
    permissions = ("customer_segments:read", "customers:read_pii")
    headers = {"authorization": f"Bearer {rules.issue('benchmark', 'Benchmark', permissions, 86_400)}"}
    limits = httpx2.Limits(max_connections=100, max_keepalive_connections=100)
    try:
        async with httpx2.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", headers=headers, limits=limits, timeout=60
        ) as client:
            await _until_it_answers(client)
            yield client
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait)


async def _until_it_answers(client: httpx2.AsyncClient) -> None:
    async with asyncio.timeout(START_SECONDS_MAX):
        while True:
            try:
                await client.get("/livez")
                return
            except httpx2.TransportError:
                await asyncio.sleep(0.1)


async def ask(client: httpx2.AsyncClient, address: str, due: float) -> float:
    """Milliseconds from when the request was due until its answer is here.

    Raises:
        RuntimeError: the answer is no 200.
    """
    response = await client.get(BASE + address)
    if response.status_code != 200:
        msg = f"{address}: {response.status_code} {response.text[:500]}"
        raise RuntimeError(msg)
    return (time.perf_counter() - due) * 1e3


async def measure(
    client: httpx2.AsyncClient, addresses: dict[str, Address], seconds: float
) -> dict[str, list[list[float]]]:
    """Milliseconds by route at RATE requests a second; the routes take turns."""
    found: dict[str, list[list[float]]] = {name: [[]] for name in addresses}
    chance, names = random.Random(1), list(addresses)
    started = time.perf_counter()

    async def note(name: str, address: str, due: float) -> None:
        found[name][0].append(await ask(client, address, due))

    async with asyncio.TaskGroup() as group:
        for number in range(int(seconds * RATE)):
            due = started + number / RATE
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            name = names[number % len(names)]
            group.create_task(note(name, addresses[name](chance), due))
    return found


async def compare(
    clients: list[httpx2.AsyncClient], addresses: dict[str, Address], rounds: int
) -> dict[str, list[list[float]]]:
    """Milliseconds by route and client, one request at a time."""
    found: dict[str, list[list[float]]] = {name: [[] for _ in clients] for name in addresses}
    chance = random.Random(2)
    for number in range(rounds):
        for name, address_of in addresses.items():
            address = address_of(chance)
            for place in range(len(clients)) if number % 2 else reversed(range(len(clients))):
                found[name][place].append(await ask(clients[place], address, time.perf_counter()))
    return found


def percentile(values: list[float], part: float) -> float:
    """The smallest value that so great a part of all does not exceed."""
    return sorted(values)[min(len(values) - 1, int(part * len(values)))]


def report(found: dict[str, list[list[float]]]) -> dict[str, Any]:
    """Prints a line a route; the last client is this checkout."""
    figures = {}
    for name, clients in found.items():
        rows = [{"p50": statistics.median(one), "p99": percentile(one, 0.99), "max": max(one)} for one in clients]
        figures[name] = {"requests": len(clients[0]), "before": rows[0] if len(rows) > 1 else None, "now": rows[-1]}
        said = "; before: ".join(" ".join(f"{key} {one[key]:6.1f}" for key in one) for one in rows[::-1])
        note = "" if rows[-1]["p99"] < LIMIT_MS else "; over the goal"
        print(f"  {name:<26}{len(clients[0]):>6}  ms: {said}{note}")
    return figures


async def run(servers: Servers, chosen: argparse.Namespace) -> dict[str, Any]:
    """Fills a database, serves it and measures."""
    about = await machine.description(servers.database_url)
    made = Run(servers, f"reads_{time.time_ns() // 1_000_000}", clock=CLOCK)
    made.extra = {"SEGMENTS_JWT_SECRET": SECRET, "SEGMENTS_REQUESTS_PER_SECOND_MAX": "0"}
    await made.prepare([], with_topics=False)
    sizes = {name: size // (20 if chosen.quick else 1) for name, size in SIZES.items()}
    await fill(made.database_url, sizes)
    connection = await asyncpg.connect(made.database_url, server_settings={"synchronous_commit": "off"})
    for statement in FILL:
        await connection.execute(statement, *([SEGMENTS] if "$1" in statement else []))
    customers = [str(row[0]) for row in await connection.fetch("SELECT customer_id FROM profiles LIMIT 10000")]
    await connection.close()
    print(
        f"{about['cores']} cores, PostgreSQL {about['postgres']}; {sizes}, {SEGMENTS} segments; load {machine.load()}"
    )
    addresses = routes(customers)
    goal = {name: addresses[name] for name in GOAL}
    rest = {name: address for name, address in addresses.items() if name not in GOAL}
    seconds = 10 if chosen.quick else SECONDS
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as logs:
        async with (
            serving(made, None, Path(logs)) as client,
            serving(made, chosen.before, Path(logs)) as other,
        ):
            await measure(client, goal, WARM_UP_SECONDS)
            for some in (goal, rest):
                print(f" {RATE} requests/s for {seconds} s, load {machine.load()}", flush=True)
                results |= report(await measure(client, some, seconds))
                print(f" load {machine.load()}", flush=True)
            if chosen.before:
                print(f" {ROUNDS} requests a route, one at a time, load {machine.load()}", flush=True)
                results["compared"] = report(await compare([other, client], goal, ROUNDS))
    await made.drop()
    return {"machine": about, "sizes": sizes, "results": results}


def main() -> None:
    """Command line."""
    parser = arguments("reads", __doc__, "a twentieth of the customers, 10 s")
    parser.add_argument("--before", type=Path, help="another checkout to compare with, on the same schema")
    chosen = parser.parse_args()
    measured(chosen, lambda servers: asyncio.run(run(servers, chosen)))


if __name__ == "__main__":
    main()
