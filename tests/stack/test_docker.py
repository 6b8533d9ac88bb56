"""Which kind of servers is chosen, and what the Docker engine is asked for. No engine runs here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from unittest.mock import MagicMock

import pytest

from service.settings import load_settings
from service.stack import docker, servers
from service.stack.errors import StackError
from service.stack.servers import start_servers
from tests.stack.fakes import FakeServer

core = pytest.importorskip("testcontainers.core.container")


@pytest.fixture
def kinds(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Lets an engine answer or not, run servers or not; gives the kinds that were tried, in order."""
    tried: list[str] = []

    def arrange(*, answers: bool, runs: bool = True) -> list[str]:
        monkeypatch.setenv("SEGMENTS_STACK", "auto")
        monkeypatch.setattr(servers, "engine_answers", lambda: answers)

        def make(data_dir: Path, names: list[str], memory: dict[str, str], *_: object) -> dict[str, FakeServer]:
            tried.append(memory["kind"])
            made = {name: FakeServer() for name in names}
            for server in made.values():
                server.failures = 0 if runs or memory["kind"] == "embedded" else 9
            return made

        monkeypatch.setattr(servers, "_make", make)
        return tried

    return arrange


class TestChoice:
    """Settings, else Docker, else embedded."""

    def test_docker_where_an_engine_answers(self, kinds: Callable[..., list[str]], tmp_path: Path) -> None:
        """With an engine the servers run in Docker, and the directory stays with that."""
        tried = kinds(answers=True)
        start_servers(load_settings(), tmp_path).stop()
        start_servers(load_settings(), tmp_path).stop()

        assert tried == ["docker", "docker"]
        kinds(answers=False)
        with pytest.raises(StackError, match=r"run in Docker, and no Docker engine answers.*SEGMENTS_STACK=embedded"):
            start_servers(load_settings(), tmp_path)

    def test_embedded_without_one(self, kinds: Callable[..., list[str]], tmp_path: Path) -> None:
        """Without an engine the servers are embedded, and stay so when Docker comes later: the data are there."""
        tried = kinds(answers=False)
        start_servers(load_settings(), tmp_path).stop()
        kinds(answers=True)
        start_servers(load_settings(), tmp_path).stop()

        assert tried == ["embedded", "embedded"]

    def test_engine_that_cannot_run_them(self, kinds: Callable[..., list[str]], tmp_path: Path) -> None:
        """An engine that answers but cannot run the servers, as without access to images, is passed over."""
        tried = kinds(answers=True, runs=False)
        start_servers(load_settings(), tmp_path).stop()

        assert tried == ["docker", "embedded"]

    def test_engine_that_must_run_them(
        self, kinds: Callable[..., list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With SEGMENTS_STACK=docker there is no way round it, and the directory is free again afterwards."""
        tried = kinds(answers=True, runs=False)
        monkeypatch.setenv("SEGMENTS_STACK", "docker")
        for _ in range(2):
            with pytest.raises(StackError, match="not yet"):
                start_servers(load_settings(), tmp_path)

        assert tried == ["docker", "docker"]


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> MagicMock:
    """testcontainers' client of an engine on this machine, which says yes to everything."""
    from testcontainers.core.config import ConnectionMode, testcontainers_config

    client = MagicMock()
    client.get_connection_mode.return_value = ConnectionMode.docker_host
    client.host.return_value = "localhost"
    client.port.return_value = 25_555
    container = client.create.return_value
    container.status, container.id = "running", "c0ffee"
    container.exec_run.return_value = core.BytesExecResult(0, b"")
    monkeypatch.setattr(core, "DockerClient", lambda **_: client)
    monkeypatch.setattr(testcontainers_config, "ryuk_disabled", True)
    return client


class TestContainers:
    """What testcontainers is asked for."""

    def test_kafka(self, engine: MagicMock, monkeypatch: pytest.MonkeyPatch) -> None:
        """The broker gets the embedded one's settings, a fixed loopback port, and the address that clients use."""
        monkeypatch.setattr(docker, "kafka_answers", lambda host, port: (host, port) == ("127.0.0.1", 25_555))
        kafka = docker.DockerKafka(Path("/data dir"), 25_555)
        kafka.start()
        asked = engine.create.call_args.kwargs
        archive = engine.create.return_value.put_archive.call_args.kwargs["data"]

        assert kafka.address == "127.0.0.1:25555"
        assert asked["ports"] == {"9092": ("127.0.0.1", 25_555)}
        assert asked["environment"]["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
        assert asked["environment"]["KAFKA_LOG_DIRS"] == "/var/lib/kafka/data"
        assert b"127.0.0.1:25555" in (archive if isinstance(archive, bytes) else archive.read())
        kafka.stop(2)
        engine.create.return_value.stop.assert_called_once_with(timeout=2)

    def test_postgres(self, engine: MagicMock) -> None:
        """PostgreSQL gets the embedded one's settings and keeps its data in a named volume."""
        postgres = docker.DockerPostgres(Path("/data dir"), 25_555, "secret")
        postgres.start()
        asked = engine.create.call_args.kwargs

        assert postgres.address == "postgresql://segments:secret@127.0.0.1:25555/segments"
        assert "-c jit=off" in asked["command"]
        assert [mount["bind"] for mount in asked["volumes"].values()] == ["/var/lib/postgresql"]
        assert postgres.is_running()
        engine.create.return_value.status = "exited"
        assert not postgres.is_running()
