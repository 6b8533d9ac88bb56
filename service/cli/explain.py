"""`segments explain`: why is a customer in a segment, or out of it?"""

from __future__ import annotations

import sys
from typing import Annotated, Any

import msgspec
import typer
from rich.table import Table
from rich.text import Text

from service.adapters.postgres.explain import PostgresExplain
from service.app.exact_json import dumps
from service.app.explain import ExplainError, explain, find_evidence
from service.bootstrap import DEFAULT_DATA_DIR, open_database
from service.cli.export import find_segment
from service.cli.run import AsJson, CommandError, DataDir, command_settings, console, run
from service.clock import make_clock
from service.core.criteria.parse import CriteriaError
from service.settings import Settings


def explain_command(
    customer: Annotated[str, typer.Argument(help="The customer's id as the events gave it, or its UUID.")],
    segment: Annotated[str, typer.Argument(help="The segment's id, or its exact name.")],
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Say why a customer is in a segment or out of it: each condition with its value, and what time alone will change.

    Membership is the stored one; conditions are judged anew from the facts.
    """
    answer: dict[str, Any] = run(_explain(command_settings(data_dir), _text(customer), segment))
    if as_json:
        # Not by the standard library: it knows no exact numbers.
        sys.stdout.write(msgspec.json.format(dumps(answer), indent=2).decode() + "\n")
    else:
        _print(answer)


async def _explain(settings: Settings, customer: str, segment: str) -> dict[str, Any]:
    database = open_database(settings, "explain", pool_size=1)
    try:
        async with database.snapshot() as connection:
            found = await find_segment(connection, segment)
            evidence = await find_evidence(PostgresExplain(connection), customer, found)
    except ExplainError as error:
        msg = f"{error}."
        raise CommandError(msg) from None
    except CriteriaError as error:
        msg = f"The stored criteria cannot be read by this release: {error}."
        raise CommandError(msg) from None
    finally:
        await database.close()
    return explain(evidence, make_clock(settings.fixed_clock)())


def _text(argument: str) -> str:
    """The argument without what is no UTF-8."""
    return argument.encode(errors="replace").decode()


def _print(answer: dict[str, Any]) -> None:
    if answer["predicates"]:
        table = Table("", "condition", "value", "asked for")
        for one in answer["predicates"]:
            mark = Text("yes", "green") if one["verdict"] else Text("no", "red")
            (asked,) = one["criteria"].values()
            table.add_row(mark, *(Text(text) for text in (one["path"], _json(one["value"]), _json(asked))))
        console.print(table)
    state = "in" if answer["member"] else "out"
    since = f" since {answer['since']}" if answer["since"] else ("" if answer["member"] else ", and never was in")
    pin = f", pinned as {answer['pin']}" if answer["pin"] else ""
    changes = answer["changes_at"]
    time = f"Time alone changes that at {changes}." if changes else "No change by time alone is in sight."
    console.print(f"The customer is {state}{since}{pin}. {time}", *answer["notes"], sep="\n", markup=False)


def _json(value: Any) -> str:
    return "-" if value is None else dumps(value).decode()
