"""One database and its topics from the first death to the last, and all that must be true of them in between."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaProducer

from service.adapters.kafka.offsets import OffsetReader
from service.adapters.postgres.database import Database
from service.adapters.postgres.verify import verify
from service.adapters.status import Status, look
from service.cli.status import OUT_OF_REACH
from service.core import instants
from service.settings import load_settings
from tests.crash.processes import Process
from tests.crash.waves import SEGMENTS, Wave, make_wave
from tests.e2e.product import Change, read_changes
from tests.offline import collapsed
from tests.topics import read_topics
from tests.world import World, change, create, folded, members

BATCH_EVENTS = 20
#: A role that has not died by then may get more input.
FEED_SECONDS = 0.3
DEATH_SECONDS_MAX = 20.0
IDLE_SECONDS_MAX = 60
LOOK_SECONDS = 0.1
FETCH_MS = 50
STAYS = """
SELECT customer_id::text, segment_id::text, ordinal, joined_at, left_at FROM customer_segment_memberships
"""
COUNTS = "SELECT segment_name, customer_count FROM customer_segments WHERE NOT is_deleted"
LETTERS = 'SELECT topic, partition, "offset", reason FROM dead_letters'
#: What must never happen behind a check that is green all the same.
EXCUSES = "SELECT name, value FROM counters WHERE value > 0"

Place = tuple[str, int, int]


def clock() -> int:
    """The wall clock, microseconds."""
    return time.time_ns() // 1_000


class Timeline:
    """A world under the wall clock, what was published into it, and what was defined."""

    def __init__(self, world: World, database: Database) -> None:
        self.world, self.database = world, database
        self.settings = load_settings(
            database_url=world.database_url,
            kafka_bootstrap=world.kafka,
            orders_topic=world.orders,
            customers_topic=world.customers,
            membership_topic=world.membership,
            dead_letter_topic=world.dead,
            messages_topic=world.messages,
            engagement_topic=world.engagement,
            consumer_group=world.env["SEGMENTS_CONSUMER_GROUP"],
        )
        self.is_sound = True
        self._is_settled = False
        self.processes: dict[str, Process] = {}
        self.waves: list[Wave] = []
        self.ids: dict[str, str] = {}
        self.definitions: dict[str, dict] = {}
        self.pins: dict[str, dict[str, bool]] = {}  # by segment's name and customer
        self._bad: dict[Place, str] = {}
        self._erased: dict[Place, bool] = {}

    # Roles

    def start(self, role: str, *arguments: str, slot: int = 0, crash_at: str | None = None) -> Process:
        """Starts a role, bound to die at a point or not."""
        env = self.world.env | {"SEGMENTS_WORKER": str(slot)} | ({"SEGMENTS_CRASH_AT": crash_at} if crash_at else {})
        name = f"{role}-{slot}"
        self.processes[name] = Process([role, *arguments], env, self.world.folder / f"{name}.log")
        return self.processes[name]

    def end(self, role: str, slot: int = 0) -> None:
        """SIGKILL, if it runs."""
        process = self.processes.pop(f"{role}-{slot}", None)
        if process is not None:
            process.kill()

    async def die(self, role: str, crash_at: str, feed: Callable[[], Awaitable[Any]]) -> None:
        """Starts a role that is bound to die, feeds it whenever nobody has anything to do, and sees it dead."""
        process = self.start(role, crash_at=crash_at)
        deadline = time.monotonic() + DEATH_SECONDS_MAX
        while process.is_running and time.monotonic() < deadline:
            if await self._is_at_rest():
                await feed()
            await process.ended(FEED_SECONDS)
        await self.see_dead(process, crash_at)

    async def see_dead(self, process: Process, crash_at: str) -> None:
        """It must have killed itself, and have said at its start that it would."""
        assert await process.ended(DEATH_SECONDS_MAX), f"{crash_at} was not passed: {self.world.logs()}"
        assert process.was_killed, f"{crash_at}: it ended with {process.exit_code}: {self.world.logs()}"
        assert "SEGMENTS_CRASH_AT is set" in process.log.read_text()

    # Input

    async def publish(self, wave: Wave | None = None) -> Wave:
        """Publishes one more wave, in one transaction, so that no clock can come between its events."""
        self._is_settled = False
        wave = wave or make_wave(len(self.waves) + 1)
        topics = (self.world.orders, self.world.customers)
        async with self._producer.transaction():
            sending = [await self._producer.send(topics[one.topic], one.value, key=one.key) for one in wave.sent]
            for one, done in zip(wave.sent, await asyncio.gather(*sending), strict=True):
                place = (done.topic, done.partition, done.offset)
                if one.is_bad:
                    self._bad[place] = one.value.decode(errors="replace")
                elif one.erased is not None:
                    self._erased[place] = one.erased
        self.waves.append(wave)
        return wave

    async def define(self, definitions: dict[str, dict]) -> None:
        """Creates segments."""
        self.ids |= await create(self.database, definitions, instants.to_text(clock()))
        self.definitions |= definitions

    async def redefine(self, name: str, criteria: dict) -> None:
        """Gives a segment new criteria."""
        self._is_settled = False
        await change(self.database, self.ids[name], instants.to_text(clock()), criteria=criteria)
        self.definitions[name] = criteria

    async def _is_at_rest(self) -> bool:
        """Whether all input is applied and nobody is due, in two looks, or by the last check.

        Events of an earlier instant that come now would be late for a timer that fires already, and rightly so.
        """
        if self._is_settled:
            return True
        for _ in range(2):
            found = await self._look()
            if found is None or found.due_timers or any(any(lags.values()) for lags in found.lag.values()):
                return False
            await asyncio.sleep(LOOK_SECONDS)
        return True

    async def _look(self) -> Status | None:
        """At what is left to do; None where a server is out of reach."""
        try:
            return await look(self.settings, self.database, self._reader, clock)
        except OUT_OF_REACH:
            return None

    # What must be true

    async def settle(self) -> None:
        """Waits until nothing is left to do, and checks everything."""
        await self.idle()
        expected = self._members()
        assert await members(self.database) == expected
        changes = await read_changes(self.world.kafka, self.world.membership, fetch_max_wait_ms=FETCH_MS)
        by_id = folded(changes)
        assert {name: by_id.get(segment_id, set()) for name, segment_id in self.ids.items()} == expected
        assert self._published(changes) == sorted(one for wave in self.waves for one in wave.transitions)
        await self._check_tables(changes, expected)
        await self._check_letters()
        report = await verify(self.database, None, clock())
        assert not report.has_drift, report.to_json()
        self._is_settled = True

    async def idle(self) -> None:
        """Waits until nothing is left to do; every role must be alive then."""
        deadline = time.monotonic() + IDLE_SECONDS_MAX
        calm = 0
        while calm < 2:
            await asyncio.sleep(LOOK_SECONDS)
            found = await self._look()
            busy = ["a server is out of reach"] if found is None else found.busy()
            calm = 0 if busy else calm + 1
            assert time.monotonic() < deadline, f"still busy: {busy} {self.world.logs()}"
        for name, process in self.processes.items():
            assert process.is_running, f"{name} ended with {process.exit_code}: {self.world.logs()}"

    def _members(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {name: set() for name in self.definitions}
        for wave in self.waves:
            for name, customers in wave.members(self.definitions).items():
                found[name] |= customers
        for name, pins in self.pins.items():
            for customer_id, is_in in pins.items():
                (found[name].add if is_in else found[name].discard)(customer_id)
        return found

    def _published(self, changes: list[Change]) -> list[tuple[str, str, int, str]]:
        """Of the exact customers and the segments that stay as they are, net of each instant."""
        exact = set().union(*(wave.exact for wave in self.waves))
        names = {self.ids[name]: name for name in SEGMENTS}
        return collapsed(
            (one.external_id, names[one.segment_id], instants.parse(one.effective_at), one.change)
            for one in changes
            if one.segment_id in names and one.external_id in exact
        )

    async def _check_tables(self, changes: list[Change], expected: dict[str, set[str]]) -> None:
        """Each transition that is stored was published and the other way round; counts are what they count."""
        stored = set()
        async with self.database.session() as connection:
            for customer_id, segment_id, ordinal, joined_at, left_at in await connection.fetch(STAYS):
                stored.add((customer_id, segment_id, ordinal, "joined", instants.from_datetime(joined_at)))
                if left_at is not None:
                    stored.add((customer_id, segment_id, ordinal + 1, "left", instants.from_datetime(left_at)))
            counts = {row[0]: row[1] for row in await connection.fetch(COUNTS)}
            excuses = [tuple(row) for row in await connection.fetch(EXCUSES)]
        assert stored == {
            (one.customer_id, one.segment_id, one.sequence, one.change, instants.parse(one.effective_at))
            for one in changes
            if "-erased" not in one.external_id
        }
        assert counts == {name: len(customers) for name, customers in expected.items()}
        assert not excuses

    async def _check_letters(self) -> None:
        """Each bad record is set aside once, in table and topic; of erased customers nothing else may be."""
        async with self.database.session() as connection:
            stored = {(row[0], row[1], row[2]): row[3] for row in await connection.fetch(LETTERS)}
        published = await self._letters()
        assert len(published) == len(set(published))
        assert set(published) == set(stored)
        assert {place for place, reason in stored.items() if reason != "erased"} == set(self._bad)
        erased = {place for place, reason in stored.items() if reason == "erased"}
        assert {place for place, must in self._erased.items() if must} <= erased <= set(self._erased)

    async def _letters(self) -> list[Place]:
        """Where the dead letters on the topic came from, as often as they are there."""
        return [_origin(one) for one in await read_topics(self.world.kafka, self.world.dead)]

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Timeline]:
        """With its clients; every process is ended at the end."""
        name = f"{self.settings.consumer_group}-waves"
        self._producer = AIOKafkaProducer(bootstrap_servers=self.world.kafka, transactional_id=name)
        await self._producer.start()
        try:
            async with OffsetReader(self.settings) as self._reader:
                yield self
        finally:
            await self._producer.stop()
            for process in self.processes.values():
                process.kill()
            self.world.close()
            shutil.rmtree(self.world.folder, ignore_errors=True)


def _origin(record: Any) -> Place:
    headers = dict(record.headers)
    partition, offset = headers["x-original-partition"], headers["x-original-offset"]
    return headers["x-original-topic"].decode(), int(partition), int(offset)


@asynccontextmanager
async def make_timeline(kafka: str, database_url: str) -> AsyncIterator[Timeline]:
    """A timeline in which roles run that are never killed by the tests' own doing, and one wave is applied."""
    database = Database.connect(database_url, role="tests", pool_size=8)
    world = World(kafka, database_url, "wall", batch_events_max=str(BATCH_EVENTS), membership_inline_max="2")
    try:
        async with Timeline(world, database).opened() as timeline:
            await timeline.define(SEGMENTS)
            for role in ("consume", "relay", "timers"):
                timeline.start(role)
            await timeline.publish()
            await timeline.settle()
            yield timeline
    finally:
        await database.close()
