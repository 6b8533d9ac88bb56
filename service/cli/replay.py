"""`segments replay`: reading input again, on purpose."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table

from service.adapters.kafka.groups import GroupActiveError, count_members, move_offsets
from service.adapters.kafka.offsets import OffsetReader
from service.adapters.postgres import workers
from service.adapters.postgres.database import Database
from service.app.replay import (
    Move,
    Partition,
    ReplayRefused,
    Source,
    as_json,
    as_offsets,
    instant_ms,
    plan_moves,
    read_source,
    read_topic,
)
from service.bootstrap import DEFAULT_DATA_DIR, open_database
from service.cli.aside import consumers_aside, owner_of
from service.cli.run import AsJson, CommandError, DataDir, command_settings, console, print_json, run
from service.settings import Settings


def replay(
    topic: Annotated[str, typer.Option(help="An input topic; with partitions as orders:0,1.")],
    source: Annotated[str, typer.Option("--from", help="earliest, an offset, or an instant with its offset from UTC.")],
    execute: Annotated[bool, typer.Option("--execute", help="Move the group's offsets.")] = False,
    pause: Annotated[bool, typer.Option("--pause", help="Have running consumers step aside meanwhile.")] = False,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Have input read again: shows what would be, and with --execute moves the consumer group's offsets.

    What is read again is known, so no membership changes and nothing is published. An instant means when the broker
    took a record, not when its event happened. The same may be done by kafka-consumer-groups --reset-offsets.
    """
    run(_Replay(command_settings(data_dir), as_json).run(topic, source, execute=execute, pause=pause))


class _Replay:
    """One replay, from the options to what is printed."""

    def __init__(self, settings: Settings, as_json: bool) -> None:
        self._settings = settings
        self._as_json = as_json

    async def run(self, topic_text: str, from_text: str, *, execute: bool, pause: bool) -> None:
        """See `replay`.

        Raises:
            CommandError: it cannot be done as asked.
        """
        if pause and not execute:
            msg = "--pause: goes with --execute; a dry run needs no pause."
            raise CommandError(msg)
        database = open_database(self._settings, "replay", pool_size=2)
        try:
            topic, chosen = read_topic(topic_text, self._settings.input_topics)
            source = read_source(from_text)
            members = await count_members(self._settings)
            moves = await self._plan(topic, source, chosen)
            if execute and pause:
                async with consumers_aside(self._settings, database, owner_of("replay")):
                    moves = await self._plan(topic, source, chosen)
                    await self._move(topic, moves)
            elif execute:
                _refuse_active(members)
                await self._move(topic, moves)
            await self._tell(database, topic, moves, members, executed=execute)
        except ReplayRefused as error:
            raise CommandError(str(error)) from None
        finally:
            await database.close()

    async def _plan(self, topic: str, source: Source, chosen: frozenset[int] | None) -> list[Move]:
        async with OffsetReader(self._settings) as reader:
            begins = await reader.begins(topic)
            ends = await reader.ends(topic)
            committed = await reader.committed_if_any(self._settings.consumer_group, topic)
            at: dict[tuple[str, int], int | None] = {}
            if source.instant is not None:
                at = await reader.at_instant(instant_ms(source.instant), topic)
        partitions = [
            Partition(place[1], begin, committed[place], ends[place], at.get(place)) for place, begin in begins.items()
        ]
        return plan_moves(topic, source, partitions, chosen)

    async def _move(self, topic: str, moves: list[Move]) -> None:
        try:
            await move_offsets(self._settings, as_offsets(topic, moves))
        except GroupActiveError:
            _refuse_active(1)

    async def _tell(self, database: Database, topic: str, moves: list[Move], members: int, *, executed: bool) -> None:
        async with database.session() as connection:
            pace = await workers.pace(connection)
        group = self._settings.consumer_group
        answer = {"topic": topic, "group": group, "active_members": members, "executed": executed}
        answer |= as_json(moves, pace)
        if self._as_json:
            print_json(answer)
            return
        _print(answer, pace)


def _refuse_active(members: int) -> None:
    if members:
        msg = (
            f"The group has {members} active member{'s' * (members > 1)}: stop all consume processes (one that was"
            " killed counts for 6 more seconds), or add --pause; nothing was changed."
        )
        raise CommandError(msg)


def _print(answer: dict[str, Any], pace: float | None) -> None:
    table = Table("partition", "current", "new", "end", "to read again", title=f"{answer['topic']}, {answer['group']}")
    for one in answer["partitions"]:
        table.add_row(*(str(one[name]) for name in ("partition", "current", "new", "end", "records")))
    console.print(table)
    seconds = answer["estimated_seconds"]
    about = "" if seconds is None else f", about {seconds:g} s at the {pace:.0f} records/s measured last"
    console.print(f"{answer['records']} records to read again{about}")
    if answer["executed"]:
        console.print("The group's offsets are moved; consumers read from there.")
        return
    console.print("Nothing was changed: this is a dry run; --execute moves the offsets.")
    if answer["active_members"]:
        console.print(f"Active members: {answer['active_members']}; stop them first, or add --pause.")
