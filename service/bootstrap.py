"""The composition root: settings in, parts assembled out."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from service.adapters.postgres.database import Database
from service.adapters.postgres.pins import FRESH_PLANS, PostgresPins, failing_clearly
from service.adapters.postgres.recover import PostgresRecovery
from service.adapters.postgres.repair import PostgresRepairs, blaming_values
from service.adapters.postgres.store import CatalogueCache, PostgresStore
from service.app.outgoing import Outgoing
from service.app.tally import Tally
from service.clock import Clock, make_clock
from service.core.campaigns.secrets import Purpose, derived_key
from service.core.events.decode import Rules
from service.core.segments.walk import ENTRIES_MAX
from service.crash import crash_point
from service.settings import Settings, SettingsError, load_settings
from service.stack.errors import StackError
from service.stack.state import read_stack_file

DEFAULT_DATA_DIR = Path(".local")


#: The signing secret of a stack, beside its stack.json.
SECRET_FILE = "jwt-secret"  # noqa: S105 - a file name
#: The secret of its campaigns, also there.
CAMPAIGN_SECRET_FILE = "campaign-secret"  # noqa: S105 - a file name
#: What commands beside a stack must agree on with its roles.
SHARED_SETTINGS = (
    "orders_topic",
    "customers_topic",
    "membership_topic",
    "dead_letter_topic",
    "messages_topic",
    "engagement_topic",
    "partitions",
    "consumer_group",
) + ("currency", "clock", "timer_grace_ms", "event_bytes_max", "jwt_audience", "jwt_issuer", "window_entries_max")


def shared_settings(settings: Settings) -> dict[str, Any]:
    """What stack.json tells commands about the roles' settings; no secrets."""
    return {name: getattr(settings, name) for name in SHARED_SETTINGS}


def settings_for_command(data_dir: Path = DEFAULT_DATA_DIR) -> Settings:
    """Settings from the environment; what it leaves out comes from a stack that runs on the data folder.

    Raises:
        SettingsError: a setting cannot be used.
    """
    if os.environ.get("SEGMENTS_DATABASE_URL") and os.environ.get("SEGMENTS_KAFKA_BOOTSTRAP"):
        return load_settings()
    try:
        stack = read_stack_file(data_dir)
    except StackError:
        stack = {}
    known: dict[str, Any] = dict(stack.get("settings", {}))
    known |= {name: stack.get(name) for name in ("database_url", "kafka_bootstrap")}
    for name, file in (("jwt_secret", SECRET_FILE), ("campaign_secret", CAMPAIGN_SECRET_FILE)):
        if (data_dir / file).exists():
            known[name] = (data_dir / file).read_text().strip()
    wanted = {name: value for name, value in known.items() if not os.environ.get("SEGMENTS_" + name.upper())}
    return load_settings(**wanted)


def open_database(settings: Settings, role: str, *, pool_size: int = 5, is_hot: bool = False) -> Database:
    """The database of this process.

    Raises:
        SettingsError: no URL is known.
    """
    if settings.database_url is None:
        msg = "SEGMENTS_DATABASE_URL: is not set; name a database, or run `segments up` first"
        raise SettingsError(msg)
    return Database.connect(settings.database_url.get_secret_value(), role=role, pool_size=pool_size, is_hot=is_hot)


def campaign_key(settings: Settings, purpose: Purpose) -> bytes:
    """The key of campaigns for one purpose.

    Raises:
        SettingsError: there is no secret to make it of.
    """
    secret = settings.campaign_secret or settings.jwt_secret
    if secret is None:
        msg = (
            "SEGMENTS_CAMPAIGN_SECRET: must be set, to a secret of at least 32 bytes, where SEGMENTS_JWT_SECRET is not"
        )
        raise SettingsError(msg)
    return derived_key(secret.get_secret_value(), purpose)


@dataclass
class Batches:
    """Opens the transaction of one batch, with its store.

    Attributes:
        cluster: the id of the Kafka cluster that the offsets of these batches speak of; consumers set it.
        inline_max: how many changes of membership a batch of events, timers or a backfill writes at once.
    """

    database: Database
    cache: CatalogueCache
    outgoing: Outgoing
    entries_max: int = ENTRIES_MAX
    cluster: str = ""
    inline_max: int = 1_000

    @asynccontextmanager
    async def store(self) -> AsyncIterator[PostgresStore]:
        """A store within a transaction that commits at the end of the block."""
        async with self.database.batch() as connection:
            parts = (self.cache, self.outgoing, self.entries_max, self.cluster, self.inline_max)
            yield PostgresStore(connection, *parts)

    @asynccontextmanager
    async def pins(self) -> AsyncIterator[PostgresPins]:
        """As `store`, with the statements of changes by hand.

        Raises:
            Contention: another transaction came first.
            ConnectionError: the database is out of reach.
        """
        async with failing_clearly(), self.database.batch() as connection:
            await connection.execute(FRESH_PLANS)
            yield PostgresPins(connection, self.cache, self.outgoing, self.entries_max)
            crash_point("pins-written")
        crash_point("pins-committed")

    @asynccontextmanager
    async def recovery(self) -> AsyncIterator[PostgresRecovery]:
        """As `store`, with the statements of a recovery's last step."""
        async with self.database.batch() as connection:
            store = PostgresRecovery(connection, self.cache, self.outgoing, self.entries_max)
            await store.make()
            yield store

    @asynccontextmanager
    async def repairs(self) -> AsyncIterator[PostgresRepairs]:
        """As `store`, with the statements of repairs.

        Raises:
            Contention: another transaction came first.
            ConnectionError: the database is out of reach.
            RepairStopped: the database refuses what no customer is at fault for.
        """
        async with blaming_values(), failing_clearly(), self.database.batch() as connection:
            await connection.execute(FRESH_PLANS)
            yield PostgresRepairs(connection, self.cache, self.outgoing, self.entries_max)


def open_batches(settings: Settings, database: Database) -> Batches:
    """Batches on this database, as the settings say."""
    outgoing = Outgoing(settings.membership_topic, settings.dead_letter_topic)
    inline_max = settings.membership_inline_max
    return Batches(database, CatalogueCache(), outgoing, settings.window_entries_max, inline_max=inline_max)


@dataclass
class Runtime:
    """What the roles share."""

    settings: Settings
    database: Database
    batches: Batches
    clock: Clock
    rules: Rules
    tally: Tally = field(default_factory=Tally)


@asynccontextmanager
async def open_runtime(
    settings: Settings, role: str, *, pool_size: int = 4, is_hot: bool = True
) -> AsyncIterator[Runtime]:
    """Assembles one role's parts; closes them at the end of the block. Who is hot has plans made for look-ups."""
    database = open_database(settings, role, pool_size=pool_size, is_hot=is_hot)
    try:
        yield Runtime(
            settings=settings,
            database=database,
            batches=open_batches(settings, database),
            clock=make_clock(settings.fixed_clock),
            rules=Rules(settings.currency, settings.event_bytes_max, settings.fixed_clock is not None),
        )
    finally:
        await database.close()
