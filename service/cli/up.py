"""`segments up`: the whole product in the foreground."""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final

import typer
from pydantic import SecretStr

from service.adapters.kafka.topics import create_topics
from service.app.tokens import Permission, TokenRules
from service.bootstrap import CAMPAIGN_SECRET_FILE, DEFAULT_DATA_DIR, SECRET_FILE, shared_settings
from service.cli.demo import require_demo, start_demo
from service.cli.run import CommandError, expected_errors
from service.cli.schema import migrate_schema
from service.logs import configure_logs
from service.settings import Settings, load_settings
from service.stack.mailbox import MailSink
from service.stack.servers import Servers, start_servers
from service.stack.state import write_private, write_stack_file
from service.stack.supervisor import RoleSpec, Supervisor, stop_on_signals

READY_SECONDS_MAX: Final = 60
ADMIN_DAYS: Final = 366
DEMO_SECONDS_MAX: Final = 3
WORKERS_MAX: Final = 64
#: One worker leaves a core idle while it waits for the database; two keep two cores busy.
WORKERS: Final = 2
STACK_FILE: Final = "stack.json"
HOST: Final = "127.0.0.1"
SEGMENTS_PATH: Final = "/api/customer-segments"


def up(
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Port of the HTTP API.")] = 8000,
    data_dir: Annotated[Path, typer.Option(help="Where servers, logs and stack.json live.")] = DEFAULT_DATA_DIR,
    demo: Annotated[bool, typer.Option("--demo", help="Stream a year of grocery baskets through it.")] = False,
    workers: Annotated[int, typer.Option(min=1, max=WORKERS_MAX, help="How many consume processes.")] = WORKERS,
) -> None:
    """Bring up the whole product: Kafka and PostgreSQL where none are named, schema, topics, all roles."""
    with expected_errors():
        _up(port, data_dir, demo, workers)


def _up(port: int, data_dir: Path, demo: bool, workers: int) -> None:
    settings = load_settings()
    if demo:
        require_demo(settings)
    configure_logs("console" if sys.stderr.isatty() else settings.log_format, "WARNING", "up")
    stop = stop_on_signals()
    _check_port(port)
    typer.echo("starting the servers (the first start downloads them) ...")
    servers = start_servers(settings, data_dir)
    api_url = f"http://{HOST}:{port}"
    sink = MailSink.on(servers.data) if settings.smtp_url is None else None
    settings = settings.model_copy(
        update={
            "database_url": SecretStr(servers.database_url),
            "kafka_bootstrap": servers.kafka_bootstrap,
            "jwt_secret": SecretStr(_stack_secret(data_dir / SECRET_FILE, settings.jwt_secret)),
            "campaign_secret": SecretStr(_stack_secret(data_dir / CAMPAIGN_SECRET_FILE, settings.campaign_secret)),
            "smtp_url": SecretStr(sink.smtp_url) if sink else settings.smtp_url,
            "public_url": settings.public_url or api_url,
        }
    )
    stack = _Stack(settings, servers, data_dir, api_url, sink)
    with Supervisor(stack.roles(port, workers), servers, stack.report) as supervisor:
        asyncio.run(_prepare(settings))
        supervisor.start()
        supervisor.wait_for(stack.is_ready, READY_SECONDS_MAX, stop)
        stack.report(supervisor.pids())
        stack.print_ready()
        thread = start_demo(settings, data_dir, stack.api_url, stack.admin_token, stop) if demo else None
        supervisor.run(stop)
        if thread:
            thread.join(DEMO_SECONDS_MAX)
        typer.echo("stopping ...")


def _check_port(port: int) -> None:
    """Refuses a port that is taken: another program's answers must not pass for ours."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            msg = f"--port {port}: cannot be had ({error.strerror}); name another one."
            raise CommandError(msg) from None


async def _prepare(settings: Settings) -> None:
    await migrate_schema(settings)
    await create_topics(settings)


def _stack_secret(path: Path, given: SecretStr | None) -> str:
    """A secret of the stack, kept with its data: the one given, else made once."""
    if given is not None:
        write_private(path, given.get_secret_value())
    elif not path.exists():
        write_private(path, secrets.token_urlsafe(48))
    return path.read_text().strip()


class _Stack:
    """What is told about the stack: to the roles, to stack.json, to the person in front of it."""

    def __init__(
        self, settings: Settings, servers: Servers, data_dir: Path, api_url: str, sink: MailSink | None
    ) -> None:
        self._settings, self._servers, self._data_dir, self.api_url = settings, servers, data_dir, api_url
        self._sink = sink
        secret = settings.jwt_secret
        assert secret is not None  # noqa: S101 - set by _up
        rules = TokenRules(secret, settings.jwt_issuer, settings.jwt_audience)
        self.admin_token = rules.issue("admin", "Administrator", list(Permission), ADMIN_DAYS * 86_400)

    def roles(self, port: int, workers: int) -> list[RoleSpec]:
        """The processes to keep running."""
        env = {
            "SEGMENTS_DATABASE_URL": self._servers.database_url,
            "SEGMENTS_KAFKA_BOOTSTRAP": self._servers.kafka_bootstrap,
            "SEGMENTS_PUBLIC_URL": self._settings.public_url or self.api_url,
        }
        for name in ("jwt_secret", "campaign_secret", "smtp_url"):
            env["SEGMENTS_" + name.upper()] = self._secret(name)
        command = [sys.executable, "-m", "service.cli.main"]
        mail = [RoleSpec("mail", self._sink.command)] if self._sink else []
        return [
            *mail,
            RoleSpec("serve", [*command, "serve", "--port", str(port)], env),
            RoleSpec("consume", [*command, "consume"], env, count=workers),
            RoleSpec("relay", [*command, "relay"], env),
            RoleSpec("timers", [*command, "timers"], env),
            RoleSpec("dispatch", [*command, "dispatch"], env),
        ]

    def _secret(self, name: str) -> str:
        value = getattr(self._settings, name)
        assert value is not None  # noqa: S101 - set by _up
        return str(value.get_secret_value())

    def is_ready(self) -> bool:
        """Whether the API says so, of the consumers too, and somebody takes mails."""
        if self._sink is not None and not self._sink.answers():
            return False
        try:
            with urllib.request.urlopen(self.api_url + "/readyz", timeout=2) as answer:  # noqa: S310 - our own
                return set(json.load(answer)["data"]["checks"].values()) == {"ok"}
        except (OSError, urllib.error.URLError):
            return False

    def report(self, pids: Mapping[str, Sequence[int]]) -> None:
        """Writes stack.json anew."""
        write_stack_file(
            self._data_dir,
            {
                "api_url": self.api_url,
                "kafka_bootstrap": self._servers.kafka_bootstrap,
                "database_url": self._servers.database_url,
                "smtp_url": self._secret("smtp_url"),
                **({"inbox_url": self._sink.inbox_url} if self._sink else {}),
                "admin_token": self.admin_token,
                "pids": pids,
                "settings": shared_settings(self._settings),
            },
        )

    def print_ready(self) -> None:
        """The lines a new user needs."""
        typer.echo(f"API        {self.api_url}/docs")
        typer.echo(f"Kafka      {self._servers.kafka_bootstrap}")
        if self._sink is not None:
            typer.echo(f"mail       {self._sink.inbox_url}")
        typer.echo(f"stack      {self._data_dir / STACK_FILE}")
        typer.echo(f"try it     curl -H 'Authorization: Bearer {self.admin_token}' {self.api_url}{SEGMENTS_PATH}")
        typer.echo(f"ready: {self.api_url}")
        sys.stdout.flush()
