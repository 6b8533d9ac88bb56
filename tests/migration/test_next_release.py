"""Releases beside each other: this one on a schema that a newer one has expanded, and migrations that must not wait."""

from __future__ import annotations

import pytest
from asyncpg import LockNotAvailableError
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from service.adapters.postgres.database import Database
from service.adapters.postgres.migrate import migrate
from service.core import instants
from service.stack.group import Servers
from tests import oracle, shop
from tests.world import create, members, world

#: What an expanding migration may do while the release before runs.
EXPAND = """
ALTER TABLE customers ADD COLUMN birthday date;
ALTER TABLE profiles ADD COLUMN visits bigint NOT NULL DEFAULT 0;
ALTER TABLE catalogue ADD COLUMN notes jsonb;
ALTER TABLE customer_segment_memberships ADD COLUMN weight integer NOT NULL DEFAULT 1;
ALTER TABLE outbox ADD COLUMN priority smallint NOT NULL DEFAULT 0;
CREATE TABLE loyalty (customer_id uuid PRIMARY KEY, points bigint NOT NULL);
CREATE INDEX customers_birthday_idx ON customers (birthday);
UPDATE alembic_version SET version_num = '9999';
"""


async def test_this_release_on_the_schema_of_the_next(
    session_servers: Servers, database_url: str, database: Database
) -> None:
    """All roles go on while and after the schema grows under them, and `migrate` says who is to run it."""
    with world(session_servers.kafka_bootstrap, database_url, shop.CLOCK) as made:
        await create(database, shop.SEGMENTS, shop.CLOCK)
        made.start_all()
        events = shop.events(customers=30, count=600)
        made.publish(events[:300], "--topic", made.orders)
        async with database.session() as connection:
            # One lock at a time, as migrations must: a batch may take two of them the other way round.
            for statement in EXPAND.strip().split("\n"):
                await connection.execute(statement)
        made.publish(events[300:], "--topic", made.orders)
        made.wait_idle()

        assert await members(database) == oracle.members_at(events, shop.SEGMENTS, instants.parse(shop.CLOCK))
        made.verify()
        older = made.command("migrate")
        assert older.returncode == 1
        assert b"newer release" in older.stderr
        assert b"Traceback" not in older.stderr


async def test_a_migration_does_not_wait_for_locks(database: Database) -> None:
    """It gives up rather than stall everyone who queues behind it, and has changed nothing."""
    async with database.transaction() as connection:
        await connection.execute(text("SELECT count(*) FROM profiles"))
        with pytest.raises(DBAPIError) as refused:
            await migrate(database.engine, "base")
    assert isinstance(refused.value.orig.__cause__, LockNotAvailableError)
    async with database.transaction() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM profiles"))).scalar_one() == 0
