"""A role's sums told to the database every few seconds, beside its work."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import structlog

from service.adapters.postgres import totals
from service.adapters.postgres.database import Database
from service.app.tally import Tally

log = structlog.get_logger()

TELL_SECONDS: Final = 5.0
ANSWER_SECONDS_MAX: Final = 5.0
#: A role that stops tells once more, and waits no longer for that.
LAST_SECONDS_MAX: Final = 2.0


@asynccontextmanager
async def telling(database: Database, tally: Tally) -> AsyncIterator[None]:
    """Within the block, and once more at its end, the sums are told; who is killed loses those of some seconds."""
    stop = asyncio.Event()
    task = asyncio.create_task(_tell_on(database, tally, stop))
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait({task}, timeout=LAST_SECONDS_MAX)
        task.cancel()


async def _tell_on(database: Database, tally: Tally, stop: asyncio.Event) -> None:
    while not stop.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), TELL_SECONDS)
        await tell(database, tally)


async def tell(database: Database, tally: Tally) -> None:
    """Tells the sums; where the database does not answer they are kept for the next time."""
    taken = tally.take()
    if not taken:
        return
    try:
        async with asyncio.timeout(ANSWER_SECONDS_MAX), database.session() as connection:
            await totals.add(connection, taken)
    except Exception as error:  # figures for operators; no role stops over them
        tally.put_back(taken)
        log.debug("sums not told", error=type(error).__name__)
