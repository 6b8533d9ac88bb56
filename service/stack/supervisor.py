"""Keep the roles and the servers of `segments up` running until it is told to stop.

    stop = stop_on_signals()                                     # SIGTERM, Ctrl-C, a closed terminal
    servers = start_servers(settings, data_dir)
    env = {"SEGMENTS_DATABASE_URL": servers.database_url, "SEGMENTS_KAFKA_BOOTSTRAP": servers.kafka_bootstrap}
    with Supervisor(roles, servers, report) as supervisor:       # leaving it ends all, the servers too
        ...                                                      # migrate, create topics
        supervisor.start()
        supervisor.wait_for(api_answers, 60, stop)               # then print the ready line
        supervisor.run(stop)                                     # calls `report` at once and with each change

with `roles` such as `[RoleSpec("serve", [sys.executable, "-m", "service.cli.main", "serve"], env), ...]` and
`report` such as `lambda pids: write_stack_file(data_dir, {**facts, "pids": pids})`.

A role that dies is started again after 0.2 s, then 0.4 s and so on up to 5 s; after 30 s of health it starts afresh.
A server that dies is started again on the same port, each by a thread of its own, so that nothing waits for it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

import structlog

from service.stack.deaths import Deaths
from service.stack.errors import StackError
from service.stack.group import Servers
from service.stack.processes import Command, end_children, rotate, spawn, tail

# 10 s and 0.3 s for roles, then 3 s and 1 s for servers (the last resorts included): within the 15 s promised.
ROLE_STOP_SECONDS, ROLE_KILL_SECONDS = 10.0, 0.3
SERVER_STOP_SECONDS = 3.0
BACKOFF_FIRST_SECONDS, BACKOFF_MAX_SECONDS = 0.2, 5.0
HEALTHY_SECONDS = 30.0
LOOK_SECONDS = 0.1
LOG_BYTES_MAX = 20_000_000

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class RoleSpec:
    """What to run for one role.

    Attributes:
        name: key among the pids.
        argv: program and arguments.
        env: added to this process's environment; the slot, 0 to count - 1, comes as SEGMENTS_WORKER.
        count: how many processes.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    count: int = 1


@dataclass
class _Slot:
    """The place of one process of a role."""

    spec: RoleSpec
    number: int
    log: Path
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    due: float = 0.0
    backoff: float = BACKOFF_FIRST_SECONDS
    deaths: int = 0

    def start(self) -> int:
        rotate(self.log, LOG_BYTES_MAX)
        env = {**os.environ, **self.spec.env, "SEGMENTS_WORKER": str(self.number)}
        self.process = spawn(Command(self.spec.argv, log=self.log, env=env))
        self.started = time.monotonic()
        return self.process.pid

    def wait_before_restart(self) -> None:
        now = time.monotonic()
        if now - self.started >= HEALTHY_SECONDS:
            self.backoff = BACKOFF_FIRST_SECONDS
        self.due = now + self.backoff
        self.backoff = min(self.backoff * 2, BACKOFF_MAX_SECONDS)
        self.deaths += 1
        self.process = None


