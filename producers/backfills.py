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
from service.adapters.postgres.candidates import Candidates, find_candidates
from service.app import metrics
from service.app.backfill import CUSTOMERS_MAX, backfill_slice
from service.app.set_aside import SetAside, WalkFailed
from service.bootstrap import Runtime
from service.crash import crash_point
from service.logs import detail_of

log = structlog.get_logger()

LOOK_SECONDS: Final = 0.2
PAUSE_SECONDS_MAX: Final = 1.0
FIRST: Final = UUID(int=0)


class Backfills:
    """Works until `stop` is set; a slice in flight is finished."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._aside = SetAside(CUSTOMERS_MAX)
        self._target = 0
        self._candidates: Candidates | None = None
        self._start_over()

    def _start_over(self) -> None:
        self._after = FIRST
        self._place = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Looks for running backfills and advances them."""
        pause = LOOK_SECONDS
        while not stop.is_set():
            try:
                is_busy = await self._slice()
                pause = LOOK_SECONDS
            except WalkFailed as failed:
                is_busy = True
                self._start_over()
                await self._note(failed)
            except Exception as error:  # a slice that failed changed nothing
                is_busy = False
                self._start_over()
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

    async def _prepare(self) -> bool:
        """Finds out whom the newest definitions may affect; whether there is anything to do."""
        database = self._runtime.database
        async with database.session() as connection:
            target = await backfills.running(connection)
            if target is None or target == self._target:
                return target is not None
            self._candidates = await find_candidates(database, target)
            if self._candidates is not None:
                await backfills.expect(connection, target, len(self._candidates))
        crash_point("candidates-noted")
        self._target = target
        self._start_over()
        return True

    async def _slice(self) -> bool:
        if not await self._prepare():
            return False
        runtime, target = self._runtime, self._target
        async with runtime.batches.store() as store:
            connection = store.connection
            if not await backfills.try_lock(connection) or await backfills.running(connection) != target:
                return False
            recorded_at = time.time_ns() // 1_000
            chosen = None if self._candidates is None else self._candidates.some(self._place, self._aside.size)
            done = await backfill_slice(
                store,
                introduced=target,
                after=self._after,
                now=runtime.clock(),
                recorded_at=recorded_at,
                aside=self._aside,
                chosen=chosen,
            )
            if done.customers:
                await backfills.advance(connection, target, done.customers)
                crash_point("slice-written")
            elif self._after != FIRST and chosen is None:
                self._start_over()  # one more look, for whoever was skipped
                return True
            else:
                await store.merge_memberships()  # who sees that it is done sees who is in
                await backfills.finish(connection, target)
                crash_point("backfill-ended")
                self._target = 0
                log.info("backfill done", catalogue_version=target)
        crash_point("slice-committed")
        runtime.tally.count(metrics.BACKFILLED, by=done.customers)
        self._after = done.last
        self._place += done.customers
        return True
