"""What one data directory remembers: its lock, its processes, its ports and secrets, and `stack.json`.

One stack runs on a data directory at a time. The processes it starts are written down with their start times,
so that the next start ends what a crashed stack left behind and nothing else.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import structlog

from service.stack.errors import StackError
from service.stack.processes import end_strangers, start_time

LEFTOVER_TERM_SECONDS = 5.0

_log = structlog.get_logger(__name__)


class DataDir:
    """A data directory that this process holds, from `open` to `close`. Safe to share between threads."""

    def __init__(self, path: Path, lock: IO[str]) -> None:
        self.path = path
        self._lock = lock
        self._guard = threading.Lock()
        self._processes: dict[int, dict[str, str]] = {}

    @classmethod
    def open(cls, path: Path) -> DataDir:
        """Take hold of a data directory, making it if need be, and clean up after a crashed stack.

        Raises:
            StackError: another stack holds it, or it cannot be written.
        """
        path = path.absolute()
        try:
            path.mkdir(parents=True, exist_ok=True)
            lock = (path / "lock").open("a+")
        except OSError as error:
            msg = f"The data directory {path} cannot be used ({error.strerror}): choose another (--data-dir)."
            raise StackError(msg) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            lock.close()
            msg = (
                f"Another stack (process {holder}) runs on the data directory {path}: "
                "stop it, or choose another directory with --data-dir."
            )
            raise StackError(msg) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        data = cls(path, lock)
        data._end_leftovers()
        (path / "stack.json").unlink(missing_ok=True)  # it named servers that are gone
        return data

    def _end_leftovers(self) -> None:
        recorded = _read_json(self._process_file)
        left = [(int(pid), str(entry["started"])) for pid, entry in recorded.items()]
        alive = [(pid, started) for pid, started in left if start_time(pid) == started]
        if alive:
            _log.warning("ending what a crashed stack left behind", pids=[pid for pid, _ in alive])
            end_strangers(alive, LEFTOVER_TERM_SECONDS)
        self._process_file.unlink(missing_ok=True)

    @property
    def _process_file(self) -> Path:
        return self.path / "processes.json"

    def remember(self, name: str, pid: int) -> None:
        """Write a started process down, to be ended by the next start should this one not end it."""
        with self._guard:
            self._processes[pid] = {"name": name, "started": start_time(pid) or ""}
            self._write_processes()

    def forget(self, pid: int) -> None:
        """A process has ended and was waited for."""
        with self._guard:
            if self._processes.pop(pid, None) is not None:
                self._write_processes()

    def _write_processes(self) -> None:
        entries = {str(pid): entry for pid, entry in self._processes.items()}
        # Not forced to the disk: a power cut that loses it ends the processes too.
        write_private(self._process_file, json.dumps(entries), sync=False)

    def load(self, name: str) -> dict[str, Any]:
        """What `save` kept under this name; empty the first time."""
        return _read_json(self.path / f"{name}.json")

    def save(self, name: str, values: Mapping[str, Any]) -> None:
        """Keep values (ports, generated secrets) for later starts, readable by this user alone."""
        write_private(self.path / f"{name}.json", json.dumps(values))

    def close(self) -> None:
        """Let go of the directory; everything that was started there has been ended. May be called again."""
        if self._lock.closed:
            return
        with self._guard:
            (self.path / "stack.json").unlink(missing_ok=True)
            if not self._processes:
                self._process_file.unlink(missing_ok=True)
        self._lock.truncate(0)
        self._lock.close()


def write_stack_file(data_dir: Path, values: Mapping[str, Any]) -> None:
    """Replace `<data_dir>/stack.json` in one step, readable by this user alone."""
    write_private(data_dir / "stack.json", json.dumps(values, indent=2) + "\n")


def read_stack_file(data_dir: Path) -> dict[str, Any]:
    """The contents of `<data_dir>/stack.json`, unknown keys included.

    Raises:
        StackError: no stack has written it, or it cannot be read.
    """
    path = data_dir / "stack.json"
    try:
        values = json.loads(path.read_text())
    except FileNotFoundError:
        msg = (
            f"No stack runs on the data directory {data_dir}: start one with `segments up`, "
            "or set SEGMENTS_DATABASE_URL and SEGMENTS_KAFKA_BOOTSTRAP."
        )
        raise StackError(msg) from None
    except (OSError, ValueError) as error:
        msg = f"{path} cannot be read ({error}): run this as the user of `segments up`, or start that again."
        raise StackError(msg) from error
    if not isinstance(values, dict):
        msg = f"{path} holds no JSON object: start `segments up` again."
        raise StackError(msg)
    return values


def write_private(path: Path, text: str, *, sync: bool = True) -> None:
    """Replace a file in one step, mode 0600; with `sync` it holds the old text or the new after a power cut too."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        if sync:
            os.fsync(file.fileno())
    scratch.replace(path)


def _read_json(path: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError):
        values = json.loads(path.read_text())
        if isinstance(values, dict):
            return values
    return {}
