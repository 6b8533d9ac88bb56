"""The crash-point matrix: every part is killed at every point it passes, and nothing is lost, doubled or out of order.

After each death the part is started again, and once all is idle: members are those of the oracle, the topic folded is
the database, transitions are exact, each dead letter is there once, and `verify` finds nothing.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx2
import pytest

from service.adapters.postgres.database import CATALOGUE_LOCK, Database
from service.adapters.postgres.migrate import current_revision, head_revision
from service.crash import POINTS, Part
from service.stack.group import Servers
from tests.conftest import database_copy
from tests.crash.campaigns import kill_dispatch
from tests.crash.cases import CASES, REVOKED, Case
from tests.crash.conftest import Timelines
from tests.crash.processes import Process
from tests.crash.serving import WISHES, serving
from tests.crash.timeline import Timeline
from tests.crash.waves import make_crowd

FLIPS = ({"email_subscribed": True}, {"last_order_date": {"operator": "more_than_ago", "days": 21}})
#: More than one slice of a backfill takes.
CROWD = 520
WAITING = """
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = $1
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
SECONDS_MAX = 30


def test_every_point_has_its_case() -> None:
    """The matrix has each point for each part that comes by there."""
    assert {(case.part, death.split(":")[0]) for case in CASES for death in case.deaths} == {
        (part, point.name) for point in POINTS for part in point.parts
    }


@pytest.mark.parametrize("case", [case for case in CASES if case.part is not Part.MIGRATE], ids=str)
async def test_a_death_changes_nothing(case: Case, timelines: Timelines) -> None:
    """Killed at this point and started again, the part goes on as if nothing had been."""
    timeline = await timelines.of(case.part)
    timeline.is_sound = False
    await KILLS[case.part](timeline, case)
    await timeline.settle()
    timeline.is_sound = not case.deaths[0].startswith(REVOKED)  # two workers stay behind


async def _kill_role(timeline: Timeline, case: Case) -> None:
    role = str(case.part)
    timeline.end(role)
    for death in case.deaths:
        await timeline.die(role, death, timeline.publish)
    timeline.start(role)


async def _kill_consume(timeline: Timeline, case: Case) -> None:
    if case.deaths[0].startswith(REVOKED):
        await _kill_in_flight(timeline, case.deaths[0])
    else:
        await _kill_role(timeline, case)


async def _kill_in_flight(timeline: Timeline, death: str) -> None:
    """A batch waits for the catalogue when a second worker takes its share of the partitions."""
    timeline.end("consume")
    async with timeline.database.session() as connection:
        await connection.execute("SELECT pg_advisory_lock($1)", CATALOGUE_LOCK)
        await timeline.publish()
        process = timeline.start("consume", crash_at=death)
        async with asyncio.timeout(SECONDS_MAX):
            while not await connection.fetchval(WAITING, CATALOGUE_LOCK):  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.02)
        timeline.start("consume", slot=1)
        await process.ended(SECONDS_MAX)
        await timeline.see_dead(process, death)
        await connection.execute("SELECT pg_advisory_unlock($1)", CATALOGUE_LOCK)
    timeline.start("consume")


async def _kill_backfill(timeline: Timeline, case: Case) -> None:
    """In the timers role, while nobody is due."""
    if "flip" not in timeline.ids:
        await timeline.define({"flip": FLIPS[0]})
        await timeline.publish(make_crowd(CROWD))
        await timeline.settle()
    timeline.end("timers")
    for death in case.deaths:
        await timeline.die("timers", death, lambda: _flip(timeline))
    timeline.start("timers")


async def _flip(timeline: Timeline) -> None:
    before = FLIPS.index(timeline.definitions["flip"])
    await timeline.redefine("flip", FLIPS[1 - before])


async def _kill_serve(timeline: Timeline, case: Case) -> None:
    (death,) = case.deaths
    wish = await WISHES[case.what](timeline)
    async with serving(timeline, death) as (process, client):
        with pytest.raises(httpx2.TransportError):
            await wish.send(client)
        await timeline.see_dead(process, death)
    was_done = await wish.is_done(timeline)
    assert was_done == death.startswith(("request-committed", "pins-committed"))
    async with serving(timeline) as (_, client):
        answer = None if was_done and case.what == "create" else await wish.send(client)
    assert answer is None or answer.status_code in ((404,) if was_done and case.what == "delete" else (200, 201))
    assert await wish.is_done(timeline)


KILLS: dict[Part, Callable[[Timeline, Case], Awaitable[None]]] = {
    Part.CONSUME: _kill_consume,
    Part.RELAY: _kill_role,
    Part.TIMERS: _kill_role,
    Part.BACKFILL: _kill_backfill,
    Part.SERVE: _kill_serve,
    Part.DISPATCH: kill_dispatch,
}


@pytest.mark.parametrize("case", [case for case in CASES if case.part is Part.MIGRATE], ids=str)
async def test_a_migration_that_dies_is_run_again(case: Case, session_servers: Servers, tmp_path: Path) -> None:
    """A migration that is killed leaves the schema as it was, and the next one brings it to head."""
    async with database_copy(session_servers.database_url, "template0") as url:
        env = dict(os.environ) | {"SEGMENTS_DATABASE_URL": url, "SEGMENTS_KAFKA_BOOTSTRAP": ""}
        database = Database.connect(url, role="tests", pool_size=1)
        for death in case.deaths:
            dying = Process(["migrate"], env | {"SEGMENTS_CRASH_AT": death}, tmp_path / "migrate.log")
            assert await dying.ended(SECONDS_MAX)
            assert dying.was_killed, (tmp_path / "migrate.log").read_text()
            assert await current_revision(database.engine) is None
        again = Process(["migrate"], env, tmp_path / "migrate.log")
        assert await again.ended(SECONDS_MAX)
        assert again.exit_code == 0, (tmp_path / "migrate.log").read_text()
        assert await current_revision(database.engine) == head_revision()
        await database.close()
