"""The relay's second task: membership changes that wait are merged into their table, publishing first."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

import structlog

from service.adapters.postgres import membership_changes
from service.adapters.postgres.membership_changes import Waiting
from service.bootstrap import Runtime
from service.crash import crash_point
from service.logs import detail_of

log = structlog.get_logger()

LOOK_SECONDS: Final = 0.05
#: No large batch for so long: input is not behind any more. A row's age counts from the beginning of its batch, and
#: batches take up to a second or so, so that the newest one is two of them old when the next one appears.
QUIET_SECONDS: Final = 3.0
PAUSE_SECONDS_MAX: Final = 1.0


class Merging:
    """Merges until `stop` is set; a merge in flight is finished.

    While large batches follow one another, input is behind: then it waits, for MEMBERSHIP_LAG_SECONDS_MAX at most, for
    the more changes one merge takes, the less each of them costs. Relays that stand by merge as well, one at a time.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._inline_max = runtime.settings.membership_inline_max
        self._lag_seconds_max = runtime.settings.membership_lag_seconds_max

    async def run(self, stop: asyncio.Event) -> None:
        """Looks for changes that wait; what fails changed nothing, and is tried again."""
        pause = LOOK_SECONDS
        while not stop.is_set():
            merged = 0
            try:
                merged = await self._merge()
                pause = LOOK_SECONDS
            except Exception as error:
                pause = min(pause * 2, PAUSE_SECONDS_MAX)
                log.warning("merging starts over", error=type(error).__name__, detail=detail_of(error))
            if not merged:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), pause)

    def _is_behind(self, waiting: Waiting) -> bool:
        return waiting.newest_changes > self._inline_max and waiting.newest_seconds < QUIET_SECONDS

    async def _merge(self) -> int:
        async with self._runtime.database.session() as connection:
            waiting = await membership_changes.look(connection)
        if waiting is None or (self._is_behind(waiting) and waiting.oldest_seconds < self._lag_seconds_max):
            return 0
        async with self._runtime.database.batch() as connection:
            merged = await membership_changes.merge(connection)
        crash_point("merge-committed")
        return merged
