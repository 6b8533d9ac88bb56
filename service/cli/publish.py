"""`segments publish`: NDJSON of CloudEvents, Segment calls or Shopify webhooks to the input topics."""

from __future__ import annotations

import asyncio
import gzip
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Annotated, Any, Final

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from service.adapters.kafka.publisher import BatchPublisher
from service.adapters.kafka.sender import open_publisher
from service.app.publishing import address_of
from service.bootstrap import DEFAULT_DATA_DIR
from service.cli.run import CommandError, DataDir, command_settings, fail, run
from service.settings import Settings

LINES_A_FLUSH: Final = 2_000
FLUSHES_A_SECOND: Final = 50


def publish(
    files: Annotated[list[str], typer.Argument(help="NDJSON files, .gz as well; - reads stdin.")],
    topic: Annotated[str | None, typer.Option(help="Send everything to this topic.")] = None,
    rate: Annotated[
        float | None, typer.Option(min=0.1, help="Events a second; as fast as it goes if left out.")
    ] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Publish CloudEvents in structured JSON, keyed by customer, in file order.

    Segment calls and Shopify webhooks as {"topic": ..., "payload": ...} are published too.
    """
    for name in files:
        if name != "-" and not Path(name).is_file():
            fail(f"{name}: is not a file that can be read.")
    run(_publish(command_settings(data_dir), files, topic, rate))


async def _publish(settings: Settings, files: list[str], topic: str | None, rate: float | None) -> None:
    async with open_publisher(settings) as publisher:
        started = time.perf_counter()
        with _bar() as bar:
            task = bar.add_task("publish", total=None)
            count = await _send(settings, publisher, files, topic, rate, lambda sent: bar.update(task, completed=sent))
            bar.update(task, total=count)
        seconds = time.perf_counter() - started
    typer.echo(f"published {count} events in {seconds:.2f} s ({count / max(seconds, 1e-9):.0f} events/s)")


def _bar() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, transient=True, disable=not sys.stderr.isatty(), console=None)


async def _send(
    settings: Settings, publisher: BatchPublisher, files: list[str], topic: str | None, rate: float | None, tell: Any
) -> int:
    a_flush = LINES_A_FLUSH if rate is None else max(1, min(LINES_A_FLUSH, int(rate / FLUSHES_A_SECOND)))
    started = time.perf_counter()
    count = 0
    for line in _lines(files):
        address = address_of(line)
        target = topic or (settings.customers_topic if address.is_of_customers else settings.orders_topic)
        await publisher.add(target, address.key, line, address.headers)
        count += 1
        if count % a_flush == 0:
            await publisher.flush()
            tell(count)
            if rate is not None:
                await asyncio.sleep(max(0.0, started + count / rate - time.perf_counter()))
    await publisher.flush()
    return count


def _lines(files: list[str]) -> Iterator[bytes]:
    for name in files:
        with _open(name) as file:
            try:
                for line in file:
                    stripped = line.rstrip(b"\r\n")
                    if stripped:
                        yield stripped
            except (gzip.BadGzipFile, EOFError) as error:
                msg = f"{name}: is not a whole gzip file ({error}); what came before was published."
                raise CommandError(msg) from None


def _open(name: str) -> IO[bytes]:
    if name == "-":
        return sys.stdin.buffer
    return gzip.open(name) if name.endswith(".gz") else Path(name).open("rb")  # type: ignore[return-value]