class Supervisor:
    """Roles as child processes, and the servers under them. All methods are for one thread."""

    def __init__(
        self, roles: Sequence[RoleSpec], servers: Servers, on_change: Callable[[dict[str, list[int]]], None]
    ) -> None:
        """Describe what to run; nothing starts yet.

        Args:
            roles: started in this order.
            servers: looked after too, and stopped last.
            on_change: gets {role or server: [pid, ...]} from `run`, at once and whenever it has changed.
        """
        self._servers = servers
        self._on_change = on_change
        logs = servers.data.path / "logs"
        self._slots = [
            _Slot(role, number, logs / f"{role.name}-{number}.log") for role in roles for number in range(role.count)
        ]
        self._reported: dict[str, list[int]] | None = None
        self._deaths = Deaths(servers.data)
        self._closing = threading.Event()
        self._watches = [
            threading.Thread(target=self._watch, args=(name,), name=f"watch-{name}", daemon=True)
            for name in servers.names()
        ]

    def pids(self) -> dict[str, list[int]]:
        """The running processes of each role, by slot, and of each server that is ours."""
        found: dict[str, list[int]] = {slot.spec.name: [] for slot in self._slots}
        for slot in self._slots:
            if slot.process is not None:
                found[slot.spec.name].append(slot.process.pid)
        return {**found, **self._servers.pids()}

    def start(self) -> None:
        """Start every role, and a watch over each server.

        Raises:
            OSError: a role's program cannot be started.
        """
        self._deaths.forget()
        for watch in self._watches:
            watch.start()
        for slot in self._slots:
            self._start(slot)

    def wait_for(self, ready: Callable[[], bool], seconds: float, stop: threading.Event) -> None:
        """Look after everything until `ready` says so, or `stop` is set.

        Raises:
            StackError: not ready within that time; names the roles that died, with the end of their logs.
        """
        deadline = time.monotonic() + seconds
        while not stop.is_set() and not ready():
            if time.monotonic() > deadline:
                raise StackError(self._complaint(seconds))
            self.look()
            stop.wait(LOOK_SECONDS)

    def run(self, stop: threading.Event) -> None:
        """Look after everything, and report changes of the pids, until `stop` is set."""
        while not stop.is_set():
            self.look()
            self._report()
            stop.wait(LOOK_SECONDS)

    def look(self) -> None:
        """See once to every role: note which has died, start those whose time has come."""
        for slot in self._slots:
            if slot.process is not None and slot.process.poll() is not None:
                self._servers.data.forget(slot.process.pid)
                code = slot.process.returncode
                slot.wait_before_restart()
                self._deaths.note(slot.spec.name)
                _log.warning(
                    "role died", role=slot.spec.name, slot=slot.number, code=code, deaths=slot.deaths, log=str(slot.log)
                )
            elif slot.process is None and time.monotonic() >= slot.due:
                try:
                    self._start(slot)
                except OSError as error:  # out of memory or processes: as if it had died at once
                    _log.warning("role did not start", role=slot.spec.name, slot=slot.number, error=str(error))
                    slot.wait_before_restart()

    def stop(self) -> None:
        """End the roles, which have 10 s to drain, then the servers that are ours; takes at most 15 s."""
        processes = [slot.process for slot in self._slots if slot.process is not None]
        steps = [(signal.SIGTERM, ROLE_STOP_SECONDS), (signal.SIGKILL, ROLE_KILL_SECONDS)]
        late = end_children(processes, steps)
        for process in processes:
            self._servers.data.forget(process.pid)
        if late:
            _log.warning("roles did not end in time and were killed", pids=[process.pid for process in late])
        for slot in self._slots:
            slot.process = None
        self._closing.set()
        self._servers.stop(SERVER_STOP_SECONDS)

    def _start(self, slot: _Slot) -> None:
        pid = slot.start()
        self._servers.data.remember(f"{slot.spec.name}-{slot.number}", pid)

    def _report(self) -> None:
        pids = self.pids()
        if pids == self._reported:
            return
        try:
            self._on_change(pids)
        except OSError as error:  # a full disk must not take the roles down: try again at the next look
            _log.warning("the pids could not be reported", error=str(error))
        else:
            self._reported = pids

    def _complaint(self, seconds: float) -> str:
        dead = [slot for slot in self._slots if slot.deaths]
        parts = [
            f"{slot.spec.name} died {slot.deaths} times; the end of {slot.log}:\n{tail(slot.log)}" for slot in dead
        ]
        return "\n".join([f"The stack was not ready after {seconds:.0f} s.", *parts])

    def _watch(self, name: str) -> None:
        pause = LOOK_SECONDS
        while not self._closing.wait(pause):
            try:
                self._servers.ensure_one_running(name)
                pause = LOOK_SECONDS
            except (StackError, OSError) as error:
                pause = min(max(pause * 2, BACKOFF_FIRST_SECONDS), BACKOFF_MAX_SECONDS)
                if not self._closing.is_set():
                    _log.warning("server does not start", server=name, error=str(error), next_try_seconds=pause)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM, Ctrl-C and a closed terminal set; to be called in the main thread."""
    stop = threading.Event()

    def note(number: int, frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, note)
    return stop
