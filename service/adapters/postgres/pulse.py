"""Notices that the database has gone silent: it takes connections and bytes, and answers nothing.

A frozen server, or a host that is cut off, would keep whoever waits for an answer waiting for ever; a limit on each
statement would cut those that are slow for good reasons. So one connection asks the simplest of questions all the time.
While that is not answered, everything that waits for the database fails at once, and a connection left behind in the
middle of a statement is closed, never used again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final
from weakref import WeakSet

import structlog
from sqlalchemy import event

from service.adapters.postgres.database import Database

#: Between two questions, and between the looks whether a silent database is back.
PAUSE_SECONDS: Final = 1.0
#: Who was so late in looking at the clock stood still itself, and can say nothing of the database.
LATE_SECONDS_MAX: Final = 0.5

_log = structlog.get_logger(__name__)


class DatabaseSilent(ConnectionError):
    """The database takes connections and does not answer."""


class Pulse:
    """Watches the connections of one pool, by a connection of another that nobody else uses."""

    def __init__(self, database: Database, probe: Database, silence_seconds_max: float) -> None:
        """Watches nothing yet, but sees every connection that the pool makes from now on.

        Args:
            database: whose users must not hang.
            probe: a pool of one connection to the same database.
            silence_seconds_max: how long the simplest of questions may go unanswered.
        """
        self._probe, self._seconds = probe, silence_seconds_max
        self._is_silent = False
        self._connections: WeakSet[Any] = WeakSet()
        self._probes: WeakSet[Any] = WeakSet()
        event.listen(database.engine.sync_engine, "do_connect", self._refuse_while_silent)
        for engine, known in ((database.engine, self._connections), (probe.engine, self._probes)):
            event.listen(engine.sync_engine, "connect", _noting(known))

    async def run(self) -> None:
        """Watches until cancelled."""
        while True:
            await self._beat()
            await asyncio.sleep(PAUSE_SECONDS)

    async def _beat(self) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        asking = asyncio.ensure_future(self._ask())
        try:
            done, _ = await asyncio.wait((asking,), timeout=self._seconds)
        finally:
            if not asking.done():
                _terminate(self._probes)
                asking.cancel()
        if done:
            # An error is an answer, too: whoever asks gets it at once.
            if asking.exception() is None or not isinstance(asking.exception(), TimeoutError):
                self._hear()
            else:
                self._miss()
        elif loop.time() - started < self._seconds + LATE_SECONDS_MAX:
            self._miss()

    async def _ask(self) -> None:
        async with self._probe.session() as connection:
            await connection.fetchval("SELECT 1")

    def _hear(self) -> None:
        if self._is_silent:
            self._is_silent = False
            _log.info("the database answers again")

    def _miss(self) -> None:
        if not self._is_silent:
            _log.error("the database takes connections and does not answer", seconds=self._seconds)
        self._is_silent = True
        _terminate(self._connections)

    def _refuse_while_silent(self, *_: Any) -> None:
        if self._is_silent:
            msg = "the database takes connections and does not answer"
            raise DatabaseSilent(msg)


@asynccontextmanager
async def watched(database: Database, probe: Database, silence_seconds_max: float) -> AsyncIterator[None]:
    """For the length of the block, whoever waits for a silent database is let go; the probe is closed at its end."""
    watching = asyncio.create_task(Pulse(database, probe, silence_seconds_max).run())
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.wait((watching,))
        await probe.close()


def _noting(known: WeakSet[Any]) -> Any:
    def note(connection: Any, _: Any) -> None:
        known.add(connection.driver_connection)

    return note


def _terminate(connections: WeakSet[Any]) -> None:
    """Closes them without a word to the server; what waits for them fails at once."""
    for one in list(connections):
        one.terminate()
        connections.discard(one)
