"""The demo of `segments up --demo`: segments, a year of grocery baskets, and what happens, as it happens.

It runs in a thread of its own beside the supervisor, with an event loop of its own, and is no part of the service:
whatever goes wrong in it is told in one sentence, and the service runs on.

History streamed under a wall clock: the events are up to a year old when they come in. Membership converges to what
section 3 of the contract says; the sequence of joined/left on the way is outside the promise of section 3.8.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from asyncpg import PostgresError
from sqlalchemy.exc import SQLAlchemyError

from service.adapters.kafka.offsets import OffsetReader
from service.adapters.kafka.options import connection_options
from service.adapters.status import Status, look
from service.bootstrap import open_database
from service.cli.demo_view import Change, Picture, View, make_view
from service.cli.run import CommandError
from service.clock import make_clock
from service.core import instants
from service.settings import Settings

if TYPE_CHECKING:
    from producers.demo.data import Journey
    from producers.demo.stream import Progress

STOP_LOOK_SECONDS: Final = 0.1
REFRESH_SECONDS: Final = 0.25
LOOK_SECONDS: Final = 1.0
FEED_WAIT_MS: Final = 200
FEED_RECORDS_MAX: Final = 2_000
CLOSE_SECONDS_MAX: Final = 2.0
#: This many looks in a row that find nothing to do make the demo loaded.
CALM_LOOKS: Final = 2
AWAY: Final = (KafkaError, PostgresError, SQLAlchemyError, OSError, TimeoutError)

log = structlog.get_logger()


class _Membership(msgspec.Struct):
    external_id: str
    segment_id: str
    segment_name: str
    effective_at: str


_memberships: Final = msgspec.json.Decoder(_Membership)


def require_demo(settings: Settings) -> None:
    """Looks, before anything is started, whether the demo can run.

    Raises:
        CommandError: its data are not installed, or the settings do not fit them.
    """
    from producers.demo.data import CURRENCY, DemoMissing, data_folder

    try:
        data_folder()
    except DemoMissing as error:
        raise CommandError(str(error)) from None
    if settings.currency != CURRENCY:
        msg = f"SEGMENTS_CURRENCY: the demo's amounts are in {CURRENCY}, not {settings.currency}; unset it."
        raise CommandError(msg)


def start_demo(
    settings: Settings, data_dir: Path, api_url: str, admin_token: str, stop: threading.Event
) -> threading.Thread:
    """Starts the demo beside a stack that is ready; returns at once.

    Args:
        settings: with the stack's database and broker.
        data_dir: the stack's folder, which remembers how far the demo has come.
        api_url: the API without a path.
        admin_token: a token with every permission.
        stop: ends the demo soon after it is set.

    Returns:
        The demo's thread, to be joined for a moment at the end, so that the terminal is left in order.
    """
    demo = _Demo(settings, data_dir, api_url, admin_token, stop)
    thread = threading.Thread(target=demo.run, name="demo", daemon=True)
    thread.start()
    return thread


class _Demo:
    """One run. Everything but `run` happens on the thread's event loop."""

    def __init__(self, settings: Settings, data_dir: Path, api_url: str, token: str, stop: threading.Event) -> None:
        self._settings, self._data_dir, self._stop = settings, data_dir, stop
        self._api_url, self._token = api_url, token
        self._picture = Picture()
        self._streamed = 0
        self._began = time.monotonic()
        self._is_published = self._is_summed_up = False

    def run(self) -> None:
        """The thread: never raises."""
        try:
            require_demo(self._settings)
            asyncio.run(self._until_stopped())
        except Exception as error:
            if not self._stop.is_set():
                log.debug("demo stopped", exc_info=error)
                sys.stderr.write(f"The demo has stopped, the service runs on: {_sentence(error)}\n")
                sys.stderr.flush()

    async def _until_stopped(self) -> None:
        view = make_view(self._picture)
        try:
            work = asyncio.create_task(self._work(view))
            while not work.done() and not self._stop.is_set():
                await asyncio.wait([work], timeout=STOP_LOOK_SECONDS)
            work.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await work
        finally:
            with contextlib.suppress(OSError):
                view.close()

    async def _work(self, view: View) -> None:
        from producers.demo.segments import ApiFailed, SegmentsApi, create_segments

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._refresh(view))
            api = SegmentsApi(self._api_url, self._token)
            try:
                self._picture.segments = await asyncio.to_thread(create_segments, api)
            except ApiFailed as error:
                raise CommandError(str(error)) from None
            view.say(f"{len(self._picture.segments)} segments")
            is_listening = asyncio.Event()
            tasks.create_task(self._listen(view, is_listening))
            tasks.create_task(self._watch(view))
            await is_listening.wait()
            await self._load(view)

    async def _load(self, view: View) -> None:
        """Streams what this data folder has not had yet."""
        from producers.demo.data import read_journey
        from producers.demo.stream import stream

        picture = self._picture
        journey = await asyncio.to_thread(read_journey)
        progress = await self._progress(journey)
        picture.total, picture.published = journey.event_count, min(progress.published, journey.event_count)
        data = f"{len(journey.basket_ids):,} baskets of {len(journey.first_times):,} households"
        view.say(f"The Complete Journey by 84.51°: {data}, moved to end on {progress.last_day}")
        if picture.published == picture.total:
            view.say("all of it was streamed by an earlier start; nothing is streamed again")
        picture.note = f"The Complete Journey by 84.51°, moved to end on {progress.last_day}"

        def tell(published: int) -> None:
            picture.published = published

        self._began, before = time.monotonic(), picture.published
        await stream(self._settings, journey, progress, tell, self._stop)
        self._streamed = picture.published - before
        if self._streamed:
            view.say(f"published {self._streamed:,} events in {time.monotonic() - self._began:.1f} s")
        self._is_published = True

    async def _progress(self, journey: Journey) -> Progress:
        """Where to go on: what the folder remembers, unless the topics have been emptied since.

        Raises:
            CommandError: the clock stands before the end of the data as they were moved.
        """
        from producers.demo.stream import Progress

        now = make_clock(self._settings.fixed_clock)()
        progress = Progress.read(self._data_dir)
        if progress is None:
            return Progress.begin(self._data_dir, journey.last_day(now))
        last = journey.last_instant(progress.last_day)
        if last > now:
            msg = f"the demo's data on {self._data_dir} reach to {instants.to_text(last)}, and the clock stands before"
            raise CommandError(msg)
        async with OffsetReader(self._settings) as reader:
            if not any((await reader.ends()).values()):
                progress.published = 0
        return progress

    async def _listen(self, view: View, is_listening: asyncio.Event) -> None:
        """Reads joined/left from now on, as any other consumer of the topic would."""
        consumer = AIOKafkaConsumer(
            self._settings.membership_topic,
            **connection_options(self._settings),
            group_id=None,
            isolation_level="read_committed",
            auto_offset_reset="latest",
        )
        await consumer.start()
        try:
            await consumer.seek_to_end()
            is_listening.set()
            while True:
                try:
                    found = await consumer.getmany(timeout_ms=FEED_WAIT_MS, max_records=FEED_RECORDS_MAX)
                except KafkaError:
                    await asyncio.sleep(LOOK_SECONDS)
                    continue
                for records in found.values():
                    self._note(view, records)
                await asyncio.sleep(0)
        finally:
            with contextlib.suppress(KafkaError, TimeoutError):
                await asyncio.wait_for(consumer.stop(), CLOSE_SECONDS_MAX)

    def _note(self, view: View, records: list[Any]) -> None:
        for record in records:
            data = _memberships.decode(record.value)
            has_joined = ("ce_type", b"segment.joined") in record.headers
            change = Change(has_joined, data.segment_name, data.external_id, data.effective_at)
            self._picture.note_change(data.segment_id, change)
            view.change(change)

    async def _refresh(self, view: View) -> None:
        while True:
            view.refresh()
            await asyncio.sleep(REFRESH_SECONDS)

    async def _watch(self, view: View) -> None:
        """Counts once a second; says once when everything has arrived."""
        database = open_database(self._settings, "demo", pool_size=1)
        clock = make_clock(self._settings.fixed_clock)
        calm = 0
        try:
            async with OffsetReader(self._settings) as reader:
                while True:
                    try:
                        found = await look(self._settings, database, reader, clock)
                    except Exception as error:  # a server is being restarted: what is shown stands meanwhile
                        log.debug("demo: no look", error=type(error).__name__)
                        calm = 0
                    else:
                        self._take(found)
                        calm = calm + 1 if self._is_published and not found.busy() else 0
                        if calm == CALM_LOOKS:
                            self._sum_up(view)
                    await asyncio.sleep(LOOK_SECONDS)
        finally:
            with contextlib.suppress(*AWAY):
                await asyncio.wait_for(database.close(), CLOSE_SECONDS_MAX)

    def _take(self, found: Status) -> None:
        picture = self._picture
        lag = sum(count for partitions in found.lag.values() for count in partitions.values())
        # Input of others is not told apart: it only makes the demo seem further behind while it is loading.
        picture.applied = max(picture.applied, picture.published - lag) if picture.total else 0
        picture.dead_letters = sum(found.dead_letters.values())
        picture.counts = {one["id"]: one["count"] for one in found.segments}

    def _sum_up(self, view: View) -> None:
        """Once: what the loading has come to."""
        if self._is_summed_up:
            return
        self._is_summed_up = True
        picture = self._picture
        seconds = time.monotonic() - self._began
        if self._streamed:
            picture.note += f"; loaded in {seconds:.0f} s"
            view.say(
                f"loaded in {seconds:.0f} s: {picture.applied:,} events applied, "
                f"{sum(picture.joined.values()):,} joined, {sum(picture.left.values()):,} left, "
                f"{picture.dead_letters} dead letters"
            )
        view.say(f"members: {picture.count_line()}")


def _sentence(error: Exception) -> str:
    """The first line of what really went wrong."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    first = str(error).partition("\n")[0]
    return first if isinstance(error, CommandError) else f"{type(error).__name__}: {first}"
