"""Kafka and PostgreSQL in containers, through testcontainers (the extra `docker`).

The data are in two named volumes that carry a hash of the data directory's path; testcontainers' reaper removes the
containers, never those volumes, should this process die.
"""

from __future__ import annotations

import hashlib
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from service.stack.errors import StackError
from service.stack.kafka import SERVER_PROPERTIES, kafka_answers
from service.stack.maven import KAFKA_VERSION
from service.stack.ports import LOOPBACK
from service.stack.postgres import DATABASE, MAJOR, SETTINGS, USER
from service.stack.processes import POLL_SECONDS

if TYPE_CHECKING:
    from testcontainers.core.container import DockerContainer

POSTGRES_IMAGE = f"postgres:{MAJOR}"
KAFKA_IMAGE = f"apache/kafka:{KAFKA_VERSION}"
KAFKA_PORT, CONTROLLER_PORT = 9092, 9093
START_SECONDS = 120
PROBE_SECONDS = 2
# The address clients use is known only once the container runs, so the broker waits for it in this file.
ADVERTISED = "/tmp/advertised"  # noqa: S108  inside the container
CLUSTER_ID = "5L6g3nShT-eMCtK--X86sw"  # the image's own default


def engine_answers() -> bool:
    """Whether a Docker engine answers and testcontainers is installed; costs milliseconds where there is none."""
    try:
        import testcontainers  # noqa: F401

        client = _client(PROBE_SECONDS)
        try:
            return bool(client.ping())
        finally:
            client.close()
    except Exception:  # not installed, no engine, no right to use it: all the same to us
        return False


def _client(timeout_seconds: int) -> Any:
    return import_module("docker").from_env(timeout=timeout_seconds)  # untyped, and only there with the extra


class _InDocker(ABC):
    """What both servers share: one container at a time over one volume that stays."""

    name: str
    container_port: int

    def __init__(self, data_dir: Path, port: int, password: str = "") -> None:
        self.port = port
        self.stopping = threading.Event()
        self.on_spawn: Callable[[], None] = lambda: None
        self._password = password
        self._volume = f"segments-{hashlib.sha256(str(data_dir).encode()).hexdigest()[:12]}-{self.name}"
        self._container: DockerContainer | None = None
        self._at = ("localhost", port)

    @property
    def ports(self) -> tuple[int, ...]:
        """All ports it listens on."""
        return (self.port,)

    @property  # noqa: B027 - the same for both servers
    def pid(self) -> None:
        """None: the engine's processes are no children of ours."""

    def install(self) -> None:  # noqa: B027 - the same for both servers
        """Nothing: the engine pulls the image when the container starts."""

    def is_running(self) -> bool:
        """Whether the container runs; True while the engine does not tell."""
        if self._container is None:
            return False
        try:
            self._container.reload()
        except Exception as error:
            return type(error).__name__ != "NotFound"
        return self._container.status in ("running", "created", "restarting")

    def start(self) -> None:
        """Run a new container on the same port and volume, and wait until the server answers.

        Raises:
            StackError: the image cannot be had or the server does not start; the message ends with its log.
        """
        self.stop(0)
        try:
            self._container = self._describe()
            self._publish(self._container)
            self._container.start()
            host = self._container.get_container_host_ip()
            self._at = (
                LOOPBACK if host == "localhost" else host,
                self._container.get_exposed_port(self.container_port),
            )
            self._started(self._container)
            self._wait()
        except StackError:
            raise
        except Exception as error:  # of the engine's client or testcontainers, of many kinds
            msg = (
                f"{self.name} did not start in Docker ({error}). Check that the engine can pull its image, "
                "or set SEGMENTS_STACK=embedded for servers without Docker."
            )
            raise StackError(msg) from error

    def _publish(self, container: DockerContainer) -> None:
        from testcontainers.core.config import ConnectionMode

        client = container.get_docker_client()
        here = client.get_connection_mode() is ConnectionMode.docker_host and client.host() == "localhost"
        ports: dict[str, Any] = container.ports
        # On this machine for this machine alone; an engine elsewhere has to be reached from here.
        ports[str(self.container_port)] = (LOOPBACK, self.port) if here else self.port

    def _wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and not self.stopping.is_set() and self.is_running():
            if self._answers():
                return
            time.sleep(POLL_SECONDS)
        output = b"".join(self._container.get_logs()) if self._container else b""
        msg = f"{self.name} did not start in Docker; the end of its log:\n{output[-2000:].decode(errors='replace')}"
        raise StackError(msg)

    @abstractmethod
    def _describe(self) -> DockerContainer:
        """The container, not started yet."""

    def _started(self, container: DockerContainer) -> None:  # noqa: B027 - one of them has something to do
        """Called between the container's start and the wait for the server."""

    @abstractmethod
    def _answers(self) -> bool:
        """Whether the server within takes clients."""

    def stop(self, seconds: float = 4.0) -> None:
        """Stop and remove the container, by force after `seconds`; the volume stays."""
        container, self._container = self._container, None
        if container is None or container._container is None:  # noqa: SLF001  never created
            return
        try:
            if seconds > 0:
                container.get_wrapped_container().stop(timeout=int(seconds))
            container.stop()
        except Exception as error:
            # Gone already, or the engine is: nothing else of ours is left to end.
            if type(error).__name__ not in ("NotFound", "APIError", "ConnectionError"):
                raise

    def discard(self) -> None:
        """Remove the volume with all data; `stop` came before."""
        client = _client(30)
        try:
            client.volumes.get(self._volume).remove(force=True)
        finally:
            client.close()


