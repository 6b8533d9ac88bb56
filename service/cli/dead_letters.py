"""`segments dead-letters`: what was set aside, and why; and publishing it again."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Annotated, Any, Final

import typer
from rich.table import Table

from service.adapters.kafka.sender import open_publisher
from service.adapters.postgres.letters import letter_by_id, page_of_letters, redriving
from service.app.letters import (
    ID_MAX,
    REDRIVES,
    REDRIVES_MAX,
    Letter,
    LetterFilter,
    Redrive,
    RedriveRefused,
    RedriveReport,
    RedriveUnderWay,
    letter_json,
    redrive,
)
from service.bootstrap import DEFAULT_DATA_DIR, open_database
from service.cli.run import AsJson, CommandError, DataDir, command_settings, console, fail, print_json, run
from service.core import instants
from service.settings import Settings

app = typer.Typer(help="Records that could not be applied: list, show, publish again.", no_args_is_help=True)

LIMIT_MAX: Final = 10_000
COLUMNS: Final = ("id", "reason", "topic", "partition", "offset", "at", "redriven_at", "error")

Reason = Annotated[str | None, typer.Option(help="Only of this reason.")]
Topic = Annotated[str | None, typer.Option(help="Only from this topic.")]
Since = Annotated[str | None, typer.Option(help="Only set aside at or after this instant.")]


@app.command("list")
def list_letters(
    reason: Reason = None,
    topic: Topic = None,
    since: Since = None,
    limit: Annotated[int, typer.Option(min=1, max=LIMIT_MAX, help="How many at most.")] = 100,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """List dead letters, newest first."""
    wanted = LetterFilter(reason, topic, _instant(since))
    found, total = run(_page(command_settings(data_dir), wanted, limit))
    items = [letter_json(one) for one in found]
    if as_json:
        print_json({"items": items, "total": total})
        return
    table = Table(*COLUMNS)
    for one in items:
        table.add_row(*("" if one[name] is None else str(one[name]) for name in COLUMNS))
    console.print(table)
    console.print(f"{len(items)} of {total}")


@app.command("show")
def show_letter(
    letter_id: Annotated[int, typer.Argument(min=1, max=ID_MAX, help="The id that `list` gives.")],
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Show one dead letter with its key, headers and bytes."""
    letter: Letter | None = run(_letter(command_settings(data_dir), letter_id))
    if letter is None:
        fail(f"There is no dead letter {letter_id}.")
    value = letter.value
    answer = {**letter_json(letter), "key": _text(letter.key), "headers": letter.headers, "value": _text(value)}
    answer["value_base64"] = None if value is None else base64.b64encode(value).decode()
    if as_json:
        print_json(answer)
        return
    for name, content in answer.items():
        if name != "value_base64":
            typer.echo(f"{name}: {content}")


@app.command("redrive")
def redrive_letters(
    letter_ids: Annotated[
        list[int] | None, typer.Argument(min=1, max=ID_MAX, metavar="[ID]...", help="Ids that `list` gives.")
    ] = None,
    reason: Reason = None,
    topic: Topic = None,
    since: Since = None,
    limit: Annotated[int, typer.Option(min=1, max=REDRIVES_MAX, help="How many at most, oldest first.")] = REDRIVES,
    again: Annotated[bool, typer.Option("--again", help="Also those that were redriven before.")] = False,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Publish dead letters again, as they came, to the topic they came from.

    Acts at once, on the letters with these ids or on all that the filter finds and that were not redriven yet. What
    fails again becomes a new dead letter; what was applied meanwhile changes nothing. A crash on the way may publish
    some a second time, which changes nothing either.
    """
    wanted = LetterFilter(reason, topic, _instant(since))
    asked = Redrive(letter_ids or (), wanted, limit, again)
    report: RedriveReport = run(_redrive(command_settings(data_dir), asked))
    if as_json:
        print_json(report.as_json())
    else:
        _print(report)
    if report.refused:
        fail(" ".join(why for _, why in report.refused))


def _print(report: RedriveReport) -> None:
    shown = ", ".join(map(str, report.redriven[:20]))
    more = ", ..." if len(report.redriven) > 20 else ""
    console.print(f"redriven: {len(report.redriven)}{f' ({shown}{more})' if shown else ''}")
    if report.waiting:
        console.print(f"{report.waiting} more of these were not redriven yet; repeat the command, or raise --limit.")
    if report.lost:
        console.print(f"{report.lost} of these cannot be redriven: erased, cut off, or from a topic nobody reads.")


def _text(raw: bytes | None) -> str | None:
    return None if raw is None else raw.decode(errors="backslashreplace")


def _instant(text: str | None) -> datetime | None:
    try:
        return None if text is None else instants.to_datetime(instants.parse(text))
    except ValueError as error:
        fail(f"--since: {error}.")


async def _page(settings: Settings, wanted: LetterFilter, limit: int) -> tuple[list[Letter], int]:
    database = open_database(settings, "dead-letters", pool_size=1)
    try:
        async with database.session() as connection:
            return await page_of_letters(connection, wanted, limit)
    finally:
        await database.close()


async def _letter(settings: Settings, letter_id: int) -> Letter | None:
    database = open_database(settings, "dead-letters", pool_size=1)
    try:
        async with database.session() as connection:
            return await letter_by_id(connection, letter_id)
    finally:
        await database.close()


async def _redrive(settings: Settings, asked: Redrive) -> Any:
    database = open_database(settings, "dead-letters", pool_size=1)
    try:
        async with redriving(database) as letters:
            return await redrive(letters, lambda: open_publisher(settings), settings.redrive_topics, asked)
    except RedriveRefused as error:
        raise CommandError(str(error)) from None
    except RedriveUnderWay:
        msg = "Another redrive is under way; try again when it is done."
        raise CommandError(msg) from None
    finally:
        await database.close()
