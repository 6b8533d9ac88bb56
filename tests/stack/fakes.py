"""Stand-ins for servers, where the real ones are not what is tested."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from service.stack.errors import StackError


class FakeServer:
    """A server that may be told to be dead."""

    port = 1
    ports = (1,)
    address = "127.0.0.1:1"

    def __init__(self) -> None:
        self.stopping = threading.Event()
        self.on_spawn: Callable[[], None] = lambda: None
        self.pid: int | None = None
        self.starts = 0
        self.failures = 0
        self.stopped = False
        self.may_start = threading.Event()
        self.may_start.set()

    def install(self) -> None:
        """Nothing to fetch."""

    def start(self) -> None:
        """Runs in this very process."""
        self.starts += 1
        self.may_start.wait(10)
        if self.starts <= self.failures:
            raise StackError("not yet")
        self.pid = os.getpid()

    def is_running(self) -> bool:
        """As told."""
        return self.pid is not None

    def stop(self, seconds: float) -> None:
        """Note it."""
        self.stopped, self.pid = True, None

    def discard(self) -> None:
        """Nothing to remove."""
