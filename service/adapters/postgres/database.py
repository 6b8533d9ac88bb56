"""The one place where transactions commit (ARCHITECTURE, invariant 1)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, Self

from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DisconnectionError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from service.crash import crash_point
from service.settings import SettingsError

CONNECT_SECONDS_MAX: Final = 5
#: Ends a transaction whose process is frozen, so that its row locks do not outlive it by much.
IDLE_IN_TRANSACTION_SECONDS_MAX: Final = 120

#: On a table that grows from nothing, statistics lag; a plan made then would scan it all for every batch.
HOT_PLANS: Final = {
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "plan_cache_mode": "force_generic_plan",
}

#: Advisory locks, transaction-scoped. Everyone who evaluates holds the catalogue shared; who changes it, exclusively.
CATALOGUE_LOCK: Final = 7_300_002
#: Shared by who stores something about customers without a profile, exclusive to who erases.
ERASURE_LOCK: Final = 7_300_005
#: Held by who merges membership changes; taken after the erasure lock.
MERGE_LOCK: Final = 7_300_008


class Database:
    """A pool of connections with two ways in: SQLAlchemy for requests, plain asyncpg for batches."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine

    @classmethod
    def connect(cls, url: str, *, role: str, pool_size: int = 5, is_hot: bool = False) -> Self:
        """A pool on this URL (postgresql://...); connects on first use.

        Args:
            url: postgresql://user:password@host:port/database.
            role: named in pg_stat_activity.
            pool_size: connections at most.
            is_hot: pins the plans of batches to index look-ups, whatever the statistics say so far.

        Raises:
            SettingsError: the URL cannot be read.
        """
        try:
            parsed = make_url(url)
        except ArgumentError:
            parsed = None
        if parsed is None or parsed.get_backend_name() != "postgresql":
            msg = "SEGMENTS_DATABASE_URL: must be a URL such as postgresql://user:password@host:5432/database"
            raise SettingsError(msg)
        settings = {
            "application_name": f"segments-{role}",
            "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_SECONDS_MAX}s",
            "timezone": "UTC",
            "jit": "off",
        }
        if is_hot:
            settings |= HOT_PLANS
        engine = create_async_engine(
            parsed.set(drivername="postgresql+asyncpg"),
            pool_size=pool_size,
            max_overflow=0,
            connect_args={"server_settings": settings, "timeout": CONNECT_SECONDS_MAX},
        )
        event.listen(engine.sync_engine, "checkout", _refuse_closed)
        return cls(engine)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """One request's transaction: commits at the end of the block, rolls back on any exception."""
        async with self.engine.begin() as connection:
            yield connection
        crash_point("request-committed")

    @asynccontextmanager
    async def upkeep(self) -> AsyncIterator[AsyncConnection]:
        """As `transaction`, for what no request asks for."""
        async with self.engine.begin() as connection:
            yield connection

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[AsyncConnection]:
        """Reads of one instant; writes nothing."""
        async with self.engine.connect() as connection:
            await connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            yield connection

    @asynccontextmanager
    async def batch(self) -> AsyncIterator[Any]:
        """One batch's transaction on the driver's own connection (asyncpg.Connection); commits at the end."""
        async with self.engine.connect() as connection:
            raw = await connection.get_raw_connection()
            driver: Any = raw.driver_connection
            async with driver.transaction():
                yield driver

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Any]:
        """The driver's own connection without a transaction: for session locks, LISTEN and single statements."""
        async with self.engine.connect() as connection:
            raw = await connection.get_raw_connection()
            yield raw.driver_connection

    async def close(self) -> None:
        """Closes the pool."""
        await self.engine.dispose()


def _refuse_closed(connection: Any, record: Any, proxy: Any) -> None:
    """Makes the pool replace a dead connection; batches use the driver's own, so it would not learn of it."""
    if connection.driver_connection.is_closed():
        raise DisconnectionError
