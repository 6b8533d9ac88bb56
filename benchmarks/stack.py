"""What a run needs around it: servers of its own, a fresh database and topics, roles as real processes."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from benchmarks.workload import Criteria
from service.adapters.kafka.topics import create_topics
from service.adapters.postgres.database import Database
from service.adapters.postgres.migrate import migrate
from service.adapters.postgres.segments import PostgresSegments
from service.app.segment_changes import create_segment
from service.app.segments import Author, NewSegment
from service.clock import make_clock
from service.settings import Settings, load_settings
from service.stack.processes import Command, spawn
from service.stack.servers import Servers, start_servers

STOP_SECONDS: Final = 30
AUTHOR: Final = Author("benchmark", "Benchmark")


@contextmanager
def running_servers(folder: Path | None = None, *, with_kafka: bool = True) -> Iterator[Servers]:
    """PostgreSQL (fsync on) and Kafka, embedded, gone with their data at the end.

    Args:
        folder: the disk to measure; a temporary folder if left out.
        with_kafka: False saves the broker where only the database is measured.
    """
    os.environ["SEGMENTS_STACK"] = "embedded"
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # an exception, so that everything is cleaned up
    data = Path(tempfile.mkdtemp(prefix="segments-bench-", dir=folder))
    data.chmod(0o755)  # PostgreSQL runs as another user than root
    overrides = {} if with_kafka else {"kafka_bootstrap": "127.0.0.1:1"}
    try:
        servers = start_servers(load_settings(**overrides), data, fsync=True)
        try:
            yield servers
        finally:
            servers.stop(discard=True)
    finally:
        shutil.rmtree(data, ignore_errors=True)


@dataclass
class Run:
    """One measurement: its database, its topics, the environment of its roles."""

    servers: Servers
    name: str
    clock: str = "wall"
    partitions: int = 1
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def database_url(self) -> str:
        """The run's own database."""
        return str(urlunsplit(urlsplit(self.servers.database_url)._replace(path=f"/{self.name}")))

    @cached_property
    def settings(self) -> Settings:
        """What the roles are started with."""
        return load_settings(
            database_url=self.database_url,
            kafka_bootstrap=self.servers.kafka_bootstrap,
            clock=self.clock,
            partitions=self.partitions,
            consumer_group=self.name,
            **{kind: f"{self.name}-{kind.removesuffix('_topic')}" for kind in TOPICS},
        )

    @property
    def environment(self) -> dict[str, str]:
        """The same as environment variables, for processes."""
        settings = self.settings
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SEGMENTS_")}
        named = {name: str(getattr(settings, name)) for name in (*TOPICS, "clock", "partitions", "consumer_group")}
        named |= {"database_url": self.database_url, "kafka_bootstrap": self.servers.kafka_bootstrap}
        named["log_level"] = "WARNING"
        return kept | {f"SEGMENTS_{name.upper()}": value for name, value in named.items()} | self.extra

    async def prepare(self, definitions: Sequence[Criteria], *, with_topics: bool = True) -> None:
        """Creates database and topics, and the segments before anybody is there: no backfill comes of it."""
        admin = await asyncpg.connect(self.servers.database_url)
        try:
            await admin.execute(f'CREATE DATABASE "{self.name}"')
        finally:
            await admin.close()
        async with self.database() as database:
            await migrate(database.engine)
            for number, criteria in enumerate(definitions):
                async with database.transaction() as connection:
                    new = NewSegment(f"Segment {number:04d}", criteria)
                    await create_segment(
                        PostgresSegments(connection), make_clock(self.settings.fixed_clock), AUTHOR, new
                    )
        if with_topics:
            await create_topics(self.settings)

    async def drop(self) -> None:
        """Removes the database; topics go with the servers."""
        admin = await asyncpg.connect(self.servers.database_url)
        try:
            await admin.execute(f'DROP DATABASE IF EXISTS "{self.name}" WITH (FORCE)')
        finally:
            await admin.close()

    @asynccontextmanager
    async def database(self) -> AsyncIterator[Database]:
        """A pool on the run's database."""
        database = Database.connect(self.database_url, role="benchmark", pool_size=2)
        try:
            yield database
        finally:
            await database.close()


TOPICS: Final = (
    *("orders_topic", "customers_topic", "membership_topic", "dead_letter_topic"),
    *("messages_topic", "engagement_topic"),
)


class Roles:
    """Role processes of a run; ended by their pids."""

    def __init__(self, run: Run, logs: Path) -> None:
        self._run, self._logs = run, logs
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, role: str, number: int = 1, *arguments: str) -> int:
        """Starts `python -m service.cli.main <role> <arguments>`; gives its pid."""
        name = role if number == 1 else f"{role}-{number}"
        environment = self._run.environment | {"SEGMENTS_WORKER": str(number)}
        argv = [sys.executable, "-m", "service.cli.main", role, *arguments]
        # Ends with this process, however that ends.
        process = spawn(Command(argv, log=self._logs / f"{self._run.name}-{name}.log", env=environment))
        self.processes[name] = process
        return process.pid

    def check(self) -> None:
        """Raises where a role has ended by itself."""
        for name, process in self.processes.items():
            if process.poll() is not None:
                log = (self._logs / f"{self._run.name}-{name}.log").read_text()[-2_000:]
                msg = f"{name} ended with {process.returncode}:\n{log}"
                raise RuntimeError(msg)

    def stop(self) -> None:
        """SIGTERM to each, SIGKILL to those that stay."""
        for process in self.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        for process in self.processes.values():
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


async def command(run: Run, *arguments: str) -> tuple[int, str]:
    """Runs one `segments` command beside the run's roles; gives its exit code and what it said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "service.cli.main", *arguments),
        env=run.environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return process.returncode or 0, said.decode()
