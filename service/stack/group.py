"""The servers of one stack, as a whole: started, looked after and stopped together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Protocol, Self

import structlog

from service.stack.errors import StackError
from service.stack.ports import is_free
from service.stack.state import DataDir

STOP_SECONDS = 4.0

_log = structlog.get_logger(__name__)


class Server(Protocol):
    """What the embedded servers and those in Docker have in common."""

    port: int
    stopping: threading.Event
    on_spawn: Callable[[], None]

    @property
    def ports(self) -> tuple[int, ...]:
        """All ports it listens on."""

    @property
    def pid(self) -> int | None:
        """Its process id on this machine, if it is ours and runs."""

    @property
    def address(self) -> str:
        """Where clients connect."""

    def install(self) -> None:
        """Fetch what is missing and make the data folder."""

    def start(self) -> None:
        """Start it and wait until it answers."""

    def is_running(self) -> bool:
        """Whether it has not ended."""

    def stop(self, seconds: float) -> None:
        """End it, by force after that many seconds."""

    def discard(self) -> None:
        """Remove what it keeps outside the data directory."""


class Servers:
    """Both servers of a stack; those that are ours are ended by `stop`. Safe to share between threads."""

    def __init__(self, data: DataDir, addresses: Mapping[str, str], ours: Mapping[str, Server]) -> None:
        self.data = data
        self._given = dict(addresses)
        self._ours = dict(ours)
        self._known: dict[str, int] = {}
        self._guard = threading.Lock()
        self._busy = {name: threading.Lock() for name in ours}
        for server in self._ours.values():
            server.on_spawn = self.record  # before it is ready: a crash until then must leave a trace of it

    @property
    def database_url(self) -> str:
        """The database as `postgresql://user:password@host:port/name`."""
        return self._address("postgres")

    @property
    def kafka_bootstrap(self) -> str:
        """The broker as `host:port`, or several with commas."""
        return self._address("kafka")

    def _address(self, name: str) -> str:
        return self._given[name] if name in self._given else self._ours[name].address

    def server(self, name: str) -> Server | None:
        """Our `kafka` or `postgres`, or None where it was named in the environment."""
        return self._ours.get(name)

    def pids(self) -> dict[str, list[int]]:
        """Process ids of the servers that are child processes of ours and run."""
        found = {name: server.pid for name, server in self._ours.items()}
        return {name: [pid] for name, pid in found.items() if pid is not None}

    def start(self) -> None:
        """Install and start all that is ours, at once.

        Raises:
            StackError: one cannot be had or does not start.
        """
        if not self._ours:
            return
        started = time.monotonic()
        with ThreadPoolExecutor(len(self._ours)) as pool:
            futures = [pool.submit(self._install_and_start, server) for server in self._ours.values()]
            try:
                for future in futures:
                    future.result()
            except BaseException:
                self._give_up()
                raise
        _log.info("servers answer", seconds=round(time.monotonic() - started, 2), pids=self.pids())

    def _install_and_start(self, server: Server) -> None:
        server.install()
        try:
            server.start()
        finally:
            self.record()

    def _give_up(self) -> None:
        for server in self._ours.values():
            server.stopping.set()  # a start that is under way ends

    def has_lost_a_port(self) -> bool:
        """Whether somebody else listens where one of our servers, now stopped, should."""
        return any(not is_free(port) for server in self._ours.values() for port in server.ports)

    def names(self) -> list[str]:
        """Those that are ours."""
        return list(self._ours)

    def ensure_running(self) -> list[str]:
        """Start again, on the same port and data, what has died; blocks until it answers.

        Returns:
            the names of those that were started again.

        Raises:
            StackError: one does not start; the others were looked after.
        """
        restarted, errors = [], []
        for name in self._ours:
            try:
                restarted += [name] if self.ensure_one_running(name) else []
            except StackError as error:
                errors.append(error)
        if errors:
            raise errors[0]
        return restarted

    def ensure_one_running(self, name: str) -> bool:
        """Start this server again if it has died; True if it had.

        Raises:
            StackError: it does not start.
        """
        server = self._ours[name]
        with self._busy[name]:
            if server.stopping.is_set() or server.is_running():
                return False
            _log.warning("server died, starting it again", server=name, port=server.port)
            try:
                server.start()
            finally:
                self.record()
        return True

    def record(self) -> None:
        """Write the process ids down for the next start's clean-up."""
        with self._guard:
            for name, server in self._ours.items():
                pid, known = server.pid, self._known.get(name)
                if known is not None and known != pid:
                    self.data.forget(self._known.pop(name))
                if pid is not None and known != pid:
                    self.data.remember(name, pid)
                    self._known[name] = pid

    def stop(self, seconds: float = STOP_SECONDS, *, discard: bool = False) -> None:
        """Stop what is ours, both at once, by force after `seconds`, and let go of the data directory.

        Args:
            seconds: how long a server may take to end by itself.
            discard: also remove what they keep outside the data directory (volumes of Docker).
        """
        self.stop_ours(seconds)
        if discard:
            for server in self._ours.values():
                server.discard()
        self.data.close()

    def stop_ours(self, seconds: float) -> None:
        """Stop what is ours, and keep the data directory."""
        self._give_up()

        def end(name: str) -> None:
            with self._busy[name]:
                self._ours[name].stop(seconds)

        if self._ours:
            with ThreadPoolExecutor(len(self._ours)) as pool:
                list(pool.map(end, self._ours))
        self.record()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
