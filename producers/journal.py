"""What is written about attempts: many at a time, for many connections share one commit.

Before a message is sent it is marked in the database that its attempt begins; what came of the one before is written
by the same transaction. So of each connection at most one message is in doubt when the process dies.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, NamedTuple
from uuid import UUID

import structlog

from service.adapters.postgres.campaigns import attempts
from service.app.dispatch.outcomes import Finished, Lease
from service.bootstrap import Runtime
from service.crash import crash_point
from service.logs import detail_of

log = structlog.get_logger()

ENTRIES_MAX: Final = 500
PAUSE_SECONDS: Final = 0.2


class _Entry(NamedTuple):
    ended: tuple[Lease, Finished] | None
    beginning: Lease | None
    done: asyncio.Future[bool]


class Journal:
    """Writes in the order of asking; while one transaction runs, the next one's entries gather."""

    def __init__(self, runtime: Runtime, lease_seconds: float, told: Callable[[Lease, Finished], None]) -> None:
        self._runtime, self._lease_seconds, self._told = runtime, lease_seconds, told
        self._entries: list[_Entry] = []
        self._has_some = asyncio.Event()
        #: Whoever else writes rows of this process's leases waits: two transactions would lock them crosswise.
        self.turn = asyncio.Lock()

    async def write(self, ended: tuple[Lease, Finished] | None, beginning: Lease | None) -> bool:
        """Returns when both are committed; whether the attempt may begin."""
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._entries.append(_Entry(ended, beginning, done))
        self._has_some.set()
        return await done

    async def run(self) -> None:
        """Until it is cancelled. A database that is away is waited for: what was sent must not be forgotten."""
        while True:
            await self._has_some.wait()
            some, self._entries = self._entries[:ENTRIES_MAX], self._entries[ENTRIES_MAX:]
            if not self._entries:
                self._has_some.clear()
            begun = await self._until_written(some)
            for one in some:
                if one.ended is not None:
                    self._told(*one.ended)
                if not one.done.done():
                    one.done.set_result(one.beginning is not None and one.beginning.token in begun)

    async def _until_written(self, some: list[_Entry]) -> set[UUID]:
        while True:
            try:
                return await self._write(some)
            except Exception as error:
                log.warning("attempts will be written again", error=type(error).__name__, detail=detail_of(error))
                await asyncio.sleep(PAUSE_SECONDS)

    async def _write(self, some: list[_Entry]) -> set[UUID]:
        ended = [one.ended for one in some if one.ended is not None]
        beginning = [one.beginning for one in some if one.beginning is not None]
        async with self.turn, self._runtime.database.batch() as connection:
            begun = await attempts.end_and_begin(
                connection,
                ended,
                beginning,
                lease_seconds=self._lease_seconds,
                engagement_topic=self._runtime.settings.engagement_topic,
                now=self._runtime.clock(),
            )
            crash_point("attempts-written")
        crash_point("attempts-committed")
        return begun
