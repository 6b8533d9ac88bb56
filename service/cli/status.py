"""`segments status` and `segments wait-idle`."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from aiokafka.errors import KafkaError
from asyncpg import PostgresError
from rich.table import Table
from sqlalchemy.exc import SQLAlchemyError

from service.adapters.alarms import look_for_signs
from service.adapters.kafka.offsets import OffsetReader
from service.adapters.status import Status, look
from service.app.alarms import Signs, sentences
from service.bootstrap import DEFAULT_DATA_DIR, open_database
from service.cli.run import AsJson, CommandError, DataDir, command_settings, console, print_json, run
from service.clock import make_clock
from service.settings import Settings
from service.stack.deaths import read_deaths
from service.stack.errors import StackError
from service.stack.state import read_stack_file

#: Two looks this far apart must both find nothing to do.
LOOKS_SECONDS: Final = 0.5
#: A look that has begun may take so long, whatever --timeout says: else it could not say what is busy.
LOOK_SECONDS_MIN: Final = 5.0
OUT_OF_REACH: Final = (KafkaError, PostgresError, SQLAlchemyError, OSError, TimeoutError)


def wait_idle(
    timeout: Annotated[float, typer.Option(min=0, help="Seconds to wait at most.")] = 60,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Wait until all input is applied, no timer or campaign message is due, no backfill runs, the outbox is empty."""
    run(_wait_idle(command_settings(data_dir), timeout))


async def _wait_idle(settings: Settings, timeout: float) -> None:  # noqa: ASYNC109 - the option's name
    deadline = time.monotonic() + timeout
    calm = 0
    while True:
        busy = await _busy(settings, deadline)
        calm = 0 if busy else calm + 1
        if calm == 2:
            return
        if time.monotonic() > deadline:
            msg = f"Still busy after {timeout:g} s: {'; '.join(busy) or 'idle in the last look only'}."
            raise CommandError(msg)
        await asyncio.sleep(LOOKS_SECONDS)


async def _busy(settings: Settings, deadline: float) -> list[str]:
    """What keeps the service busy; a server out of reach counts as busy."""
    try:
        async with asyncio.timeout(max(LOOK_SECONDS_MIN, deadline - time.monotonic())):
            return (await _look(settings)).busy()
    except OUT_OF_REACH as error:
        return [f"a server is out of reach ({type(error).__name__})"]


async def _look(settings: Settings) -> Status:
    database = open_database(settings, "status", pool_size=1)
    try:
        async with OffsetReader(settings) as reader:
            return await look(settings, database, reader, make_clock(settings.fixed_clock))
    finally:
        await database.close()


async def _look_for_signs(settings: Settings) -> Signs:
    database = open_database(settings, "status", pool_size=1)
    try:
        async with OffsetReader(settings) as reader:
            return await look_for_signs(settings, database, reader)
    finally:
        await database.close()


def status(as_json: AsJson = False, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Show what is wrong, then lag, outbox, dead letters, due timers, roles, segments with counts and backfills."""
    settings = command_settings(data_dir)
    found: Status = run(_look(settings))
    signs: Signs = run(_look_for_signs(settings))
    signs.deaths = read_deaths(data_dir)
    answer = found.as_json() | {"alarms": sentences(signs)}
    for role, pids in _pids(data_dir).items():
        answer["roles"].setdefault(role, {})["pids"] = pids
    if as_json:
        print_json(answer)
    else:
        _print(answer)


def _pids(data_dir: Path) -> dict[str, list[int]]:
    try:
        found: dict[str, list[int]] = read_stack_file(data_dir)["pids"]
    except (StackError, KeyError):
        return {}
    return found


def _print(answer: dict[str, Any]) -> None:
    for alarm in answer["alarms"]:
        console.print(alarm, style="red", markup=False, soft_wrap=True)
    table = Table(title="segments", title_justify="left")
    for column in ("segment", "members", "version", "backfill"):
        table.add_column(column, justify="left" if column in ("segment", "backfill") else "right")
    for one in answer["segments"]:
        backfill = one["backfill"]
        progress = f"{backfill['state']} {backfill['progress']:.0%}" if backfill["state"] == "running" else ""
        table.add_row(one["name"], str(one["count"]), str(one["version"]), progress)
    console.print(table)
    for topic, partitions in answer["lag"].items():
        behind = {partition: lag for partition, lag in partitions.items() if lag}
        console.print(f"lag {topic}: {sum(partitions.values())} {behind or ''}")
    console.print(f"events applied: {answer['events_per_second']:g}/s")
    outbox = answer["outbox"]
    console.print(f"outbox: {outbox['pending']} rows, oldest {outbox['oldest_seconds']} s")
    changes = answer["membership_changes"]
    if changes["waiting"]:
        console.print(f"membership changes to merge: {changes['waiting']}, oldest {changes['oldest_seconds']} s")
    console.print(f"due timers: {answer['due_timers']}")
    campaigns = answer["campaigns"]
    console.print(f"campaign messages: {campaigns['due_messages']} due, {campaigns['leased_messages']} on their way")
    if answer["timers_overtook"]:
        console.print(f"[red]timers fired ahead of unread input: {answer['timers_overtook']} times[/red]")
    if answer["customers_set_aside"]:
        console.print(f"[red]customers whose profile cannot be walked: {answer['customers_set_aside']}[/red]")
    if answer["over_limit"]:
        console.print(f"[red]customers beyond the limits of a profile: {answer['over_limit']}[/red]")
    letters = ", ".join(f"{reason} {count}" for reason, count in answer["dead_letters"].items())
    console.print(f"dead letters: {letters or 'none'}")
    console.print(f"roles: {', '.join(answer['roles']) or 'none'}")
