"""What the measured processes used, and what they ran on."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import asyncpg
import psutil

from service.stack.maven import KAFKA_VERSION

MB: Final = 1_000_000


def cpu_seconds(pid: int) -> float:
    """CPU time of a process and all its children, those that ended included."""
    total = 0.0
    try:
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            times = process.cpu_times()
            total += times.user + times.system
            if process is root:
                total += times.children_user + times.children_system
    except psutil.NoSuchProcess:
        pass
    return total


def all_cpu_seconds(pids: Mapping[str, int]) -> dict[str, float]:
    """CPU time by name."""
    return {name: cpu_seconds(pid) for name, pid in pids.items()}


def busy_seconds() -> float:
    """CPU time of the whole machine that was not idle."""
    times = psutil.cpu_times()
    return sum(times) - times.idle - times.iowait - getattr(times, "guest", 0.0)


def peak_mb(pid: int) -> float:
    """The most memory a process held at once (VmHWM; RSS where the system does not tell)."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1_024 / MB
    except OSError:
        return 0.0
    return psutil.Process(pid).memory_info().rss / MB


def tree_mb(pid: int) -> float:
    """Memory of a process and its children now, what they share counted once (PSS)."""
    total = 0.0
    root = psutil.Process(pid)
    for process in (root, *root.children(recursive=True)):
        try:
            total += process.memory_full_info().pss / MB
        except psutil.Error:
            continue
    return total


def memory(roles: Mapping[str, int], servers: Mapping[str, int]) -> dict[str, float]:
    """Megabytes by name: the peak of each single process, PostgreSQL's family as it is now."""
    found = {name: peak_mb(pid) for name, pid in roles.items()}
    found |= {name: tree_mb(pid) if name == "postgres" else peak_mb(pid) for name, pid in servers.items()}
    return {name: round(value, 1) for name, value in found.items()}


async def description(database_url: str) -> dict[str, Any]:
    """The machine and the versions that a result belongs to."""
    connection = await asyncpg.connect(database_url)
    try:
        postgres = await connection.fetchval("SHOW server_version")
        fsync = await connection.fetchval(
            "SELECT current_setting('fsync') || '/' || current_setting('synchronous_commit')"
        )
    finally:
        await connection.close()
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "python": platform.python_version(),
        "postgres": postgres,
        "fsync_and_synchronous_commit": fsync,
        "kafka": KAFKA_VERSION,
        "load": load(),
    }


def load() -> float:
    """The load average of the last minute: anything the benchmark did not cause makes figures worthless."""
    return round(os.getloadavg()[0], 2)


def _cpu_model() -> str:
    try:
        lines: Iterable[str] = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = ()
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
