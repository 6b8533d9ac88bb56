"""`segments doctor`: is everything as it must be, and what to do where it is not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import typer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from asyncpg import PostgresError
from sqlalchemy.exc import SQLAlchemyError

from service.adapters.kafka.options import connection_options
from service.adapters.kafka.topics import wanted_topics
from service.adapters.postgres.migrate import current_revision, head_revision
from service.bootstrap import DEFAULT_DATA_DIR, open_database
from service.cli.run import AsJson, DataDir, command_settings, console, print_json, run
from service.settings import Settings, SettingsError

SKEW_SECONDS_MAX: Final = 2.0
POSTGRES_VERSION_MIN: Final = 140_000


class Check(NamedTuple):
    """One thing looked at: whether it is well, what was found, and what to do if not."""

    name: str
    is_ok: bool
    found: str
    advice: str = ""


def doctor(as_json: AsJson = False, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Check settings, broker and database; say what to do about what is wrong. Exit code 1 if anything is."""
    checks: list[Check] = run(_examine(command_settings(data_dir)))
    if as_json:
        print_json({"checks": [check._asdict() for check in checks]})
    else:
        for check in checks:
            mark = "[green]ok[/green]  " if check.is_ok else "[red]bad[/red] "
            console.print(f"{mark}{check.name}: {check.found}", highlight=False)
            if check.advice and not check.is_ok:
                console.print(f"     {check.advice}", highlight=False)
    if not all(check.is_ok for check in checks):
        raise typer.Exit(1)


async def _examine(settings: Settings) -> list[Check]:
    checks = [Check("settings", True, "every variable can be used"), *_campaigns(settings)]
    checks += [check async for check in _database(settings)]
    checks += [check async for check in _broker(settings)]
    return checks


def _campaigns(settings: Settings) -> list[Check]:
    """Whether campaigns can be sent as far as the settings say."""
    has_secret = settings.campaign_secret is not None or settings.jwt_secret is not None
    found = "there is one" if has_secret else "there is none to sign links with"
    checks = [Check("campaign secret", has_secret, found, "Set SEGMENTS_CAMPAIGN_SECRET, or SEGMENTS_JWT_SECRET.")]
    if settings.smtp_url is not None:
        is_known = settings.public_url is not None
        found = "leads to SEGMENTS_PUBLIC_URL" if is_known else "has no address for unsubscribing"
        advice = "Set SEGMENTS_PUBLIC_URL to where recipients reach this API; marketing e-mails are not sent without."
        checks.append(Check("campaign mail", is_known, found, advice))
    return checks


async def _database(settings: Settings) -> AsyncIterator[Check]:
    try:
        database = open_database(settings, "doctor", pool_size=1)
    except SettingsError as error:
        yield Check("database", False, str(error), "Name a PostgreSQL 14 or newer.")
        return
    try:
        async with database.session() as connection:
            number = int(await connection.fetchval("SHOW server_version_num"))
            version = await connection.fetchval("SHOW server_version")
            now: datetime = await connection.fetchval("SELECT clock_timestamp()")
        skew = abs((datetime.now(UTC) - now).total_seconds())
        yield Check("database version", number >= POSTGRES_VERSION_MIN, version, "PostgreSQL 14 or newer is needed.")
        yield Check("database clock", skew <= SKEW_SECONDS_MAX, f"{skew:.3f} s apart", "Run NTP on both machines.")
        revision = await current_revision(database.engine)
        is_head = revision == head_revision()
        yield Check(
            "database schema", is_head, f"{revision or 'empty'}, this release wants {head_revision()}", _MIGRATE
        )
    except (PostgresError, SQLAlchemyError, OSError, TimeoutError) as error:
        found = f"does not answer ({type(error).__name__})"
        yield Check("database", False, found, "Check SEGMENTS_DATABASE_URL and that the server runs.")
    finally:
        await database.close()


_MIGRATE: Final = "Run `segments migrate`."


async def _broker(settings: Settings) -> AsyncIterator[Check]:
    try:
        admin = AIOKafkaAdminClient(**connection_options(settings), request_timeout_ms=10_000)
    except SettingsError as error:
        yield Check("broker", False, str(error), "Name an Apache Kafka 3.0 or newer.")
        return
    try:
        await admin.start()
        cluster = await admin.describe_cluster()
        yield Check("broker", True, f"{len(cluster['brokers'])} brokers at {settings.kafka_bootstrap}")
        present = set(await admin.list_topics())
        counts = {}
        for topic in wanted_topics(settings, 1):
            if topic.name not in present:
                yield Check(f"topic {topic.name}", False, "does not exist", _MIGRATE)
                continue
            counts[topic.name] = await _partitions(admin, topic.name)
            yield Check(f"topic {topic.name}", True, f"{counts[topic.name]} partitions")
        inputs = {counts.get(name) for name in settings.input_topics}
        advice = "Give both input topics equally many partitions, so that a customer's events meet in one worker."
        yield Check("input topics", len(inputs) == 1, f"partitions: {sorted(map(str, inputs))}", advice)
    except (KafkaError, OSError, TimeoutError) as error:
        found = f"does not answer ({type(error).__name__})"
        yield Check("broker", False, found, "Check SEGMENTS_KAFKA_BOOTSTRAP and that the broker runs.")
    finally:
        await admin.close()


async def _partitions(admin: Any, topic: str) -> int:
    found = await admin.describe_topics([topic])
    return len(found[0]["partitions"])
