"""The schema: built by migrations alone, both ways, and the same as the tables in the code."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from alembic import command
from sqlalchemy import text

import migrations
from service.adapters.postgres.database import Database
from service.adapters.postgres.migrate import alembic_config, current_revision, head_revision, migrate

VERSIONS = Path(migrations.__file__).parent / "versions"


async def test_down_and_up_again(database: Database) -> None:
    """From head to an empty schema and back; nothing is left behind on the way down."""
    await migrate(database.engine, "base")
    async with database.session() as connection:
        tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    assert [row[0] for row in tables] == ["alembic_version"]
    assert await current_revision(database.engine) is None

    await migrate(database.engine)
    await migrate(database.engine)
    assert await current_revision(database.engine) == head_revision()


async def test_several_at_once(database: Database) -> None:
    """Runners that start together wait for each other; none fails, and every index is whole."""
    await migrate(database.engine, "base")
    await asyncio.gather(*(migrate(database.engine) for _ in range(4)))

    assert await current_revision(database.engine) == head_revision()
    async with database.session() as connection:
        assert await connection.fetch("SELECT indexrelid::regclass FROM pg_index WHERE NOT indisvalid") == []


async def test_no_drift(database: Database) -> None:
    """`alembic check` finds no difference between the migrated schema and the tables."""
    async with database.engine.connect() as connection:
        await connection.run_sync(lambda sync: command.check(alembic_config(sync)))


async def test_there_is_one_catalogue(database: Database) -> None:
    """The catalogue has exactly one row, with an instance id of its own."""
    async with database.transaction() as connection:
        rows = (await connection.execute(text("SELECT version, instance_id FROM catalogue"))).all()
    assert len(rows) == 1


def test_names() -> None:
    """A migration's file is named by date and number, in order."""
    names = sorted(path.name for path in VERSIONS.glob("*.py"))
    assert names
    assert all(re.fullmatch(r"\d{4}_\d\d_\d\d_\d{4}_[a-z0-9_]+\.py", name) for name in names)
