"""The flag that asks workers to step aside: one owner at a time, and gone by itself when the owner is."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg
from sqlalchemy.exc import SQLAlchemyError

from service.adapters.postgres.database import Database

#: The pause of all consume roles of this database.
CONSUME: Final = "consume"
EXPIRY_SECONDS: Final = 15
RENEWAL_SECONDS: Final = 3

IS_PAUSED: Final = "SELECT EXISTS (SELECT FROM pauses WHERE name = $1 AND expires_at > clock_timestamp())"
TAKE: Final = """
INSERT INTO pauses AS p (name, owner, expires_at) VALUES ($1, $2, clock_timestamp() + make_interval(secs => $3))
ON CONFLICT (name) DO UPDATE SET owner = EXCLUDED.owner, expires_at = EXCLUDED.expires_at
WHERE p.expires_at <= clock_timestamp()
RETURNING owner
"""
RENEW: Final = """
UPDATE pauses SET expires_at = clock_timestamp() + make_interval(secs => $3) WHERE name = $1 AND owner = $2
"""
END: Final = "DELETE FROM pauses WHERE name = $1 AND owner = $2"
OWNER: Final = "SELECT owner FROM pauses WHERE name = $1"


class PauseTaken(Exception):
    """Somebody else has paused the consumers; the message names the owner."""


async def is_paused(connection: Any) -> bool:
    """Whether workers are asked to step aside."""
    return bool(await connection.fetchval(IS_PAUSED, CONSUME))


@asynccontextmanager
async def paused(database: Database, owner: str) -> AsyncIterator[None]:
    """Within the block workers are asked to step aside; should this process die, for at most EXPIRY_SECONDS more.

    Raises:
        PauseTaken: another owner's pause has not ended.
    """
    async with database.session() as connection:
        if await connection.fetchval(TAKE, CONSUME, owner, EXPIRY_SECONDS) is None:
            raise PauseTaken(await connection.fetchval(OWNER, CONSUME) or "somebody who has just ended")
    renewing = asyncio.create_task(_renew(database, owner))
    try:
        yield
    finally:
        renewing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await renewing
        async with database.session() as connection:
            await connection.execute(END, CONSUME, owner)


async def _renew(database: Database, owner: str) -> None:
    while True:
        await asyncio.sleep(RENEWAL_SECONDS)
        # A database that is away lets the pause run out; the broker then refuses to move what is in use.
        with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, SQLAlchemyError, OSError):
            async with database.session() as connection:
                await connection.execute(RENEW, CONSUME, owner, EXPIRY_SECONDS)
