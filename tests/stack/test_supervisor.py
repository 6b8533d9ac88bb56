"""Roles and servers kept running, and stopped in time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service.stack import supervisor
from service.stack.deaths import read_deaths
from service.stack.errors import StackError
from service.stack.group import Servers
from service.stack.processes import start_time
from service.stack.state import DataDir
from service.stack.supervisor import RoleSpec, Supervisor
from tests.stack.fakes import FakeServer

PROJECT = Path(__file__).parents[2]
SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]
STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
DRAINING = """
import os, signal, sys, time
def drain(*_):
    time.sleep(0.3); open(os.environ["DRAINED"], "w").write("all"); sys.exit(0)
signal.signal(15, drain); print("up", flush=True); time.sleep(600)
"""
UP = """
import sys, json
from pathlib import Path
from service.stack.group import Servers
from service.stack.state import DataDir
from service.stack.supervisor import RoleSpec, Supervisor, stop_on_signals
stop = stop_on_signals()
servers = Servers(DataDir.open(Path(sys.argv[1])), {"kafka": "k:1", "postgres": "postgresql://p/p"}, {})
role = RoleSpec("consume", [sys.executable, "-c", "import time; time.sleep(600)"], count=2)
with Supervisor([role], servers, lambda pids: print(json.dumps(pids), flush=True)) as up:
    up.start()
    up.run(stop)
"""


@pytest.fixture
def data(tmp_path: Path) -> Iterator[DataDir]:
    """A data directory that this test holds."""
    held = DataDir.open(tmp_path / "data dir")
    yield held
    held.close()


def until(condition: Callable[[], bool], look: Callable[[], object] = lambda: None, seconds: float = 10) -> None:
    """Wait for a condition, looking after things meanwhile."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        look()
        time.sleep(0.02)


def supervise(data: DataDir, *roles: RoleSpec, server: FakeServer | None = None) -> tuple[Supervisor, list]:
    """A supervisor over roles, and what it reports."""
    reports: list[dict[str, list[int]]] = []
    servers = Servers(data, {}, {"kafka": server} if server else {})
    return Supervisor(roles, servers, reports.append), reports


class TestRestart:
    """What dies comes back."""

    def test_killed_role(self, data: DataDir) -> None:
        """A killed process is started again, and the report names its successor."""
        up, reports = supervise(data, RoleSpec("consume", SLEEP, count=2))
        stop = threading.Event()
        with up:
            up.start()
            runner = threading.Thread(target=up.run, args=(stop,))
            runner.start()
            until(lambda: bool(reports))
            first = reports[0]["consume"]
            os.kill(first[1], signal.SIGKILL)
            until(lambda: len(reports[-1]["consume"]) == 2 and reports[-1]["consume"] != first)
            stop.set()
            runner.join()

            assert reports[-1]["consume"][0] == first[0]
            assert reports[-1]["consume"][1] != first[1]
        assert not any(start_time(pid) for pid in (*first, *reports[-1]["consume"]))

    def test_backs_off(self, data: DataDir, monkeypatch: pytest.MonkeyPatch) -> None:
        """A role that dies at once is started after growing pauses, and from the first again once it was healthy."""
        up, _ = supervise(data, RoleSpec("relay", [sys.executable, "-c", "raise SystemExit(3)"]))
        [slot] = up._slots
        with up:
            up.start()
            until(lambda: slot.deaths == 3, up.look)
            assert slot.backoff == pytest.approx(1.6)
            monkeypatch.setattr(supervisor, "HEALTHY_SECONDS", 0.0)
            slot.due = 0
            until(lambda: slot.deaths == 4, up.look)

            assert slot.backoff == pytest.approx(0.4)

    def test_dead_server(self, data: DataDir) -> None:
        """A dead server is started again, also when that fails at first, while roles go on."""
        server = FakeServer()
        server.failures = 1
        up, _ = supervise(data, RoleSpec("serve", SLEEP), server=server)
        with up:
            up.start()
            until(lambda: server.starts == 2, up.look)

            assert up.pids() == {"serve": [up._slots[0].process.pid], "kafka": [os.getpid()]}
            server.pid = None
            until(lambda: server.starts == 3, up.look)
        assert server.stopped

    def test_servers_do_not_wait_for_one_another(self, data: DataDir) -> None:
        """While one server takes long to come back, another that dies is started at once."""
        slow, quick = FakeServer(), FakeServer()
        slow.may_start.clear()
        up = Supervisor([], Servers(data, {}, {"kafka": slow, "postgres": quick}), lambda pids: None)
        with up:
            up.start()
            until(lambda: slow.starts == 1 and quick.starts == 1)
            quick.pid = None
            until(lambda: quick.starts == 2)

            assert slow.pid is None
            slow.may_start.set()
            until(lambda: slow.pid is not None)

    def test_never_ready(self, data: DataDir) -> None:
        """A role that cannot run is named with the end of its log when the stack does not get ready."""
        up, _ = supervise(data, RoleSpec("serve", [sys.executable, "-c", "raise SystemExit('no such setting')"]))
        with up:
            up.start()

            with pytest.raises(StackError, match=r"(?s)serve died \d times.*serve-0\.log.*no such setting"):
                up.wait_for(lambda: False, 0.6, threading.Event())


