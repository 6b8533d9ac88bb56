"""Schema to head, one runner at a time, safe beside the release before."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

import migrations

#: Key of the advisory lock that lets one `segments migrate` run at a time.
MIGRATION_LOCK: Final = 7_300_001
LOCK_TIMEOUT_SECONDS: Final = 5
LOCK_PAUSE_SECONDS: Final = 0.2


def alembic_config(connection: Connection) -> Config:
    """Alembic's configuration for one connection; needs no file."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.attributes["connection"] = connection
    return config


def head_revision() -> str:
    """The schema this release wants."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    head = ScriptDirectory.from_config(config).get_current_head()
    assert head is not None  # noqa: S101 - there is always a first migration
    return head


async def migrate(engine: AsyncEngine, revision: str = "head") -> None:
    """Brings the schema to a revision; waits for another runner to finish first."""
    async with engine.connect() as connection:
        await _wait_for_turn(connection)
        # A migration that waits for a lock stalls everyone queued behind it: better to fail and be run again.
        await connection.execute(text(f"SET lock_timeout = '{LOCK_TIMEOUT_SECONDS}s'"))
        await connection.commit()
        try:
            if revision == "base":
                await connection.run_sync(lambda sync: command.downgrade(alembic_config(sync), revision))
            else:
                await connection.run_sync(lambda sync: command.upgrade(alembic_config(sync), revision))
            await connection.commit()
        finally:
            await connection.rollback()
            await connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": MIGRATION_LOCK})
            await connection.execute(text("RESET lock_timeout"))
            await connection.commit()


async def _wait_for_turn(connection: AsyncConnection) -> None:
    """Asks again and again and never within a statement: an index that is made CONCURRENTLY waits for those."""
    while not (await connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": MIGRATION_LOCK})).scalar():
        await connection.commit()
        await asyncio.sleep(LOCK_PAUSE_SECONDS)
    await connection.commit()


async def current_revision(engine: AsyncEngine) -> str | None:
    """The schema the database has; None where it is empty."""
    async with engine.connect() as connection:
        return await connection.run_sync(lambda sync: MigrationContext.configure(sync).get_current_revision())
