"""The timers role: fires what time alone makes due, never ahead of unread input, and runs backfills.

Exactness: `now` and all input end offsets are read together; only when everything before those ends is applied does
what was due at `now` minus the grace fire. A timer that ran ahead would put transitions at the wrong instants while
every final membership stayed right (DESIGN, Time).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Final

import structlog
from aiokafka.errors import KafkaError

from producers.backfills import Backfills
from producers.faults import set_aside
from producers.hold import Hold
from service.adapters.kafka.offsets import OffsetReader, Offsets
from service.adapters.postgres import counters, frontier
from service.app import metrics
from service.app.expire import CUSTOMERS_MAX, expire
from service.app.set_aside import SetAside, WalkFailed
from service.bootstrap import Runtime
from service.crash import crash_point
from service.logs import detail_of

log = structlog.get_logger()

LOOK_SECONDS: Final = 0.1
FRONTIER_SECONDS: Final = 0.02
#: Under a fixed clock the input counts as read when its ends stood still this long.
QUIET_SECONDS: Final = 5.0
PAUSE_SECONDS_MAX: Final = 1.0
#: While one batch of due customers is with the database, another one is walked.
LANES: Final = 2
MICROSECONDS: Final = 1_000_000


class Timers:
    """Fires due customers until `stop` is set."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._aside = SetAside(CUSTOMERS_MAX)
        self._is_fixed = runtime.settings.fixed_clock is not None
        self._cluster = ""

    async def run(self, stop: asyncio.Event) -> None:
        """Runs until `stop`; any fault of the outside is waited out."""
        backfills = asyncio.create_task(Backfills(self._runtime).run(stop))
        pause = LOOK_SECONDS
        while not stop.is_set():
            try:
                async with OffsetReader(self._runtime.settings) as reader:
                    self._cluster = reader.cluster
                    while not stop.is_set():
                        await self._look(reader, stop)
                        pause = LOOK_SECONDS
                        await _sleep(stop, LOOK_SECONDS)
            except Exception as error:  # nothing fires while the outside is away; it fires later
                pause = min(pause * 2, PAUSE_SECONDS_MAX)
                log.warning("timers start over", error=type(error).__name__, detail=detail_of(error))
                await _sleep(stop, pause)
        await backfills

    async def _look(self, reader: OffsetReader, stop: asyncio.Event) -> None:
        clock = self._runtime.clock
        grace = self._runtime.settings.grace_ms * 1_000
        if not await self._is_due(clock() - grace):
            return
        crash_point("due-seen")
        limit = clock() - grace
        ends = await reader.ends()
        wait = self._stands_still if self._is_fixed else self._is_applied
        is_read = await wait(reader, ends, stop)
        if not is_read:
            return
        crash_point("input-applied")
        try:
            async with asyncio.TaskGroup() as lanes:
                for _ in range(LANES):
                    lanes.create_task(self._fire(limit, stop))
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None

    async def _fire(self, limit: int, stop: asyncio.Event) -> None:
        """One lane: takes customers whom no other has taken until nobody is due."""
        while not stop.is_set():
            try:
                async with self._runtime.batches.store() as store:
                    fired = await expire(
                        store,
                        now=self._runtime.clock(),
                        until=limit,
                        recorded_at=time.time_ns() // 1_000,
                        aside=self._aside,
                    )
                    crash_point("due-written")
                crash_point("due-committed")
                self._runtime.tally.count(metrics.FIRED, by=fired)
            except WalkFailed as failed:
                await set_aside(self._runtime, self._aside, failed)
                continue
            if not fired:
                return

    async def _is_due(self, limit: int) -> bool:
        async with self._runtime.database.session() as connection:
            return await frontier.is_due(connection, limit)

    async def _is_applied(self, reader: OffsetReader, ends: Offsets, stop: asyncio.Event) -> bool:
        """Waits until all input before the ends is applied, or has stood still for TIMER_HOLD_SECONDS_MAX."""
        hold = Hold(self._runtime.settings, reader)
        while not stop.is_set():
            waiting = await self._waiting(ends)
            if not waiting:
                return True
            if await hold.is_over(waiting):
                async with self._runtime.database.session() as connection:
                    await counters.count(connection, counters.TIMERS_OVERTOOK)
                log.error(
                    "timers fire ahead of unread input", held_seconds=self._runtime.settings.timer_hold_seconds_max
                )
                return True
            await _sleep(stop, FRONTIER_SECONDS)
        return False

    async def _stands_still(self, reader: OffsetReader, ends: Offsets, stop: asyncio.Event) -> bool:
        """Under a fixed clock: whether all input is applied and nothing new comes for a while."""
        quiet_since = None
        while not stop.is_set():
            try:
                latest = await reader.ends()
            except KafkaError:
                return False
            has_passed = not await self._waiting(latest)
            if latest != ends or not has_passed:
                ends, quiet_since = latest, None
            if has_passed:
                quiet_since = quiet_since or time.monotonic()
                if time.monotonic() - quiet_since >= QUIET_SECONDS:
                    return True
            await _sleep(stop, LOOK_SECONDS)
        return False

    async def _waiting(self, ends: Offsets) -> Offsets:
        """The frontier of the partitions that are not applied up to these ends."""
        async with self._runtime.database.session() as connection:
            applied = await frontier.applied(connection, self._cluster)
        return {place: applied.get(place, 0) for place, end in ends.items() if applied.get(place, 0) < end}


async def _sleep(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
