"""Roles as processes forked from one that has imported everything: many starts, and no second of imports for each."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    ["service.cli.main", "consumers.events", "consumers.engagement", "producers.relay", "producers.timers"]
    + ["producers.ways_out", "producers.dispatch", "service.api.app", __name__]
)
LOOK_SECONDS = 0.02


class Process:
    """`segments <arguments>` in a process of its own, as the console script would run it."""

    def __init__(self, arguments: list[str], env: Mapping[str, str], log: Path) -> None:
        self.log = log
        self._process = FORKS.Process(target=_run, args=(arguments, dict(env), str(log)), daemon=True)
        self._process.start()

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.exitcode is None

    @property
    def was_killed(self) -> bool:
        """Whether SIGKILL was its end."""
        return self._process.exitcode == -signal.SIGKILL

    @property
    def exit_code(self) -> int | None:
        """As the shell would tell it; negative for a signal, None while it runs."""
        return self._process.exitcode

    async def ended(self, seconds: float) -> bool:
        """Waits for the end at most so long; whether it came."""
        deadline = time.monotonic() + seconds
        while self.is_running and time.monotonic() < deadline:  # noqa: ASYNC110 - it is another process
            await asyncio.sleep(LOOK_SECONDS)
        return not self.is_running

    def kill(self) -> None:
        """SIGKILL; nothing is drained."""
        self._process.kill()
        self._process.join()


def _run(arguments: list[str], env: dict[str, str], log: str) -> None:
    os.environ.clear()
    os.environ.update(env)
    to = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(to, 1)
    os.dup2(to, 2)
    sys.argv = ["segments", *arguments]
    from service.cli.main import main

    main()
