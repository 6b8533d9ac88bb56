"""What a worker does in the database beside its batches: looks whether it is to step aside, and tells its pace."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from typing import Final

import structlog

from consumers.connection import member_id
from service.adapters.postgres import pauses, workers
from service.bootstrap import Runtime

log = structlog.get_logger()

LOOK_SECONDS: Final = 0.5
TELL_SECONDS: Final = 5.0
ANSWER_SECONDS_MAX: Final = 5.0


class Desk:
    """One worker's; lives as long as the role."""

    def __init__(self, runtime: Runtime) -> None:
        self._database = runtime.database
        self._member = member_id(runtime.settings) or f"{socket.gethostname()}-{os.getpid()}"
        self._records = 0
        self._seconds = 0.0
        self._told_at = time.monotonic()

    def note(self, records: int, seconds: float) -> None:
        """So many records took so long."""
        self._records += records
        self._seconds += seconds

    async def until_called(self, stop: asyncio.Event, leave: asyncio.Event) -> None:
        """Sets `leave` when `stop` is set, at once and whatever the database does, or the workers are to step aside."""
        tasks = [asyncio.create_task(self._until_paused()), asyncio.create_task(stop.wait())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            leave.set()
        finally:
            for task in tasks:
                task.cancel()

    async def _until_paused(self) -> None:
        looks = 0
        while not await self._is_paused():
            await asyncio.sleep(LOOK_SECONDS)
            looks += 1
            if looks * LOOK_SECONDS >= TELL_SECONDS:
                looks = 0
                await self._tell()
        log.info("stepping aside: the consumers are paused")

    async def until_free(self, stop: asyncio.Event) -> None:
        """Returns when the workers are not, or not any more, to step aside."""
        while not stop.is_set() and await self._is_paused():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), LOOK_SECONDS)

    async def _is_paused(self) -> bool:
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX), self._database.session() as connection:
                return await pauses.is_paused(connection)
        except Exception as error:  # batches wait for the database by themselves
            log.debug("pause not known", error=type(error).__name__)
            return False

    async def _tell(self) -> None:
        records, seconds = self._records, self._seconds
        if not records or not seconds:
            self._told_at = time.monotonic()
            return
        mean = records / (time.monotonic() - self._told_at)
        self._records, self._seconds, self._told_at = 0, 0.0, time.monotonic()
        with contextlib.suppress(Exception):  # an estimate for operators; the next one comes
            async with asyncio.timeout(ANSWER_SECONDS_MAX), self._database.session() as connection:
                await workers.tell_pace(connection, self._member, records / seconds, mean)
