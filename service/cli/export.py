"""`segments export`: a segment's members into a file."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Annotated, Any, NamedTuple
from uuid import UUID

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from sqlalchemy.ext.asyncio import AsyncConnection

from service.adapters.postgres.exports import stream_members
from service.adapters.postgres.members import count_members
from service.adapters.postgres.segments import PostgresSegments
from service.adapters.workbook import ROWS_MAX, MembersWorkbook, UnwritableFile
from service.app.exports import (
    CSV,
    EXPORT_FIELDS,
    FORMATS,
    XLSX,
    Cells,
    CsvLines,
    Export,
    FieldsError,
    about_export,
    export_fields,
)
from service.app.segments import Segment
from service.bootstrap import DEFAULT_DATA_DIR, open_database
from service.cli.run import CommandError, DataDir, command_settings, fail, run
from service.clock import make_clock
from service.core.identity import UUID_FORM
from service.settings import Settings


def export(
    segment: Annotated[str, typer.Argument(help="The segment's id, or its exact name.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write; - writes CSV to stdout.")],
    format_: Annotated[str, typer.Option("--format", help="csv or xlsx")] = CSV,
    fields: Annotated[
        str | None,
        typer.Option(help=f"Columns, with commas between: {', '.join(EXPORT_FIELDS)}. Default: external_id."),
    ] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Write a segment's current members: a header line and then a line a member, or an Excel workbook."""
    if format_ not in FORMATS:
        fail(f"--format must be {' or '.join(FORMATS)}.")
    if format_ == XLSX and str(output) == "-":
        fail("A workbook cannot go to stdout: name a file with -o, or use --format csv.")
    try:
        columns = export_fields(fields, include_customer_details=False)
    except FieldsError as error:
        fail(f"--fields: {error}.")
    job = _export_csv if format_ == CSV else _export_workbook
    count = run(_export(command_settings(data_dir), segment, job, columns, output))
    typer.echo(f"exported {count} customers", err=True)


class _Job(NamedTuple):
    """What is exported, from where, and who is told how far it is."""

    connection: AsyncConnection
    segment: Segment
    complete_to: int
    columns: tuple[str, ...]
    progress: Callable[[int], None]

    async def rows(self, sources: Iterable[str]) -> AsyncGenerator[Sequence[Sequence[Any]]]:
        """The members, some at a time."""
        count = 0
        async with aclosing(stream_members(self.connection, Export(self.segment.id), sources)) as parts:
            async for rows in parts:
                yield rows
                count += len(rows)
                self.progress(count)


async def _export(
    settings: Settings,
    segment: str,
    write: Callable[[_Job, Path], Coroutine[Any, Any, int]],
    columns: tuple[str, ...],
    output: Path,
) -> int:
    database = open_database(settings, "export", pool_size=1)
    try:
        async with database.snapshot() as connection:
            found = await find_segment(connection, segment)
            now = make_clock(settings.fixed_clock)()
            complete_to = await PostgresSegments(connection).complete_to(now)
            with _bar() as bar:
                task = bar.add_task("export", total=await count_members(connection, found.id))
                progress = partial(_show, bar, task)
                return await write(_Job(connection, found, complete_to, columns, progress), output)
    finally:
        await database.close()


async def _export_csv(job: _Job, output: Path) -> int:
    lines = CsvLines(job.columns, can_read_pii=True)
    count = 0
    with _written(output) as file:
        file.write(lines.header())
        async with aclosing(job.rows(lines.cells.sources)) as parts:
            async for rows in parts:
                file.write(lines.lines(rows))
                count += len(rows)
    return count


async def _export_workbook(job: _Job, output: Path) -> int:
    cells = Cells(job.columns, can_read_pii=True)
    if await count_members(job.connection, job.segment.id) > ROWS_MAX:
        msg = f"A workbook holds at most {ROWS_MAX} customers here: use --format csv."
        raise CommandError(msg)
    _check_place(output)
    with TemporaryDirectory(prefix=f".{output.name}.", dir=output.parent) as folder:
        scratch = Path(folder, "export.xlsx")
        book = MembersWorkbook(scratch, cells)
        try:
            async with aclosing(job.rows(cells.sources)) as parts:
                async for rows in parts:
                    book.add(rows)
            book.close(about_export(job.segment, Export(job.segment.id), job.complete_to, cells.fields, book.rows))
        except UnwritableFile as error:
            msg = f"{output} cannot be written: {error}."
            raise CommandError(msg) from None
        finally:
            book.abandon()
        _take_place(scratch, output)
    return book.rows


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
    _check_place(output)
    scratch = output.with_name(f".{output.name}.part")
    try:
        with scratch.open("w", encoding="utf-8", newline="") as file:
            yield file
        scratch.replace(output)
    finally:
        scratch.unlink(missing_ok=True)


def _check_place(output: Path) -> None:
    if output.is_dir() or not output.parent.is_dir():
        msg = f"{output} cannot be written: name a file in a folder that is there."
        raise CommandError(msg)


def _take_place(scratch: Path, output: Path) -> None:
    scratch.replace(output)


def _show(bar: Progress, task: TaskID, count: int) -> None:
    bar.update(task, completed=count)


def _bar() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, transient=True, disable=not sys.stderr.isatty(), console=Console(stderr=True))
