"""`segments export-definitions` and `segments import-definitions`: segments, pins and campaigns as a file, and back."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from service.adapters.kafka.groups import GroupActiveError, move_offsets
from service.adapters.kafka.membership_log import read_log
from service.adapters.kafka.offsets import OffsetReader
from service.adapters.postgres.definitions import PostgresDefinitions, read_definitions
from service.adapters.status import look
from service.app.definitions import Definitions, DefinitionsError, decode_definitions, encode_definitions
from service.app.definitions_import import Imported, import_campaigns, import_segments, pin_groups
from service.app.pins import Contention, PinReport, pin_customers
from service.app.recover import Aligned, RecoveryOver, align
from service.app.segments import SegmentConflict
from service.bootstrap import DEFAULT_DATA_DIR, Runtime, open_database, open_runtime
from service.cli.aside import consumers_aside, owner_of
from service.cli.run import AsJson, CommandError, DataDir, command_settings, print_json, run
from service.core import instants
from service.settings import Settings

FILE_BYTES_MAX: Final = 268_435_456
LOOK_SECONDS: Final = 1.0
#: Timers that are due and do not become fewer for so long are not waited for.
DUE_SECONDS_MAX: Final = 60.0


def export_definitions(
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write; - writes to stdout.")] = Path("-"),
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Write all segments with their ids, criteria, versions and pins, and all campaigns as JSON, one line each."""
    definitions = run(_export(command_settings(data_dir)))
    encoded = encode_definitions(definitions)
    if str(output) == "-":
        sys.stdout.buffer.write(encoded)
        sys.stdout.buffer.flush()
    else:
        part = output.with_name(f".{output.name}.{os.getpid()}")
        try:
            part.touch(0o600)  # external ids may be e-mails
            part.write_bytes(encoded)
            part.replace(output)
        except OSError as error:
            raise typer.Exit(_failed(f"{output}: cannot be written: {error.strerror}.")) from None
    pins = sum(len(one.pins) for one in definitions.segments)
    told = f"{len(definitions.segments)} segments with {pins} pins and {len(definitions.campaigns)} campaigns"
    typer.echo(f"exported {told}", err=True)


