"""What nobody asks for and has to be done all the same: keys of requests go when they have expired."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import structlog

from service.adapters.postgres.database import Database
from service.adapters.postgres.idempotency import FORGOTTEN_AT_ONCE, forget_expired
from service.logs import detail_of

#: Answers that are kept hold what was answered, so they should not outlive their day by much.
PAUSE_SECONDS: Final = 600.0

_log = structlog.get_logger(__name__)


@asynccontextmanager
async def tidying(database: Database, pause_seconds: float = PAUSE_SECONDS) -> AsyncIterator[None]:
    """For the length of the block removes what has expired, at its start and then after each pause."""
    working = asyncio.create_task(_tidy(database, pause_seconds))
    try:
        yield
    finally:
        working.cancel()
        await asyncio.wait((working,))


async def _tidy(database: Database, pause_seconds: float) -> None:
    while True:
        try:
            removed = await _forget(database)
        except Exception as error:  # the outside is away; the next time does it
            _log.warning("expired keys stay for now", error=type(error).__name__, detail=detail_of(error))
        else:
            if removed:
                _log.info("expired keys removed", count=removed)
        await asyncio.sleep(pause_seconds)


async def _forget(database: Database) -> int:
    """Some in a transaction, so that requests that bring new keys never wait for long."""
    removed, count = FORGOTTEN_AT_ONCE, 0
    while removed == FORGOTTEN_AT_ONCE:
        async with database.upkeep() as connection:
            removed = await forget_expired(connection)
        count += removed
    return count
