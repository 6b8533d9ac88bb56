"""Runs backfills slice by slice, beside live batches; goes on after a crash where customers are still behind."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Final
from uuid import UUID

import structlog

from producers.faults import set_aside
from service.adapters.postgres import backfills
from service.app.backfill import CUSTOMERS_MAX, backfill_slice
from service.app.set_aside import SetAside, WalkFailed
from service.bootstrap import Runtime
from service.logs import detail_of

log = structlog.get_logger()

LOOK_SECONDS: Final = 0.2
PAUSE_SECONDS_MAX: Final = 5.0
FIRST: Final = UUID(int=0)


class Backfills:
    """Works until `stop` is set; a slice in flight is finished."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._aside = SetAside(CUSTOMERS_MAX)
        self._target = 0
        self._after = FIRST

    async def run(self, stop: asyncio.Event) -> None:
        """Looks for running backfills and advances them."""
        pause = LOOK_SECONDS
        while not stop.is_set():
            try:
                is_busy = await self._slice()
                pause = LOOK_SECONDS
            except WalkFailed as failed:
                is_busy = True
                self._after = FIRST
                await self._note(failed)
            except Exception as error:  # a slice that failed changed nothing
                is_busy = False
                self._after = FIRST
                pause = min(pause * 2, PAUSE_SECONDS_MAX)
                log.warning("backfill starts over", error=type(error).__name__, detail=detail_of(error))
            if not is_busy:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), pause)

    async def _note(self, failed: WalkFailed) -> None:
        try:
            await set_aside(self._runtime, self._aside, failed)
        except Exception as error:  # it passes by itself
            log.warning("backfill starts over", error=type(error).__name__)
            await asyncio.sleep(LOOK_SECONDS)

    async def _slice(self) -> bool:
        runtime = self._runtime
        async with runtime.batches.store() as store:
            connection = store.connection
            if not await backfills.try_lock(connection):
                return False
            target = await backfills.running(connection)
            if target is None:
                return False
            if target != self._target:
                self._target, self._after = target, FIRST
            recorded_at = time.time_ns() // 1_000
            done = await backfill_slice(
                store,
                introduced=target,
                after=self._after,
                now=runtime.clock(),
                recorded_at=recorded_at,
                aside=self._aside,
            )
            if done.customers:
                await backfills.advance(connection, target, done.customers)
            elif self._after != FIRST:
                self._after = FIRST  # one more look from the start, for whoever was skipped
                return True
            else:
                await backfills.finish(connection, target)
                log.info("backfill done", catalogue_version=target)
        self._after = done.last
        return True