def import_definitions(
    file: Annotated[Path, typer.Argument(help="What export-definitions wrote; - reads stdin.")],
    emit: Annotated[str, typer.Option(help="none: joins that the definitions cause are not published.")] = "all",
    recover: Annotated[
        bool,
        typer.Option(
            "--recover",
            help="Into a database that was lost: read the input topics from the start, publish nothing that was"
            " published before, and go on where the membership topic ends.",
        ),
    ] = False,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Take segments, pins and campaigns over from a file; ids stay. What is here and the same is left as it is.

    Campaigns that were under way come as drafts, so that nothing is sent before somebody begins them here.
    """
    if emit not in ("all", "none"):
        raise typer.Exit(_failed("--emit must be all or none."))
    settings = command_settings(data_dir)
    definitions = _read(file)
    answer = run(_recover(settings, definitions) if recover else _import(settings, definitions, emit == "none"))
    if as_json:
        print_json(answer)
        return
    for name, value in answer.items():
        typer.echo(f"{name.replace('_', ' ')}: {value}")


def _failed(message: str) -> int:
    typer.echo(message, err=True)
    return 1


def _read(file: Path) -> Definitions:
    try:
        with sys.stdin.buffer if str(file) == "-" else file.open("rb") as source:
            raw = source.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise typer.Exit(_failed(f"{file}: cannot be read: {error.strerror}.")) from None
    if len(raw) > FILE_BYTES_MAX:
        raise typer.Exit(_failed(f"{file}: is larger than {FILE_BYTES_MAX} bytes."))
    try:
        return decode_definitions(raw)
    except DefinitionsError as error:
        raise typer.Exit(_failed(f"{file}: {error}")) from None


async def _export(settings: Settings) -> Definitions:
    database = open_database(settings, "definitions", pool_size=1)
    try:
        async with database.snapshot() as connection:
            return await read_definitions(connection)
    finally:
        await database.close()


async def _import(settings: Settings, definitions: Definitions, is_silent: bool) -> dict[str, Any]:
    async with open_runtime(settings, "definitions", is_hot=False) as runtime:
        answer = await _put_segments(runtime, definitions, is_silent=is_silent)
        return answer | await _put_pins(runtime, definitions)


async def _put_segments(runtime: Runtime, definitions: Definitions, *, is_silent: bool) -> dict[str, Any]:
    async with runtime.database.transaction() as connection:
        store = PostgresDefinitions(connection)
        try:
            done = await import_segments(store, runtime.clock, definitions, is_silent=is_silent)
            put = await import_campaigns(store, definitions)
        except (DefinitionsError, SegmentConflict) as error:
            raise CommandError(str(error)) from None
    return _told(done, put)


def _told(segments: Imported, campaigns: Imported) -> dict[str, Any]:
    return {
        "segments_created": len(segments.created),
        "segments_unchanged": segments.unchanged,
        "campaigns_created": len(campaigns.created),
        "campaigns_unchanged": campaigns.unchanged,
    }


async def _put_pins(runtime: Runtime, definitions: Definitions) -> dict[str, Any]:
    report = PinReport()
    with _progress("pins", sum(len(one.pins) for one in definitions.segments)) as advance:
        async with runtime.database.transaction() as connection:
            names, since = await PostgresDefinitions(connection).names_and_now()
        for change, customers, made_at in pin_groups(definitions, names, time.time_ns() // 1_000):
            try:
                report.add(await pin_customers(runtime.batches, runtime.clock, change, customers))
            except Contention:
                msg = "Others kept changing the same customers; the same command goes on where this one ended."
                raise CommandError(msg) from None
            async with runtime.database.transaction() as connection:
                ids = [one.customer_id for one in customers]
                await PostgresDefinitions(connection).stamp_pins(change.segment_id, ids, made_at, since)
            advance(len(customers))
    put = report.added + report.removed
    return {
        "pins_put": put,
        "pins_unchanged": report.unchanged,
        "pins_of_unknown_customers": report.unknown,
        "pins_of_erased_customers": report.erased,
    }


async def _recover(settings: Settings, definitions: Definitions) -> dict[str, Any]:
    """Every step may be done again, so that a recovery that was cut short goes on with the same command."""
    async with open_runtime(settings, "definitions", is_hot=False) as runtime:
        async with consumers_aside(settings, runtime.database, owner_of("import-definitions")):
            async with OffsetReader(settings) as reader:
                await reader.partitions(settings.membership_topic)  # which is read at the end, and must be there
                read_to = await reader.committed(settings.consumer_group)
                begins = await reader.begins(*settings.input_topics)
            answer = await _begin(runtime, definitions, read_to)
            try:
                await move_offsets(settings, begins)
            except GroupActiveError:
                msg = "A consumer came back too early; the same command goes on where this one ended."
                raise CommandError(msg) from None
        await _until_applied(runtime)
        answer |= await _put_pins(runtime, definitions)
        aligned = await _align(runtime)
    return answer | {
        "memberships_as_published": aligned.agreed,
        "memberships_renumbered": aligned.renumbered,
        "changes_published": aligned.published,
        "memberships_forgotten": aligned.forgotten,
    }


async def _begin(runtime: Runtime, definitions: Definitions, read_to: Mapping[tuple[str, int], int]) -> dict[str, Any]:
    async with runtime.database.transaction() as connection:
        store = PostgresDefinitions(connection)
        try:
            # From the first instant on: the membership that is lost knew them all along.
            done = await import_segments(
                store, lambda: instants.INSTANT_MIN, definitions, is_silent=False, is_recovering=True
            )
            put = await import_campaigns(store, definitions)
        except DefinitionsError as error:
            raise CommandError(str(error)) from None
        if done.unchanged and not await store.is_recovering():
            msg = "Nothing was imported: --recover is for a database without segments, and here are some already."
            raise CommandError(msg)
        if await store.others([one.id for one in definitions.segments]):
            msg = "Nothing was imported: --recover is for a database without segments, and here are others."
            raise CommandError(msg)
        await store.begin_recovery(read_to)
    return _told(done, put)


async def _until_applied(runtime: Runtime) -> None:
    """Waits until all input that there was is applied, and what time and definitions changed since.

    Timers that stand still are those of customers who were set aside; they do not hold everybody else up.
    """
    async with OffsetReader(runtime.settings) as reader:
        with _progress("input", None) as advance:
            before: int | None = None
            due, moved_at = -1, time.monotonic()
            while True:
                status = await look(runtime.settings, runtime.database, reader, runtime.clock)
                lag = sum(count for partitions in status.lag.values() for count in partitions.values())
                advance(max(0, (lag if before is None else before) - lag))
                before = lag
                if status.due_timers != due or lag:
                    due, moved_at = status.due_timers, time.monotonic()
                busy = [one for one in status.busy() if one != f"{due} due timers"]
                if not busy and (not due or time.monotonic() - moved_at > DUE_SECONDS_MAX):
                    return
                await asyncio.sleep(LOOK_SECONDS)


async def _align(runtime: Runtime) -> Aligned:
    with _progress("membership topic", None) as advance:
        async with runtime.batches.recovery() as store:
            log = read_log(runtime.settings, advance)
            try:
                return await align(store, log, runtime.clock(), time.time_ns() // 1_000)
            except RecoveryOver:
                msg = "Another command has ended the recovery meanwhile; nothing is left to do."
                raise CommandError(msg) from None


@contextmanager
def _progress(what: str, total: int | None) -> Iterator[Any]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(what, total=total)
        yield lambda count: bar.advance(task, count)
