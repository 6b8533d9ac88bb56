"""Embedded Kafka and PostgreSQL: started, killed, started again, beside one another."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from aiokafka.errors import KafkaError

from service.settings import load_settings
from service.stack.artifacts import cache_dir
from service.stack.errors import StackError
from service.stack.group import Servers
from service.stack.kafka import EmbeddedKafka
from service.stack.ports import free_port
from service.stack.processes import start_time
from service.stack.servers import start_servers
from tests.stack import clients

PROJECT = Path(__file__).parents[2]
HOLDER = """
import json, sys, time
from pathlib import Path
from service.settings import load_settings
from service.stack import processes, servers
processes._die_with_parent = lambda orphan_signal: None  # as on a system without PR_SET_PDEATHSIG
running = servers.start_servers(load_settings(), Path(sys.argv[1]))
print(json.dumps({"pids": running.pids(), "kafka": running.kafka_bootstrap}), flush=True)
time.sleep(600)
"""


def all_pids(by_name: dict[str, list[int]]) -> list[int]:
    """The process ids of all servers."""
    return [pid for pids in by_name.values() for pid in pids]


def kill(pid: int) -> None:
    """End a process as a crash would, and wait until it is gone."""
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while start_time(pid) is not None and time.monotonic() < deadline:
        time.sleep(0.01)


class TestStart:
    """The servers answer, to the right ones."""

    async def test_postgres_answers(self, servers: Servers) -> None:
        """PostgreSQL 18 takes a connection with the password in the URL, in UTF8, checksums on, fsync on."""
        assert servers.database_url.startswith("postgresql://")
        assert (
            await clients.query(servers.database_url, "SELECT current_setting('server_version_num')::int / 10000") == 18
        )
        sql = "SELECT string_agg(setting, ' ' ORDER BY name) FROM pg_settings WHERE name IN ({})"
        settings = sql.format("'data_checksums', 'fsync', 'server_encoding'")
        assert await clients.query(servers.database_url, settings) == "on on UTF8"

    async def test_postgres_wants_the_password(self, servers: Servers) -> None:
        """A connection with another password is refused."""
        user, _, rest = servers.database_url.partition("@")

        with pytest.raises(Exception, match="password authentication failed"):
            await clients.query(f"{user}0@{rest}", "SELECT 1")

    async def test_kafka_keeps_records(self, servers: Servers) -> None:
        """What is produced can be consumed, by a group too, and a record may have 32 MiB."""
        await clients.create_topic(servers.kafka_bootstrap, "first")
        large = os.urandom(1024) * (32 * 1024 - 64)
        await clients.produce(servers.kafka_bootstrap, "first", b"one", large)

        options = {"group_id": "readers", "fetch_max_bytes": 40_000_000, "max_partition_fetch_bytes": 40_000_000}
        assert await clients.consume(servers.kafka_bootstrap, "first", 2, **options) == [b"one", large]

    def test_kafka_logs_below_the_data_directory(self, servers: Servers) -> None:
        """The broker's log is kept in the data directory."""
        assert "started" in (servers.data.path / "kafka" / "logs" / "server.log").read_text()

    @pytest.mark.skipif(os.geteuid() != 0 or not Path("/proc/self").exists(), reason="only as root, on Linux")
    def test_postgres_is_not_root(self, servers: Servers, closed_folder: Path) -> None:
        """Started by root, PostgreSQL runs as another user, also below a folder that this user cannot enter."""
        [pid] = servers.pids()["postgres"]

        assert Path(f"/proc/{pid}").stat().st_uid != 0
        assert stat.S_IMODE(closed_folder.stat().st_mode) == 0o700

    def test_second_stack_on_the_directory_is_refused(self, servers: Servers) -> None:
        """A data directory that is in use is refused with a sentence that names it."""
        with pytest.raises(StackError, match=r"Another stack .* runs on the data directory .*data dir"):
            start_servers(load_settings(), servers.data.path)

    async def test_two_stacks_side_by_side(self, servers: Servers, tmp_path: Path) -> None:
        """A second stack in another directory has ports, processes and data of its own."""
        await clients.query(servers.database_url, "CREATE TABLE only_here ()")
        with start_servers(load_settings(), tmp_path, fsync=False) as others:
            assert others.database_url != servers.database_url
            assert others.kafka_bootstrap != servers.kafka_bootstrap
            assert not set(all_pids(others.pids())) & set(all_pids(servers.pids()))
            assert await clients.query(others.database_url, "SELECT to_regclass('only_here')") is None

    async def test_sasl(self, tmp_path: Path) -> None:
        """A broker with SASL serves clients that give the password and no others, transactions included."""
        folder = tmp_path / "kafka"
        first, second = free_port(), free_port()
        broker = EmbeddedKafka(folder, first, second, cache_dir(tmp_path), sasl=("shop", "opensesame"))
        broker.install()
        broker.start()
        try:
            security = {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN", "sasl_plain_username": "shop"}
            right = {**security, "sasl_plain_password": "opensesame"}
            await clients.create_topic(broker.address, "guarded", **right)
            await clients.produce(broker.address, "guarded", b"in", transactional_id="t", **right)

            options = {"isolation_level": "read_committed", **right}
            assert await clients.consume(broker.address, "guarded", 1, **options) == [b"in"]
            with pytest.raises(KafkaError):
                await clients.produce(broker.address, "guarded", b"out", **{**right, "sasl_plain_password": "wrong"})
        finally:
            broker.stop()

    def test_settings_win(self, tmp_path: Path) -> None:
        """Servers named in the settings are used as they are and none is started."""
        settings = load_settings(database_url="postgresql+asyncpg://a:b@db/c", kafka_bootstrap="k1:9092,k2:9092")
        with start_servers(settings, tmp_path) as servers:
            assert servers.database_url == "postgresql://a:b@db/c"
            assert servers.kafka_bootstrap == "k1:9092,k2:9092"
            assert servers.pids() == {}
            assert servers.ensure_running() == []

    def test_unknown_kind_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """SEGMENTS_STACK with another value stops the start with a sentence that names it."""
        monkeypatch.setenv("SEGMENTS_STACK", "podman")

        with pytest.raises(StackError, match="SEGMENTS_STACK is 'podman': it must be one of auto, docker, embedded"):
            start_servers(load_settings(), tmp_path)


class TestRestart:
    """What dies comes back with its data."""

    async def test_postgres_killed(self, servers: Servers) -> None:
        """PostgreSQL killed comes back at the same URL with what was committed."""
        url = servers.database_url
        await clients.query(url, "CREATE TABLE kept AS SELECT 42 AS answer")
        [before] = servers.pids()["postgres"]
        kill(before)

        assert servers.ensure_running() == ["postgres"]
        assert servers.database_url == url
        assert await clients.query(url, "SELECT answer FROM kept") == 42
        assert servers.pids()["postgres"] != [before]

    async def test_kafka_killed(self, servers: Servers) -> None:
        """Kafka killed comes back at the same address with what it acknowledged."""
        bootstrap = servers.kafka_bootstrap
        await clients.create_topic(bootstrap, "survives")
        await clients.produce(bootstrap, "survives", b"a", b"b")
        kill(servers.pids()["kafka"][0])

        assert servers.ensure_running() == ["kafka"]
        assert servers.kafka_bootstrap == bootstrap
        assert await clients.consume(bootstrap, "survives", 2) == [b"a", b"b"]

    async def test_second_start(self, tmp_path: Path) -> None:
        """A second start finds the data of the first at the same addresses."""
        with start_servers(load_settings(), tmp_path, fsync=False) as servers:
            addresses = (servers.database_url, servers.kafka_bootstrap)
            await clients.query(servers.database_url, "CREATE TABLE kept AS SELECT 7 AS answer")
            await clients.create_topic(servers.kafka_bootstrap, "kept")
            await clients.produce(servers.kafka_bootstrap, "kept", b"x")
        with start_servers(load_settings(), tmp_path, fsync=False) as servers:
            assert (servers.database_url, servers.kafka_bootstrap) == addresses
            assert await clients.query(servers.database_url, "SELECT answer FROM kept") == 7
            assert await clients.consume(servers.kafka_bootstrap, "kept", 1) == [b"x"]


class TestCrash:
    """A stack that was killed does not hinder the next."""

    def test_leftovers_are_ended(self, tmp_path: Path) -> None:
        """The servers of a stack that was killed are ended by the next start, which takes over data and ports."""
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=PROJECT
        )
        assert holder.stdout is not None
        left = json.loads(next(line for line in holder.stdout if line.startswith("{")))
        holder.kill()
        holder.wait()
        pids = all_pids(left["pids"])
        assert all(start_time(pid) for pid in pids)

        with start_servers(load_settings(), tmp_path, fsync=False) as servers:
            assert not any(start_time(pid) for pid in pids)
            assert servers.kafka_bootstrap == left["kafka"]

    @pytest.mark.parametrize("seconds", [0.9, 1.9])
    def test_half_started(self, tmp_path: Path, seconds: float) -> None:
        """A first start that was killed on its way does not hinder the next."""
        holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, cwd=PROJECT)
        time.sleep(seconds)
        holder.kill()
        holder.wait()

        with start_servers(load_settings(), tmp_path, fsync=False) as servers:
            assert set(servers.pids()) == {"kafka", "postgres"}
            assert asyncio.run(clients.query(servers.database_url, "SELECT 1")) == 1
