"""The relay's second task: membership changes that wait are merged into their table, publishing first."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

import structlog

from service.adapters.postgres import membership_changes
from service.bootstrap import Runtime
from service.crash import crash_point
from service.logs import detail_of

log = structlog.get_logger()

LOOK_SECONDS: Final = 0.05
PAUSE_SECONDS_MAX: Final = 1.0


class Merging:
    """Merges until `stop` is set; a merge in flight is finished.

    It begins when nothing waits to be published, or when the oldest change has waited for MEMBERSHIP_LAG_SECONDS_MAX:
    the more changes one merge takes, the less each of them costs. Relays that stand by merge as well, one at a time.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
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

    async def _merge(self) -> int:
        async with self._runtime.database.session() as connection:
            waited = await membership_changes.waited_seconds(connection)
            if waited is None:
                return 0
            if waited < self._lag_seconds_max and await membership_changes.is_publishing(connection):
                return 0
        async with self._runtime.database.batch() as connection:
            merged = await membership_changes.merge(connection)
        crash_point("merge-committed")
        return merged
