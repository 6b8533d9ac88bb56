"""Reads that PostgreSQL stops when they take too long."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from service.adapters.postgres.database import Database
from service.app.preview import TooSlow

#: SQLSTATE query_canceled: here by statement_timeout alone.
_STOPPED: Final = "57014"


@asynccontextmanager
async def limited_snapshot(database: Database, seconds_max: float, setting: str) -> AsyncIterator[AsyncConnection]:
    """A snapshot each of whose statements may take so long.

    Args:
        database: where.
        seconds_max: after which PostgreSQL stops a statement.
        setting: the name of what says so, for the message.

    Raises:
        TooSlow: a statement was stopped.
    """
    with stopped_after(seconds_max, setting):
        async with database.snapshot() as connection:
            await connection.execute(text(_timeout(seconds_max)))
            yield connection


@asynccontextmanager
async def same_snapshot(
    database: Database, connection: AsyncConnection, seconds_max: float
) -> AsyncIterator[AsyncConnection]:
    """Another connection that sees what this one sees, so that two statements run at once.

    Args:
        database: whose pool lends it.
        connection: in a `limited_snapshot`, which says what becomes of a statement that was stopped;
            it must outlive the block.
        seconds_max: after which PostgreSQL stops a statement.
    """
    snapshot = (await connection.execute(text("SELECT pg_export_snapshot()"))).scalar_one()
    async with database.snapshot() as other:
        await other.execute(text(f"SET TRANSACTION SNAPSHOT '{snapshot}'"))
        await other.execute(text(_timeout(seconds_max)))
        yield other


@contextmanager
def stopped_after(seconds_max: float, setting: str) -> Iterator[None]:
    """Turns a statement that PostgreSQL stopped into the sentence that says so.

    Raises:
        TooSlow: it was stopped.
    """
    try:
        yield
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) == _STOPPED:
            raise TooSlow(seconds_max, setting) from None
        raise


def _timeout(seconds_max: float) -> str:
    return f"SET LOCAL statement_timeout = {max(1, round(seconds_max * 1_000))}"
