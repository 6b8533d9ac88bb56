"""`segments migrate`: schema to head, topics where they are missing."""

from __future__ import annotations

import typer

from service.adapters.kafka.topics import create_topics
from service.adapters.postgres.migrate import current_revision, head_revision
from service.adapters.postgres.migrate import migrate as migrate_database
from service.bootstrap import DEFAULT_DATA_DIR, open_database
from service.cli.run import CommandError, DataDir, command_settings, run
from service.crash import arm
from service.settings import Settings


def migrate(data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Bring the database's schema to head and create missing topics; safe while the old release runs."""
    run(_migrate(command_settings(data_dir)))


async def _migrate(settings: Settings) -> None:
    arm(settings.crash_at)
    await migrate_schema(settings)
    created = await create_topics(settings) if settings.kafka_bootstrap else []
    if created:
        typer.echo(f"topics created: {', '.join(created)}")


async def migrate_schema(settings: Settings) -> None:
    """Schema to head, saying where it was and is."""
    database = open_database(settings, "migrate", pool_size=2)
    try:
        before, head = await current_revision(database.engine), head_revision()
        if before is not None and before > head:  # revisions count up
            msg = f"The schema is at {before}, of a newer release; this one knows {head}. Nothing was changed."
            raise CommandError(msg)
        await migrate_database(database.engine)
        typer.echo(f"schema: {before or 'empty'} -> {await current_revision(database.engine)}")
    finally:
        await database.close()