class DockerPostgres(_InDocker):
    """PostgreSQL from the official image."""

    name = "postgres"
    container_port = 5432

    @property
    def address(self) -> str:
        """Where to connect, as `postgresql://`."""
        host, port = self._at
        return f"postgresql://{USER}:{quote(self._password)}@{host}:{port}/{DATABASE}"

    def _describe(self) -> DockerContainer:
        from testcontainers.community.postgres import PostgresContainer

        outside = {"listen_addresses", "unix_socket_directories"}  # these are the image's business
        options = " ".join(f"-c {name}={value}" for name, value in SETTINGS.items() if name not in outside)
        return (
            PostgresContainer(POSTGRES_IMAGE, username=USER, password=self._password, dbname=DATABASE, driver=None)
            .with_env("POSTGRES_INITDB_ARGS", "--encoding=UTF8 --locale=C")
            .with_volume_mapping(self._volume, "/var/lib/postgresql", "rw")  # the parent, since image 18
            .with_command(f"postgres {options}")
            .with_kwargs(shm_size="512m")
        )

    def _answers(self) -> bool:
        return True  # PostgresContainer.start ran a query


class DockerKafka(_InDocker):
    """Apache Kafka from the project's image."""

    name = "kafka"
    container_port = KAFKA_PORT

    @property
    def address(self) -> str:
        """Where clients connect, as `host:port`."""
        host, port = self._at
        return f"{host}:{port}"

    def _describe(self) -> DockerContainer:
        from testcontainers.core.container import DockerContainer

        properties = dict(line.split("=", 1) for line in SERVER_PROPERTIES.splitlines() if "=" in line)
        properties |= {
            "log.dirs": "/var/lib/kafka/data",
            "listeners": f"CLIENT://0.0.0.0:{KAFKA_PORT},CONTROLLER://localhost:{CONTROLLER_PORT}",
            "listener.security.protocol.map": "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "controller.quorum.voters": f"1@localhost:{CONTROLLER_PORT}",
        }
        script = (
            f"until [ -s {ADVERTISED} ]; do sleep 0.05; done; "
            f"export KAFKA_ADVERTISED_LISTENERS=CLIENT://$(cat {ADVERTISED}); exec /etc/kafka/docker/run"
        )
        container = (
            DockerContainer(KAFKA_IMAGE)
            .with_env("CLUSTER_ID", CLUSTER_ID)
            .with_env("KAFKA_HEAP_OPTS", "-Xms64m -Xmx512m")
            .with_volume_mapping(self._volume, "/var/lib/kafka/data", "rw")
            .with_command(["sh", "-c", script])
        )
        for name, value in properties.items():
            container.with_env("KAFKA_" + name.upper().replace(".", "_"), value)
        return container

    def _started(self, container: DockerContainer) -> None:
        container.copy_into_container(self.address.encode(), ADVERTISED)

    def _answers(self) -> bool:
        return kafka_answers(*self._at)
