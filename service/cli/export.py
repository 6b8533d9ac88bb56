"""`segments export`: a segment's members into a file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import IO, Annotated, Final
from uuid import UUID

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from sqlalchemy.ext.asyncio import AsyncConnection

from service.adapters.postgres.members import count_members, stream_members
from service.adapters.postgres.segments import PostgresSegments
from service.app.members import EXPORT_FIELDS, CsvLines, FieldsError, export_fields
from service.app.segments import Segment
from service.bootstrap import DEFAULT_DATA_DIR, open_database
from service.cli.run import CommandError, DataDir, command_settings, fail, run
from service.core.identity import UUID_FORM
from service.settings import Settings

_KNOWN: Final = f"There are {', '.join(EXPORT_FIELDS)}."


def export(
    segment: Annotated[str, typer.Argument(help="The segment's id, or its exact name.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write; - writes to stdout.")],
    format_: Annotated[str, typer.Option("--format", help="csv")] = "csv",
    fields: Annotated[
        str | None,
        typer.Option(help=f"Columns, with commas between: {', '.join(EXPORT_FIELDS)}. Default: external_id."),
    ] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Write a segment's current members, a header line and then a line a member."""
    if format_ != "csv":
        fail("--format must be csv.")
    try:
        columns = export_fields(fields, include_customer_details=False)
    except FieldsError as error:
        fail(f"--fields: {error}.")
    count = run(_export(command_settings(data_dir), segment, CsvLines(columns, can_read_pii=True), output))
    typer.echo(f"exported {count} customers", err=True)


async def _export(settings: Settings, segment: str, lines: CsvLines, output: Path) -> int:
    database = open_database(settings, "export", pool_size=1)
    try:
        async with database.snapshot() as connection:
            found = await find_segment(connection, segment)
            with _bar() as bar, _written(output) as file:
                task = bar.add_task("export", total=await count_members(connection, found.id))
                file.write(lines.header())
                count = 0
                async with aclosing(stream_members(connection, found.id)) as parts:
                    async for members in parts:
                        file.write(lines.lines(members))
                        count += len(members)
                        bar.update(task, completed=count)
            return count
    finally:
        await database.close()


async def find_segment(connection: AsyncConnection, segment: str) -> Segment:
    """The segment of this id or exact name.

    Raises:
        CommandError: there is none, or several have the name.
    """
    store = PostgresSegments(connection)
    segment = segment.encode(errors="replace").decode()  # bytes of the command line that are no UTF-8
    if UUID_FORM.fullmatch(segment) and (found := await store.get(UUID(segment))):
        return found
    named = await store.named(segment)
    if not named:
        msg = f'There is no segment with the id or name "{segment}".'
        raise CommandError(msg)
    if len(named) > 1:
        ids = ", ".join(str(one.id) for one in named)
        msg = f'{len(named)} segments are named "{segment}": name one by its id: {ids}.'
        raise CommandError(msg)
    return named[0]


@contextmanager
def _written(output: Path) -> Iterator[IO[str]]:
    """The file to write; it takes its name when it is whole, so that a broken export leaves none behind."""
    if str(output) == "-":
        yield sys.stdout
        return
    if output.is_dir() or not output.parent.is_dir():
        msg = f"{output} cannot be written: name a file in a folder that is there."
        raise CommandError(msg)
    scratch = output.with_name(f".{output.name}.part")
    try:
        with scratch.open("w", encoding="utf-8", newline="") as file:
            yield file
        scratch.replace(output)
    finally:
        scratch.unlink(missing_ok=True)


def _bar() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, transient=True, disable=not sys.stderr.isatty(), console=Console(stderr=True))
