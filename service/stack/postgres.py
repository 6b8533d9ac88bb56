"""PostgreSQL 18 from Maven's binaries, run as a child process on a loopback port."""

from __future__ import annotations

import os
import pwd
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from service.stack.artifacts import can_reach, postgres_home
from service.stack.errors import StackError
from service.stack.ports import LOOPBACK
from service.stack.processes import (
    Command,
    end_children,
    end_strangers,
    fresh_folder,
    rotate,
    spawn,
    start_time,
    tail,
    works_in,
)

MAJOR = "18"
USER = DATABASE = "segments"
FIRST_START_SECONDS = 60
START_SECONDS = 120  # replaying up to max_wal_size after a crash
POLL_SECONDS = 0.02
LOG_BYTES_MAX = 20_000_000
SHM_BYTES_MIN = 512 * 1024 * 1024

SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "effective_cache_size": "1GB",
    "work_mem": "16MB",
    "maintenance_work_mem": "128MB",
    "max_wal_size": "2GB",
    "min_wal_size": "256MB",
    "wal_compression": "pglz",  # these binaries come without lz4 and zstd
    "checkpoint_timeout": "10min",
    "checkpoint_completion_target": "0.9",
    "random_page_cost": "1.1",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "log_lock_waits": "on",
}


class EmbeddedPostgres:
    """One PostgreSQL server in `<folder>/data`, its log in `<folder>/postgres.log`.

    As root it runs as the owner of the data, at first the user `postgres`, else `nobody`.
    """

    def __init__(self, folder: Path, port: int, password: str, cache: Path, *, fsync: bool = True) -> None:
        self.port = port
        self._password = password
        self._folder = folder.absolute()
        self._data = self._folder / "data"
        self._cache = cache
        self._fsync = fsync
        self._home: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self.stopping = threading.Event()
        self.on_spawn: Callable[[], None] = lambda: None

    @property
    def address(self) -> str:
        """Where to connect, as `postgresql://`."""
        return f"postgresql://{USER}:{self._password}@{LOOPBACK}:{self.port}/{DATABASE}"

    @property
    def ports(self) -> tuple[int, ...]:
        """All ports it listens on."""
        return (self.port,)

    @property
    def log(self) -> Path:
        """The server's log."""
        return self._folder / "postgres.log"

    @property
    def pid(self) -> int | None:
        """The process id of the running server, or None."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def is_running(self) -> bool:
        """Whether its process has not ended."""
        return self.pid is not None

    def install(self) -> None:
        """Fetch the binaries and create the database cluster, where that was not done before.

        Raises:
            StackError: no binaries, a data directory of another major version or out of the user's reach.
        """
        user, group = self._account()
        self._home = postgres_home(self._cache, user)
        version = self._data / "PG_VERSION"
        if version.is_file():
            found = version.read_text().strip()
            if found != MAJOR:
                msg = f"{self._data} holds data of PostgreSQL {found}, not {MAJOR}: choose another --data-dir."
                raise StackError(msg)
            return
        # Built under another name: what a start cut short left half made must not pass for a cluster.
        building = fresh_folder(self._folder, "building")
        building.mkdir(parents=True, mode=0o700)
        if user is not None:
            os.chown(building, user, group)
        flags = ["--encoding=UTF8", "--locale=C", "--auth=trust", f"--username={USER}"]
        flags += [] if self._fsync else ["--no-sync"]
        self._run(building, [str(self._binary("initdb")), *flags, "-D", _here(building, user)])
        self._run(
            building,
            [str(self._binary("postgres")), "--single", "-D", _here(building, user), "postgres"],
            f"ALTER ROLE {USER} PASSWORD '{self._password}';\nCREATE DATABASE {DATABASE};\n",
        )
        hba = building / "pg_hba.conf"
        hba.write_text(f"host all all {LOOPBACK}/32 scram-sha-256\n")
        building.replace(self._data)

    def _account(self) -> tuple[int | None, int]:
        """User and group id to run as; (None, ..) for those of this process."""
        if os.geteuid() != 0:
            return None, os.getegid()
        if self._data.exists() and (status := self._data.stat()).st_uid != 0:
            return status.st_uid, status.st_gid
        for name in ("postgres", "nobody"):
            try:
                entry = pwd.getpwnam(name)
            except KeyError:
                continue
            return entry.pw_uid, entry.pw_gid
        return 65534, 65534

    def _run(self, folder: Path, argv: Sequence[str], text: str = "") -> None:
        user, group = self._account()
        self._check_reach(folder, user, group)
        identity: dict[str, Any] = {}
        if user is not None:
            identity = {"user": user, "group": group, "extra_groups": []}
        answer = subprocess.run(  # noqa: S603  the programs are ours
            argv,
            input=text,
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            **identity,
        )
        # The single-user server reports a failed statement in its output alone.
        if answer.returncode or "ERROR:" in answer.stderr:
            msg = f"PostgreSQL could not create its data in {self._folder}: {answer.stderr.strip()[-1000:]}"
            raise StackError(msg)

    def _check_reach(self, folder: Path, user: int | None, group: int) -> None:
        if user is None or sys.platform.startswith("linux") or can_reach(folder, user, group):
            return
        msg = f"PostgreSQL's user cannot enter {folder}: choose a --data-dir that everybody may enter."
        raise StackError(msg)

    def start(self) -> None:
        """Start the server and wait until it takes connections; `install` came before.

        Raises:
            StackError: it does not start; the message ends with the last lines of its log.
        """
        rotate(self.log, LOG_BYTES_MAX)
        deadline = time.monotonic() + START_SECONDS
        while not self._start_once(deadline):
            time.sleep(0.2)

    def _start_once(self, deadline: float) -> bool:
        """True when it takes connections, False when it is worth another try."""
        # We hold the data directory's lock and have ended the server before, so the file is stale; left there, a
        # process that got the same pid later would pass for that server.
        self._end_unrecorded()
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        size = self.log.stat().st_size if self.log.exists() else 0
        user, group = self._account()
        self._check_reach(self._data, user, group)
        settings = {**SETTINGS, "port": str(self.port), "dynamic_shared_memory_type": _shared_memory()}
        if not self._fsync:
            settings |= {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        process = spawn(
            Command(
                [str(self._binary("postgres")), "-D", _here(self._data, user), *options],
                log=self.log,
                cwd=self._data,
                user=user,
                group=group,
                orphan_signal=signal.SIGINT,  # "fast": SIGTERM would wait for the clients to leave
            )
        )
        self._process = process
        self.on_spawn()
        while process.poll() is None and time.monotonic() < deadline and not self.stopping.is_set():
            if self._is_ready(process.pid):
                return True
            time.sleep(POLL_SECONDS)
        report = tail(self.log, min(2_000, max(1, self.log.stat().st_size - size)))
        if process.poll() is None:
            self.stop()
        # Backends of a postmaster that was killed take a moment to notice and hold the shared memory meanwhile.
        elif (
            re.search("is still in use|postmaster.pid. already exists", report)
            and time.monotonic() < deadline
            and not self.stopping.is_set()
        ):
            return False
        msg = f"PostgreSQL did not start on port {self.port}; the end of {self.log}:\n{report}"
        raise StackError(msg)

    def _end_unrecorded(self) -> None:
        # A stack may have been killed between the server's start and the note of its process id.
        try:
            pid = int((self._data / "postmaster.pid").read_text().split()[0])
        except (OSError, ValueError, IndexError):
            return
        started = start_time(pid)
        if started is not None and works_in(pid, self._data):
            end_strangers([(pid, started)], 2.0)

    def _binary(self, name: str) -> Path:
        if self._home is None:
            msg = "install() comes before start()"
            raise RuntimeError(msg)
        return self._home / "bin" / name

    def _is_ready(self, pid: int) -> bool:
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        if len(lines) < 8 or lines[0] != str(pid) or lines[7].strip() != "ready":
            return False
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=1):
                return True
        except OSError:
            return False

    def discard(self) -> None:
        """Nothing: all of it is in the folder."""

    def stop(self, seconds: float = 4.0) -> None:
        """Stop the server: "fast", then "immediate" after `seconds`, then by force. Committed data stay."""
        if self._process is not None:
            end_children([self._process], [(signal.SIGINT, seconds), (signal.SIGQUIT, 0.5), (signal.SIGKILL, 0.5)])


def _here(folder: Path, user: int | None) -> str:
    # Run by root as another user, PostgreSQL starts inside the folder and names it by this link: so it need
    # not be able to enter the folders above, such as a 0700 home.
    return "/proc/self/cwd" if user is not None and sys.platform.startswith("linux") else str(folder)


def _shared_memory() -> str:
    # Containers often have a /dev/shm of 64 MB, which a parallel query overflows.
    if sys.platform.startswith("linux"):
        try:
            room = os.statvfs("/dev/shm")  # noqa: S108
        except OSError:
            return "sysv"
        return "posix" if room.f_frsize * room.f_blocks >= SHM_BYTES_MIN else "sysv"
    return "posix"
