"""`segments dead-letters`: what was set aside, and why."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Annotated, Any, Final

import typer
from rich.table import Table

from service.bootstrap import DEFAULT_DATA_DIR, open_database
from service.cli.run import AsJson, DataDir, command_settings, console, print_json, run
from service.core import instants
from service.settings import Settings

app = typer.Typer(help="List and show records that could not be applied.", no_args_is_help=True)

LIMIT_MAX: Final = 10_000

#: Dead letters, newest first; every filter may be left out.
LIST: Final = """
SELECT id, reason, error, topic, partition, "offset", at, count(*) OVER () AS total FROM dead_letters
WHERE ($1::text IS NULL OR reason = $1) AND ($2::text IS NULL OR topic = $2)
    AND ($3::timestamptz IS NULL OR at >= $3)
ORDER BY id DESC LIMIT $4
"""
SHOW: Final = """
SELECT id, reason, error, topic, partition, "offset", at, key, value, headers FROM dead_letters WHERE id = $1
"""


@app.command("list")
def list_letters(
    reason: Annotated[str | None, typer.Option(help="Only of this reason.")] = None,
    topic: Annotated[str | None, typer.Option(help="Only from this topic.")] = None,
    since: Annotated[str | None, typer.Option(help="Only set aside at or after this instant.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=LIMIT_MAX, help="How many at most.")] = 100,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """List dead letters, newest first."""
    found = run(_fetch(command_settings(data_dir), LIST, reason, topic, _instant(since), limit))
    items = [_item(row) for row in found]
    total = found[0]["total"] if found else 0
    if as_json:
        print_json({"items": items, "total": total})
        return
    table = Table("id", "reason", "topic", "partition", "offset", "at", "error")
    for one in items:
        table.add_row(*(str(one[name]) for name in ("id", "reason", "topic", "partition", "offset", "at", "error")))
    console.print(table)
    console.print(f"{len(items)} of {total}")


@app.command("show")
def show_letter(
    letter_id: Annotated[int, typer.Argument(help="The id that `list` gives.")],
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Show one dead letter with its key, headers and bytes."""
    found = run(_fetch(command_settings(data_dir), SHOW, letter_id))
    if not found:
        typer.echo(f"There is no dead letter {letter_id}.", err=True)
        raise typer.Exit(1)
    row = found[0]
    value: bytes | None = row["value"]
    answer = {**_item(row), "key": _text(row["key"]), "headers": row["headers"], "value": _text(value)}
    answer["value_base64"] = None if value is None else base64.b64encode(value).decode()
    if as_json:
        print_json(answer)
        return
    for name, content in answer.items():
        if name != "value_base64":
            typer.echo(f"{name}: {content}")


def _item(row: Any) -> dict[str, Any]:
    names = ("id", "reason", "error", "topic", "partition", "offset")
    return {**{name: row[name] for name in names}, "at": row["at"].isoformat().replace("+00:00", "Z")}


def _text(raw: bytes | None) -> str | None:
    return None if raw is None else raw.decode(errors="backslashreplace")


def _instant(text: str | None) -> datetime | None:
    try:
        return None if text is None else instants.to_datetime(instants.parse(text))
    except ValueError as error:
        typer.echo(f"--since: {error}.", err=True)
        raise typer.Exit(1) from None


async def _fetch(settings: Settings, statement: str, *arguments: Any) -> list[Any]:
    database = open_database(settings, "dead-letters", pool_size=1)
    try:
        async with database.session() as connection:
            found: list[Any] = await connection.fetch(statement, *arguments)
            return found
    finally:
        await database.close()
