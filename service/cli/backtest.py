"""`segments backtest`: whom would a definition have had?"""

from __future__ import annotations

import sys
from contextlib import aclosing
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from service.adapters.postgres.backtest import backtest_store
from service.adapters.postgres.known_segments import SegmentsUnusable
from service.adapters.postgres.segments import PostgresSegments
from service.app import backtest as use_case
from service.app.backtest import STEP_DEFAULT, STEPS_MAX, SpanError, Step
from service.app.exact_json import JsonError, dumps, loads
from service.bootstrap import DEFAULT_DATA_DIR, open_database
from service.cli.run import AsJson, CommandError, DataDir, command_settings, console, run
from service.clock import make_clock
from service.core import instants
from service.core.criteria.parse import CriteriaError
from service.settings import Settings

#: Far more than criteria within their limits take.
FILE_BYTES_MAX: Final = 16_777_216


def backtest(
    criteria: Annotated[str, typer.Argument(metavar="CRITERIA.json", help="A criteria object; - is stdin.")],
    first: Annotated[str, typer.Option("--from", help="A date (its start, in UTC) or an instant with offset.")],
    last: Annotated[str, typer.Option("--to", help="As --from; not after now.")],
    step: Annotated[str, typer.Option(help=f"1w, 1d, 12h, 30m; at most {STEPS_MAX} steps.")] = STEP_DEFAULT,
    members: Annotated[bool, typer.Option("--members", help="With the external ids of the members.")] = False,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Show whom criteria would have had at each step of a span of the past, from the facts; stores nothing.

    joined and left count against the step before.
    """
    settings = command_settings(data_dir)
    shown = _Json() if as_json else _Table(has_members=members)
    run(_backtest(settings, criteria, (first, last, step), shown, has_members=members))


async def _backtest(
    settings: Settings, file: str, span: tuple[str, str, str], shown: _Json | _Table, *, has_members: bool
) -> None:
    try:
        moments = use_case.moments_of(*span, make_clock(settings.fixed_clock)())
    except SpanError as error:
        msg = f"--{error.field}: {error}."
        raise CommandError(msg) from None
    criteria = _criteria_in(file)
    database = open_database(settings, "backtest", pool_size=1)
    try:
        async with backtest_store(database) as store:
            segments = PostgresSegments(store.connection)
            steps = use_case.backtest(store, segments, criteria, moments, has_members=has_members)
            async with aclosing(steps):
                with _bar() as bar:
                    task = bar.add_task("backtest", total=len(moments))
                    async for step in steps:
                        shown.take(step)
                        bar.advance(task)
    except (CriteriaError, SegmentsUnusable) as error:
        msg = f"{error}."
        raise CommandError(msg) from None
    finally:
        await database.close()
    shown.end()


def _criteria_in(file: str) -> Any:
    """The JSON in a file, or in stdin.

    Raises:
        CommandError: there is none.
    """
    if file == "-":
        raw = sys.stdin.buffer.read(FILE_BYTES_MAX + 1)
    elif Path(file).is_file():
        with Path(file).open("rb") as source:
            raw = source.read(FILE_BYTES_MAX + 1)
    else:
        msg = f"{file} is no file: name one that holds a criteria object, or - for stdin."
        raise CommandError(msg)
    if len(raw) > FILE_BYTES_MAX:
        msg = f"{file} must not be larger than {FILE_BYTES_MAX} bytes."
        raise CommandError(msg)
    try:
        return loads(raw, allow_repeats=False)
    except JsonError as error:
        msg = f"{file}: {error}."
        raise CommandError(msg) from None


class _Json:
    """Prints one JSON document, step by step, so that memory does not grow with the members of all steps."""

    def __init__(self) -> None:
        self._lead = b'{"steps": [\n'

    def take(self, step: Step) -> None:
        """Prints a step."""
        sys.stdout.write((self._lead + dumps(step.to_json())).decode())
        self._lead = b",\n"

    def end(self) -> None:
        """Prints what ends the document; there is at least one step."""
        sys.stdout.write("\n]}\n")


class _Table:
    """Collects the steps in a table and prints it."""

    def __init__(self, *, has_members: bool) -> None:
        self._table = Table("at")
        for column in ("members", "joined", "left"):
            self._table.add_column(column, justify="right")
        if has_members:
            self._table.add_column("who", overflow="fold")

    def take(self, step: Step) -> None:
        """Notes a step."""
        who = [] if step.members is None else [Text(", ".join(step.members))]
        self._table.add_row(instants.to_text(step.at), str(step.count), str(step.joined), str(step.left), *who)

    def end(self) -> None:
        """Prints the table."""
        console.print(self._table)


def _bar() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, transient=True, disable=not sys.stderr.isatty(), console=Console(stderr=True))
