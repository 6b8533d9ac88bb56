"""Start, recognise and end processes, also such as an earlier, crashed process left behind."""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Any

PR_SET_PDEATHSIG = 1
POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Command:
    """One process to start.

    Attributes:
        argv: program and arguments.
        log: file that takes stdout and stderr, appended to.
        cwd: working directory, or None for this process's own.
        env: the whole environment, or None for this process's own.
        user: user id to run as, or None for this process's own.
        group: group id to run as, with `user`.
        orphan_signal: what the kernel sends it when this process dies (Linux only).
    """

    argv: Sequence[str]
    log: Path
    cwd: Path | None = None
    env: Mapping[str, str] | None = None
    user: int | None = None
    group: int | None = None
    orphan_signal: signal.Signals = field(default=signal.SIGTERM)


def spawn(command: Command) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own, so that Ctrl-C in the terminal does not reach it.

    Raises:
        OSError: the program cannot be started.
    """
    # Linux ends a child with PR_SET_PDEATHSIG when the THREAD that started it ends, so one thread that lives
    # as long as the process starts them all, whichever thread asks.
    answer: Future[subprocess.Popen[bytes]] = Future()
    _starter(os.getpid()).put((command, answer))
    return answer.result()


@cache  # by process: a fork does not take the thread along
def _starter(_pid: int) -> SimpleQueue[tuple[Command, Future[subprocess.Popen[bytes]]]]:
    queue: SimpleQueue[tuple[Command, Future[subprocess.Popen[bytes]]]] = SimpleQueue()

    def serve() -> None:
        while True:
            command, answer = queue.get()
            try:
                answer.set_result(_start(command))
            except BaseException as error:  # handed to the asking thread
                answer.set_exception(error)

    threading.Thread(target=serve, name="process-starter", daemon=True).start()
    return queue


def _start(command: Command) -> subprocess.Popen[bytes]:
    command.log.parent.mkdir(parents=True, exist_ok=True)
    identity: dict[str, Any] = {}
    if command.user is not None:
        identity = {"user": command.user, "group": command.group, "extra_groups": []}
    with command.log.open("ab") as log:
        return subprocess.Popen(  # noqa: S603  the programs are ours
            list(command.argv),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=command.cwd,
            env=None if command.env is None else dict(command.env),
            start_new_session=True,
            preexec_fn=_die_with_parent(command.orphan_signal),
            **identity,
        )


def _die_with_parent(orphan_signal: signal.Signals) -> Callable[[], None] | None:
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl  # loaded before the fork: the child may not take locks
    parent = os.getpid()

    def arm() -> None:
        # Popen changes the user first: a change of user would clear the setting.
        prctl(PR_SET_PDEATHSIG, int(orphan_signal))
        if os.getppid() != parent:  # the parent died before the setting was made
            os._exit(1)

    return arm


def start_time(pid: int) -> str | None:
    """When the process started, as an opaque text that differs for a recycled pid; None if it is gone.

    A zombie counts as gone.
    """
    if sys.platform.startswith("linux"):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        # State and number of threads: the first thread of a dying JVM is a zombie while others hold its port.
        return None if fields[0] in "ZX" and int(fields[17]) <= 1 else f"{_boot()}/{fields[19]}"
    state, _, started = _ps(pid, "stat=,lstart=").partition(" ")
    return None if not started or state.startswith("Z") else started.strip()


def works_in(pid: int, folder: Path) -> bool:
    """Whether the process has that working directory; outside Linux, whether its command line names it."""
    if sys.platform.startswith("linux"):
        try:
            return Path(f"/proc/{pid}/cwd").readlink() == folder.resolve()
        except OSError:
            return False
    return str(folder) in _ps(pid, "args=")


def _ps(pid: int, columns: str) -> str:
    command = ["ps", "-o", columns, "-p", str(pid)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603


@cache
def _boot() -> str:
    # The kernel counts the start time from the boot: the same tick and pid may come again after the next.
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""


def end_strangers(processes: Iterable[tuple[int, str]], term_seconds: float) -> None:
    """End processes that are not our children: SIGTERM, and SIGKILL after `term_seconds`.

    Args:
        processes: (pid, start time); one whose start time differs is somebody else's and is left alone.
        term_seconds: how long they may take to end by themselves.
    """
    left = [(pid, started) for pid, started in processes if start_time(pid) == started]
    for attempt in (signal.SIGTERM, signal.SIGKILL):
        for pid, _ in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, attempt)
        deadline = time.monotonic() + term_seconds
        while left and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
            left = [(pid, started) for pid, started in left if start_time(pid) == started]


def end_children(
    children: Sequence[subprocess.Popen[Any]], steps: Sequence[tuple[signal.Signals, float]]
) -> list[subprocess.Popen[Any]]:
    """End child processes, all at once, with one signal after the other.

    Args:
        children: processes of ours, dead ones included.
        steps: (signal, seconds to wait after it), e.g. SIGTERM 10 s, SIGKILL 1 s.

    Returns:
        those that did not end at the first signal.
    """
    left = [child for child in children if child.poll() is None]
    late: list[subprocess.Popen[Any]] = []
    for number, (step, seconds) in enumerate(steps):
        if number == 1:
            late = list(left)
        for child in left:
            child.send_signal(step)
        deadline = time.monotonic() + seconds
        while left and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
            left = [child for child in left if child.poll() is None]
    return late


def fresh_folder(parent: Path, prefix: str) -> Path:
    """A new path to build something in; what earlier, cut short attempts left there is removed.

    The name is new each time: a child of such an attempt may go on writing under the old one for a moment.
    """
    for left in parent.glob(f"{prefix}-*"):
        shutil.rmtree(left, ignore_errors=True)
        with contextlib.suppress(OSError):
            left.unlink()
    return parent / f"{prefix}-{secrets.token_hex(4)}"


def rotate(log: Path, bytes_max: int) -> None:
    """Put a log that has grown beyond `bytes_max` aside as `<name>.1`, in place of the one before."""
    with contextlib.suppress(FileNotFoundError):
        if log.stat().st_size > bytes_max:
            log.replace(log.with_name(log.name + ".1"))


def tail(log: Path, bytes_max: int = 2_000) -> str:
    """The last bytes of a log, for an error message; empty if there is none."""
    try:
        with log.open("rb") as file:
            return _last(file, bytes_max)
    except OSError:
        return ""


def _last(file: IO[bytes], bytes_max: int) -> str:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - bytes_max))
    return file.read().decode(errors="replace").strip()
