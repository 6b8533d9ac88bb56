"""The composition root: settings in, parts assembled out."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.adapters.postgres.database import Database
from service.adapters.postgres.store import CatalogueCache, PostgresStore
from service.app.outgoing import Outgoing
from service.clock import Clock, make_clock
from service.core.events.decode import Rules
from service.settings import Settings, SettingsError, load_settings
from service.stack.errors import StackError
from service.stack.state import read_stack_file

DEFAULT_DATA_DIR = Path(".local")


def settings_for_command(data_dir: Path = DEFAULT_DATA_DIR) -> Settings:
    """Settings from the environment; what it leaves out of the servers' URLs comes from a running stack.

    Raises:
        SettingsError: a setting cannot be used.
    """
    if os.environ.get("SEGMENTS_DATABASE_URL") and os.environ.get("SEGMENTS_KAFKA_BOOTSTRAP"):
        return load_settings()
    try:
        stack = read_stack_file(data_dir)
    except StackError:
        stack = {}
    known: dict[str, Any] = {**stack.get("settings", {})}
    for name, source in (("database_url", "database_url"), ("kafka_bootstrap", "kafka_bootstrap")):
        known[name] = stack.get(source)
    return load_settings(
        **{name: value for name, value in known.items() if not os.environ.get("SEGMENTS_" + name.upper())}
    )


def open_database(settings: Settings, role: str, *, pool_size: int = 5, is_hot: bool = False) -> Database:
    """The database of this process.

    Raises:
        SettingsError: no URL is known.
    """
    if settings.database_url is None:
        msg = "SEGMENTS_DATABASE_URL: is not set; name a database, or run `segments up` first"
        raise SettingsError(msg)
    return Database.connect(settings.database_url.get_secret_value(), role=role, pool_size=pool_size, is_hot=is_hot)


@dataclass
class Batches:
    """Opens the transaction of one batch, with its store."""

    database: Database
    cache: CatalogueCache
    outgoing: Outgoing

    @asynccontextmanager
    async def store(self) -> AsyncIterator[PostgresStore]:
        """A store within a transaction that commits at the end of the block."""
        async with self.database.batch() as connection:
            yield PostgresStore(connection, self.cache, self.outgoing)


@dataclass
class Runtime:
    """What the roles share."""

    settings: Settings
    database: Database
    batches: Batches
    clock: Clock
    rules: Rules


@asynccontextmanager
async def open_runtime(settings: Settings, role: str, *, pool_size: int = 4) -> AsyncIterator[Runtime]:
    """Assembles one role's parts; closes them at the end of the block."""
    database = open_database(settings, role, pool_size=pool_size, is_hot=True)
    try:
        yield Runtime(
            settings=settings,
            database=database,
            batches=Batches(
                database, CatalogueCache(), Outgoing(settings.membership_topic, settings.dead_letter_topic)
            ),
            clock=make_clock(settings.fixed_clock),
            rules=Rules(settings.currency, settings.event_bytes_max, settings.fixed_clock is not None),
        )
    finally:
        await database.close()
