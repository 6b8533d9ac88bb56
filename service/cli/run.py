"""What every command shares: settings, one clear sentence for an expected error, JSON output."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from aiokafka.errors import KafkaError
from asyncpg import PostgresError
from rich.console import Console
from sqlalchemy.exc import SQLAlchemyError

from service.bootstrap import DEFAULT_DATA_DIR, settings_for_command
from service.crash import arm
from service.logs import configure_logs
from service.settings import Settings, SettingsError
from service.stack.errors import StackError
from service.tracing import tracing

DataDir = Annotated[Path, typer.Option("--data-dir", help="Folder of a stack started with `segments up`.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]

#: Into a file or pipe lines are as long as they need to be.
console = Console(width=None if sys.stdout.isatty() else 240)


class CommandError(Exception):
    """The command cannot do what it was asked; the message is the sentence to print."""


def fail(message: str) -> NoReturn:
    """Prints one sentence on stderr and ends with exit code 1."""
    typer.echo(message, err=True)
    raise typer.Exit(1)


def command_settings(data_dir: Path = DEFAULT_DATA_DIR) -> Settings:
    """Settings of a command; an unusable one ends it."""
    try:
        settings = settings_for_command(data_dir)
    except SettingsError as error:
        fail(str(error))
    return settings


@contextmanager
def expected_errors() -> Iterator[None]:
    """An expected error ends the command with one sentence and exit code 1; others keep their traceback."""
    try:
        yield
    except (CommandError, SettingsError, StackError) as error:
        fail(str(error))
    except KafkaError as error:
        fail(f"Kafka does not do what it was asked: {error or type(error).__name__}. Check SEGMENTS_KAFKA_BOOTSTRAP.")
    except (PostgresError, SQLAlchemyError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        fail(f"PostgreSQL does not do what it was asked: {first}")
    except OSError as error:
        fail(f"A server or file is out of reach: {error}")
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def run(job: Coroutine[Any, Any, Any]) -> Any:
    """Runs a command's job; an expected error ends it with one sentence."""
    with expected_errors():
        return asyncio.run(job)


def run_role(role: str, work: Callable[[Settings, asyncio.Event], Awaitable[None]]) -> None:
    """Runs one role until SIGTERM or SIGINT; what is in flight is finished."""
    settings = command_settings()
    configure_logs(settings.log_format, settings.log_level, role)
    arm(settings.crash_at)

    async def until_stopped() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await work(settings, stop)

    with tracing(settings.otel_exporter_otlp_endpoint, role):
        run(until_stopped())


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")
