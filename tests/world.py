"""The roles as processes of their own, one by one, on topics and a database of one test: what containers would run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from service.adapters.postgres.database import Database
from service.adapters.postgres.segments import PostgresSegments
from service.app.segment_changes import create_segment, update_segment
from service.app.segments import Author, NewSegment, SegmentChange
from service.core import instants
from tests.e2e.product import Change, all_changes

COMMAND = [sys.executable, "-m", "service.cli.main"]


class World:
    """Servers named by URL, own topics, own database; roles started and killed at will."""

    def __init__(self, kafka: str, database_url: str, clock: str, **settings: str) -> None:
        name = f"t{uuid4().hex[:12]}"
        self.kafka, self.database_url, self.clock = kafka, database_url, clock
        self.orders, self.customers = f"{name}-orders", f"{name}-customers"
        self.membership, self.dead = f"{name}-membership", f"{name}-dead"
        self.messages, self.engagement = f"{name}-messages", f"{name}-engagement"
        self.folder = Path(tempfile.mkdtemp(prefix="segments-world-"))
        self.env = {key: value for key, value in os.environ.items() if not key.startswith("SEGMENTS_")} | {
            "SEGMENTS_DATABASE_URL": database_url,
            "SEGMENTS_KAFKA_BOOTSTRAP": kafka,
            "SEGMENTS_ORDERS_TOPIC": self.orders,
            "SEGMENTS_CUSTOMERS_TOPIC": self.customers,
            "SEGMENTS_MEMBERSHIP_TOPIC": self.membership,
            "SEGMENTS_DEAD_LETTER_TOPIC": self.dead,
            "SEGMENTS_MESSAGES_TOPIC": self.messages,
            "SEGMENTS_ENGAGEMENT_TOPIC": self.engagement,
            "SEGMENTS_CONSUMER_GROUP": name,
            "SEGMENTS_PARTITIONS": "3",
            "SEGMENTS_CLOCK": clock,
            "SEGMENTS_JWT_SECRET": "x" * 40,
            **{f"SEGMENTS_{key.upper()}": value for key, value in settings.items()},
        }
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.run("migrate")

    def run(self, *arguments: str, data: bytes | None = None, timeout: float = 120) -> str:
        """Runs a command that must succeed; gives its stdout."""
        done = self.command(*arguments, data=data, timeout=timeout)
        assert done.returncode == 0, f"{arguments}: {done.stdout.decode()} {done.stderr.decode()} {self.logs()}"
        return done.stdout.decode()

    def command(self, *arguments: str, data: bytes | None = None, timeout: float = 120) -> subprocess.CompletedProcess:
        """Runs a command."""
        return subprocess.run(
            [*COMMAND, *arguments], env=self.env, input=data, capture_output=True, timeout=timeout, check=False
        )

    def start(self, role: str, slot: int = 0) -> subprocess.Popen[bytes]:
        """Starts a role; a slot of its own for each consumer."""
        name = f"{role}-{slot}"
        log = (self.folder / f"{name}.log").open("ab")
        env = {**self.env, "SEGMENTS_WORKER": str(slot)}
        self.processes[name] = subprocess.Popen([*COMMAND, role], env=env, stdout=log, stderr=log)
        log.close()
        return self.processes[name]

    def start_all(self, workers: int = 1) -> None:
        """Everything but the API."""
        for slot in range(workers):
            self.start("consume", slot)
        self.start("relay")
        self.start("timers")

    def kill(self, role: str, slot: int = 0) -> None:
        """SIGKILL; nothing is drained."""
        process = self.processes.pop(f"{role}-{slot}")
        process.kill()
        process.wait()

    def stop(self, role: str, slot: int = 0) -> int:
        """SIGTERM; gives the exit code."""
        process = self.processes.pop(f"{role}-{slot}")
        process.send_signal(signal.SIGTERM)
        return process.wait(timeout=20)

    def close(self) -> None:
        """Ends what still runs."""
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.wait()

    def logs(self) -> str:
        """The ends of all logs, for a failed assertion."""
        return "\n".join(f"{path.name}: {path.read_text()[-1500:]}" for path in sorted(self.folder.glob("*.log")))

    def publish(self, events: Iterable[dict], *options: str) -> None:
        """Publishes events in their order."""
        lines = b"".join(json.dumps(event).encode() + b"\n" for event in events)
        self.run("publish", "-", *options, data=lines)

    def publish_beside(self, events: Iterable[dict], *options: str) -> subprocess.Popen[bytes]:
        """Publishes in a process of its own, while the test goes on."""
        path = self.folder / "events.ndjson"
        path.write_bytes(b"".join(json.dumps(event).encode() + b"\n" for event in events))
        return subprocess.Popen([*COMMAND, "publish", str(path), *options], env=self.env, stdout=subprocess.DEVNULL)

    def wait_idle(self, seconds: float = 90) -> None:
        """Waits until all is applied and published."""
        self.run("wait-idle", "--timeout", str(seconds), timeout=seconds + 30)

    def verify(self) -> dict[str, Any]:
        """The report of `verify`, which must find nothing."""
        done = self.command("verify", "--json")
        report = json.loads(done.stdout)
        assert done.returncode == 0, (report, done.stderr.decode())
        return report

    def changes(self) -> list[Change]:
        """All joined/left events."""
        return all_changes(self.kafka, self.membership)


AUTHOR = Author("tester", "Tester")


async def create(database: Database, definitions: dict[str, dict], clock: str) -> dict[str, str]:
    """Creates segments by the use case that the API calls; gives name -> id."""
    found = {}
    for name, criteria in definitions.items():
        async with database.transaction() as connection:
            new = NewSegment(segment_name=name, criteria=criteria)
            store = PostgresSegments(connection)
            found[name] = str((await create_segment(store, lambda: instants.parse(clock), AUTHOR, new)).id)
    return found


async def change(database: Database, segment_id: str, clock: str, **changes: Any) -> None:
    """Changes a segment by the use case that the API calls."""
    async with database.transaction() as connection:
        await update_segment(
            PostgresSegments(connection),
            lambda: instants.parse(clock),
            AUTHOR,
            UUID(segment_id),
            SegmentChange(**changes),
            is_silent=False,
        )


async def members(database: Database) -> dict[str, set[str]]:
    """External ids of current members by segment name, from the table."""
    async with database.session() as connection:
        rows = await connection.fetch(MEMBERS)
        found: dict[str, set[str]] = {row[0]: set() for row in await connection.fetch(NAMES)}
    for name, external_id in rows:
        found[name].add(external_id)
    return found


NAMES = "SELECT segment_name FROM customer_segments WHERE NOT is_deleted"
MEMBERS = """
SELECT s.segment_name, c.external_id
FROM customer_segment_memberships m
JOIN customer_segments s ON s.id = m.segment_id JOIN customers c USING (customer_id)
WHERE m.left_at IS NULL
"""


def folded(changes: Iterable[Change]) -> dict[str, set[str]]:
    """External ids by segment id after all changes; checks ids, order and alternation on the way.

    Per customer and segment ordinals rise by one, joined and left alternate, and effective_at never goes back.
    """
    found: dict[str, set[str]] = {}
    latest: dict[tuple[str, str], Change] = {}
    ids = set()
    for one in sorted(changes, key=lambda change: (change.partition, change.offset)):
        assert one.event_id not in ids, f"{one} came twice"
        ids.add(one.event_id)
        before = latest.get((one.customer_id, one.segment_id))
        assert one.sequence == (before.sequence + 1 if before else 1), (before, one)
        assert one.change != (before.change if before else "left"), (before, one)
        assert before is None or instants.parse(one.effective_at) >= instants.parse(before.effective_at), (before, one)
        latest[one.customer_id, one.segment_id] = one
        members = found.setdefault(one.segment_id, set())
        (members.add if one.change == "joined" else members.discard)(one.external_id)
    return found


@contextmanager
def world(kafka: str, database_url: str, clock: str, **settings: str) -> Iterator[World]:
    """A world, ended at the end of the block."""
    made = World(kafka, database_url, clock, **settings)
    try:
        yield made
    finally:
        made.close()


def pause(seconds: float) -> None:
    """Lets the roles work; they are other processes, so that nothing here is kept waiting."""
    time.sleep(seconds)


def until(condition: Any, seconds: float = 30) -> None:
    """Waits for a condition; a bound against hanging, not a promise."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.05)
