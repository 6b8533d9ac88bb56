"""How long exports and imports take through a real server, and how much memory its process needs for them.

    python -m benchmarks.export           # 1,000,000 members, 100,000 ids
    python -m benchmarks.export --quick   # a twentieth of it

Rows are written straight into the tables; each export must have every member, each import change every customer once.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.request import Request, urlopen
from uuid import UUID

import asyncpg
import openpyxl
import psutil

from benchmarks import machine
from benchmarks.command import arguments, measured
from benchmarks.stack import Roles, Run
from service.api.app import token_rules
from service.app.tokens import Permission
from service.core.profiles.codec import encode_state
from service.core.profiles.profile import Profile
from service.settings import load_settings
from service.stack.ports import free_port
from service.stack.servers import Servers

SECRET: Final = "a secret for a benchmark, of more than thirty-two bytes"  # noqa: S105 - of this run alone
SECONDS_MAX: Final = 900
EVERYBODY: Final = UUID(int=1)
LISTED: Final = UUID(int=2)
DYNAMIC: Final = UUID(int=3)

#: Fills the tables with {count} customers, all of them members of the first segment.
FILL: Final = (
    """INSERT INTO customers (customer_id, external_id, name, email, phone, customer_type, country, state, city)
SELECT CAST(md5('customer-' || n) AS uuid), CAST(CAST(md5('customer-' || n) AS uuid) AS text), 'First Lastname ' || n,
    'user' || n || '@example.com', '+1555' || n, 'individual', 'US', 'NY', 'New York'
FROM generate_series(1, {count}) AS n""",
    """INSERT INTO profiles (customer_id, total_orders, total_spent, first_seen_at, registered_at, last_order_at,
    evaluated_to, born, mark, shape_version, ordinals, state)
SELECT CAST(md5('customer-' || n) AS uuid), n % 7, (n % 7) * 4999, 0, 1700000000123456 + n,
    CASE WHEN n % 7 > 0 THEN 1700000000000000 + n * CAST(1000000 AS bigint) END, 0, 0, 1, 0, '', '\\x{state}'
FROM generate_series(1, {count}) AS n""",
    """INSERT INTO customer_segments (id, segment_name, segment_type, status, criteria, version, introduced, since,
    is_kept, backfill_state, created_by)
SELECT CAST(lpad(CAST(n AS text), 32, '0') AS uuid), 'Segment ' || n,
    CASE n WHEN 3 THEN 'dynamic' ELSE 'static' END, 'active',
    CASE n WHEN 3 THEN '{{"total_orders": {{"operator": "gte", "value": 6}}}}' ELSE '{{}}' END::jsonb, 1, 1, 0,
    true, 'done', 'benchmark'
FROM generate_series(1, 3) AS n""",
    """INSERT INTO customer_segment_memberships (customer_id, segment_id, ordinal, joined_at, membership_source,
    segment_version)
SELECT customer_id, '00000000-0000-0000-0000-000000000001', 1, timestamptz '2026-01-01' + random() * interval '90 days',
    'event', 1