class TestStop:
    """All ends, in time, and nothing is left."""

    def test_roles_drain(self, data: DataDir, tmp_path: Path) -> None:
        """Roles get SIGTERM and the time to finish what they do; the servers end after them."""
        server = FakeServer()
        env = {"DRAINED": str(tmp_path / "drained")}
        up, _ = supervise(data, RoleSpec("consume", [sys.executable, "-c", DRAINING], env), server=server)
        up.start()
        log = data.path / "logs" / "consume-0.log"
        until(lambda: log.exists() and "up" in log.read_text())
        up.stop()

        assert (tmp_path / "drained").read_text() == "all"
        assert server.stopped
        assert not (data.path / "processes.json").exists()

    def test_stubborn_role(self, data: DataDir, monkeypatch: pytest.MonkeyPatch) -> None:
        """A role that does not end in time is killed."""
        monkeypatch.setattr(supervisor, "ROLE_STOP_SECONDS", 0.5)
        up, _ = supervise(data, RoleSpec("relay", [sys.executable, "-c", STUBBORN]))
        up.start()
        [pid] = up.pids()["relay"]
        log = data.path / "logs" / "relay-0.log"
        until(lambda: log.exists() and "up" in log.read_text())
        began = time.monotonic()
        up.stop()

        assert 0.5 <= time.monotonic() - began < 1.5
        assert start_time(pid) is None

    def test_limits_add_up(self) -> None:
        """The longest stop of roles and servers is within the 15 s promised."""
        servers = supervisor.SERVER_STOP_SECONDS + 0.5 + 0.5

        assert supervisor.ROLE_STOP_SECONDS + supervisor.ROLE_KILL_SECONDS + servers < 15

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_signal(self, tmp_path: Path, number: signal.Signals) -> None:
        """SIGTERM and Ctrl-C end the whole with exit code 0, and no role gets the terminal's Ctrl-C itself."""
        up = subprocess.Popen([sys.executable, "-c", UP, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=PROJECT)
        assert up.stdout is not None
        pids = json.loads(next(line for line in up.stdout if line.startswith("{")))["consume"]
        assert all(os.getsid(pid) == pid for pid in pids)
        up.send_signal(number)

        assert up.wait(10) == 0
        assert not any(start_time(pid) for pid in pids)

    @pytest.mark.skipif(not sys.platform.startswith("linux"), reason="PR_SET_PDEATHSIG")
    def test_killed_supervisor_leaves_no_orphans(self, tmp_path: Path) -> None:
        """When the supervisor itself is killed, its roles end too."""
        up = subprocess.Popen([sys.executable, "-c", UP, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=PROJECT)
        assert up.stdout is not None
        pids = json.loads(next(line for line in up.stdout if line.startswith("{")))["consume"]
        up.kill()
        up.wait()

        until(lambda: not any(start_time(pid) for pid in pids), seconds=5)


class TestDeaths:
    """What died of late is told to commands beside the stack."""

    def test_each_death_is_noted(self, data: DataDir) -> None:
        """Every death of the last ten minutes counts, by role; a new start begins with none."""
        up, _ = supervise(data, RoleSpec("relay", [sys.executable, "-c", "raise SystemExit(3)"]))
        [slot] = up._slots
        with up:
            up.start()
            until(lambda: slot.deaths == 3, up.look)

            assert read_deaths(data.path) == {"relay": 3}

        again, _ = supervise(data, RoleSpec("relay", SLEEP))
        with again:
            again.start()
            assert read_deaths(data.path) == {}
        assert read_deaths(data.path / "nowhere") == {}
