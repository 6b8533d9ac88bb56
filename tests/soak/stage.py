"""What the soak plays on: servers of its own, a proxy before each, and the roles behind the proxies."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from service.settings import load_settings
from service.stack.group import Servers
from service.stack.ports import LOOPBACK, free_port
from service.stack.processes import Command, end_children, spawn
from service.stack.servers import start_servers
from tests.soak.proxy import Link
from tests.world import COMMAND, World

RESTART_SECONDS = 0.2  # as the supervisor of `segments up`
LOOK_SECONDS = 0.05
STOP_SECONDS_MAX = 20.0
#: Drained, or told to stop before it was up.
ENDED = (0, -signal.SIGTERM)


class Stage:
    """Roles by name and slot, kept running; faults say what must not run for a while."""

    def __init__(self, world: World, servers: Servers, kafka: Link, postgres: Link) -> None:
        self.world, self.servers, self.kafka, self.postgres = world, servers, kafka, postgres
        self.died_by_themselves: list[str] = []
        self._roles: dict[tuple[str, int], subprocess.Popen[bytes]] = {}
        self._due: dict[tuple[str, int], float] = {}
        self._leaving: list[tuple[str, subprocess.Popen[bytes]]] = []

    @property
    def leaving(self) -> list[subprocess.Popen[bytes]]:
        """Retired roles that have not ended yet."""
        return [process for _, process in self._leaving]

    def slots(self, role: str) -> list[int]:
        """The slots of a role that should run."""
        return sorted(slot for name, slot in {**self._roles, **self._due} if name == role)

    def start(self, role: str, slot: int) -> None:
        """Starts a role; it ends with this process."""
        log = self.world.folder / f"{role}-{slot}.log"
        env = {**self.world.env, "SEGMENTS_WORKER": str(slot)}
        self._roles[role, slot] = spawn(Command([*COMMAND, role], log=log, env=env))

    def kill(self, role: str, slot: int) -> None:
        """SIGKILL; started again after a moment, as a supervisor would."""
        process = self._roles.pop((role, slot), None)
        if process is not None:
            process.kill()
            process.wait()
            self._due[role, slot] = time.monotonic() + RESTART_SECONDS

    def retire(self, role: str, slot: int) -> None:
        """SIGTERM, and not started again."""
        self._due.pop((role, slot), None)
        process = self._roles.pop((role, slot), None)
        if process is not None:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            self._leaving.append((f"{role}-{slot}", process))

    def signal(self, role: str, slot: int, number: signal.Signals) -> None:
        """Sends a signal to a role that runs."""
        process = self._roles.get((role, slot))
        if process is not None:
            process.send_signal(number)

    async def look_after(self) -> None:
        """Starts again what has ended, until cancelled."""
        while True:
            for place, process in tuple(self._roles.items()):
                if process.poll() is not None:
                    self.died_by_themselves.append(f"{place[0]}-{place[1]} with code {process.returncode}")
                    del self._roles[place]
                    self._due[place] = time.monotonic() + RESTART_SECONDS
            for place, due in tuple(self._due.items()):
                if time.monotonic() >= due:
                    del self._due[place]
                    self.start(*place)
            for name, process in tuple(self._leaving):
                code = process.poll()
                if code is not None:
                    self._leaving.remove((name, process))
                    if code not in ENDED:
                        self.died_by_themselves.append(f"{name} with code {code} at SIGTERM")
            await asyncio.sleep(LOOK_SECONDS)

    async def end(self, *roles: str) -> None:
        """SIGTERM for these roles, which may drain; they are not started again."""
        mine = [(place, process) for place, process in self._roles.items() if place[0] in roles]
        for place, process in mine:
            process.send_signal(signal.SIGCONT)
            del self._roles[place]
        self._due = {place: due for place, due in self._due.items() if place[0] not in roles}
        processes = [process for _, process in mine]
        steps = [(signal.SIGTERM, STOP_SECONDS_MAX), (signal.SIGKILL, 1.0)]
        await asyncio.to_thread(end_children, processes, steps)
        self.died_by_themselves += [
            f"{role}-{slot} with code {process.returncode} at SIGTERM"
            for (role, slot), process in mine
            if process.returncode not in ENDED
        ]

    def server_pid(self, name: str) -> int:
        """The process of a server."""
        return self.servers.pids()[name][0]

    def restart_server(self, name: str, number: signal.Signals) -> None:
        """Ends a server by a signal and starts it again as soon as it is gone, as a supervisor would."""
        server = self.servers.server(name)
        assert server is not None
        os.kill(self.server_pid(name), number)
        while server.is_running():
            time.sleep(0.02)
        self.servers.ensure_one_running(name)


@asynccontextmanager
async def stage(folder: Path, partitions: int, grace_ms: int) -> AsyncIterator[Stage]:
    """A stage without roles yet; everything is gone at the end, but for `folder`'s logs."""
    for name in [name for name in os.environ if name.startswith("SEGMENTS_")]:
        if name not in ("SEGMENTS_MAVEN_REPOSITORY",):
            del os.environ[name]  # servers that somebody named are not ours to kill
    listens, advertised = free_port(), free_port()
    data = folder / "servers"
    servers = await asyncio.to_thread(start_servers, load_settings(), data, fsync=True, proxied=(listens, advertised))
    try:
        server = servers.server("postgres")
        assert server is not None
        kafka = Link("kafka", advertised, listens)
        postgres = Link("postgres", free_port(), server.port)
        await kafka.start()
        await postgres.start()
        url = servers.database_url.replace(f":{server.port}/", f":{postgres.port}/")
        world = await asyncio.to_thread(
            World,
            f"{LOOPBACK}:{kafka.port}",
            url,
            "wall",
            partitions=str(partitions),
            timer_grace_ms=str(grace_ms),
        )
        made = Stage(world, servers, kafka, postgres)
        looking = asyncio.create_task(made.look_after())
        try:
            yield made
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)
            await made.end("timers", "consume", "relay")
            await asyncio.to_thread(end_children, made.leaving, [(signal.SIGKILL, 1.0)])
            await kafka.close()
            await postgres.close()
            shutil.copytree(world.folder, folder / "logs", dirs_exist_ok=True)
            shutil.rmtree(world.folder, ignore_errors=True)
    finally:
        await asyncio.to_thread(servers.stop)


def fresh_folder() -> Path:
    """Where PostgreSQL's user may enter too."""
    folder = Path(tempfile.mkdtemp(prefix="segments-soak-"))
    folder.chmod(0o755)
    return folder


def start_load(folder: Path, config: dict[str, Any]) -> subprocess.Popen[bytes]:
    """The publisher in a process of its own."""
    path = folder / "load.json"
    path.write_text(json.dumps(config))
    argv = [sys.executable, "-m", "tests.soak.load", str(path)]
    # At SIGTERM it publishes what it still owes, which an orphan never could.
    return spawn(Command(argv, log=folder / "load.log", orphan_signal=signal.SIGKILL))