FROM customers""",
    "UPDATE catalogue SET version = 1",
    "VACUUM (ANALYZE)",
)


async def fill(url: str, count: int) -> None:
    """So many customers."""
    state = encode_state(Profile(EVERYBODY, "")).hex()
    connection = await asyncpg.connect(url, server_settings={"synchronous_commit": "off"})
    try:
        for statement in FILL:
            await connection.execute(statement.format(count=count, state=state))
    finally:
        await connection.close()


class Watched:
    """What a process did meanwhile.

    Attributes:
        more_mb: the most memory it held beyond what it began with.
        stall_ms: the longest that another request waited for its answer.
        cpu_seconds: its own CPU time, which says more than seconds where the machine has other things to do.
    """

    def __init__(self) -> None:
        self.more_mb = self.stall_ms = self.seconds = self.cpu_seconds = 0.0


@contextmanager
def watched(pid: int, base: str) -> Iterator[Watched]:
    """Samples memory ten times a second, and asks a small question as often."""
    found, stop, process = Watched(), threading.Event(), psutil.Process(pid)
    before, cpu = process.memory_info().rss, machine.cpu_seconds(pid)

    def sample() -> None:
        while not stop.wait(0.1):
            found.more_mb = max(found.more_mb, (process.memory_info().rss - before) / machine.MB)
            asked = time.perf_counter()
            with urlopen(f"{base}/livez") as answer:  # noqa: S310 - this machine
                answer.read()
            found.stall_ms = max(found.stall_ms, 1_000 * (time.perf_counter() - asked))

    thread = threading.Thread(target=sample)
    thread.start()
    started = time.perf_counter()
    try:
        yield found
    finally:
        found.seconds, found.cpu_seconds = time.perf_counter() - started, machine.cpu_seconds(pid) - cpu
        stop.set()
        thread.join()


class Server:
    """Requests to the serve process."""

    def __init__(self, base: str, pid: int, token: str) -> None:
        self.base, self.pid = base, pid
        self._headers = {"Authorization": f"Bearer {token}"}
        self.results: dict[str, dict[str, Any]] = {}

    def wait(self) -> None:
        """Returns when it answers."""
        deadline = time.monotonic() + 30
        while True:
            try:
                with urlopen(f"{self.base}/livez"):  # noqa: S310 - this machine
                    return
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def ask(self, name: str, path: str, target: Path, body: bytes | None = None) -> None:
        """One request, its answer into a file; notes and prints what it took."""
        address = f"{self.base}/api/customer-segments/{path}"
        headers = self._headers | ({"Content-Type": "text/csv"} if body else {})
        request = Request(address, body, headers)  # noqa: S310 - this machine
        with (
            watched(self.pid, self.base) as seen,
            target.open("wb") as file,
            urlopen(request, timeout=SECONDS_MAX) as answer,  # noqa: S310
        ):
            while part := answer.read(1_048_576):
                file.write(part)
        size = target.stat().st_size / machine.MB
        load = machine.load()
        figures = {
            "seconds": seen.seconds,
            "cpu_seconds": seen.cpu_seconds,
            "more_mb": seen.more_mb,
            "stall_ms": seen.stall_ms,
            "mb": size,
            "load": load,
        }
        self.results[name] = {key: round(value, 2) for key, value in figures.items()}
        print(
            f"  {name:<34}{seen.seconds:>8.2f} s ({seen.cpu_seconds:.2f} s of CPU){size:>9.1f} MB"
            f"{seen.more_mb:>8.1f} MB more held{seen.stall_ms:>8.0f} ms longest wait of others; load {load}",
            flush=True,
        )


def exports(server: Server, count: int, folder: Path) -> None:
    """Both formats, one column and all of them.

    Raises:
        SystemExit: a file lacks members.
    """
    everything = "include_customer_details=true"
    for name, query in (("csv, external_id", "fields=external_id"), ("csv, all columns", everything)):
        file = folder / "export.csv"
        server.ask(name, f"{EVERYBODY}/export?format=csv&{query}", file)
        with file.open("rb") as lines:
            _check(name, sum(part.count(b"\n") for part in iter(lambda: lines.read(1_048_576), b"")), count + 1)
    for name, query in (("xlsx, external_id", "fields=external_id"), ("xlsx, all columns", everything)):
        file = folder / "export.xlsx"
        server.ask(name, f"{EVERYBODY}/export?format=xlsx&{query}", file)
        book = openpyxl.load_workbook(file, read_only=True)
        _check(name, dict(book["about"].iter_rows(values_only=True))["rows"], count)
        if count <= 100_000 or query == "fields=external_id":
            _check(name, sum(1 for _ in book["members"].iter_rows()), count + 1)
        book.close()


def imports(server: Server, ids: list[str], folder: Path) -> None:
    """Known and unknown ids into a list, known ones into a segment with criteria, by id and by address.

    Raises:
        SystemExit: an import did not change every customer once.
    """
    unknown = [f"unknown-{number}" for number in range(len(ids))]
    emails = [f"USER{number}@example.com" for number in range(1, len(ids) + 1)]
    cases: tuple[tuple[str, UUID, str, list[str], str, str], ...] = (
        ("import: unknown ids, static", LISTED, "add", unknown, "id", "added"),
        ("import: the same again", LISTED, "add", unknown, "id", "unchanged"),
        ("import: known ids, static", LISTED, "add", ids, "id", "added"),
        ("import: known ids, dynamic", DYNAMIC, "add", ids, "id", "added"),
        ("import: remove ids, dynamic", DYNAMIC, "remove", ids, "id", "removed"),
        ("import: addresses, dynamic", DYNAMIC, "add", emails, "email", "added"),
    )
    for name, segment, action, values, header, expected in cases:
        file = folder / "answer.json"
        body = "\n".join([header, *values, ""]).encode()
        server.ask(name, f"{segment}/import?action={action}", file, body)
        _check(name, json.loads(file.read_bytes())["data"][expected], len(values))


def _check(name: str, found: int, expected: int) -> None:
    if found != expected:
        raise SystemExit(f"{name}: {found} instead of {expected}")


def run(servers: Servers, count: int, id_count: int) -> dict[str, Any]:
    """Fills a database, starts a server, and measures."""
    about = asyncio.run(machine.description(servers.database_url))
    made = Run(servers, f"export_{time.time_ns() // 1_000_000}", extra={"SEGMENTS_JWT_SECRET": SECRET})
    asyncio.run(made.prepare([], with_topics=False))
    asyncio.run(fill(made.database_url, count))
    print(f"{about['cores']} cores, PostgreSQL {about['postgres']}; {count} members; load {machine.load()}", flush=True)
    token = token_rules(load_settings(jwt_secret=SECRET)).issue("benchmark", "Benchmark", list(Permission), 3_600)
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="segments-bench-") as name, Roles(made, Path(name)) as roles:
        pid = roles.start("serve", 1, "--port", str(port))
        server = Server(f"http://127.0.0.1:{port}", pid, token)
        server.wait()
        exports(server, count, Path(name))
        ids = asyncio.run(_ids(made.database_url, id_count))
        imports(server, ids, Path(name))
        print(f"  peak of the serve process: {machine.peak_mb(pid):.0f} MB")
        results = {**server.results, "serve_peak_mb": machine.peak_mb(pid)}
    asyncio.run(made.drop())
    return {"machine": about, "members": count, "ids": id_count, "results": results}


async def _ids(url: str, count: int) -> list[str]:
    connection = await asyncpg.connect(url)
    try:
        statement = "SELECT external_id FROM customers WHERE external_id LIKE '%-%-%-%-%' LIMIT $1"
        return [row[0] for row in await connection.fetch(statement, count)]
    finally:
        await connection.close()


def main() -> None:
    """Command line."""
    chosen = arguments("export", __doc__, "a twentieth of the members and ids").parse_args()
    part = 20 if chosen.quick else 1
    measured(chosen, lambda servers: run(servers, 1_000_000 // part, 100_000 // part))


if __name__ == "__main__":
    main()
