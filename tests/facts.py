"""Facts in PostgreSQL without the consumer, for tests of what reads them."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from uuid import uuid4

import asyncpg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from service.adapters.postgres.batch_rows import fact_rows
from service.adapters.postgres.criteria_sql import Statement
from service.adapters.postgres.database import Database
from service.adapters.postgres.migrate import migrate
from service.core.events.model import Event


@contextmanager
def server_url() -> Iterator[str]:
    """The PostgreSQL that SEGMENTS_DATABASE_URL names, else one of our own."""
    named = os.environ.get("SEGMENTS_DATABASE_URL")
    if named:
        yield named
        return
    from tests.servers import test_servers  # only here: nothing else needs the stack

    with test_servers(fsync=False) as servers:
        yield servers.database_url


@asynccontextmanager
async def fresh_database(url: str) -> AsyncIterator[Database]:
    """A database of its own on that server, with the schema, gone at the end."""
    name = f"verify_{uuid4().hex[:12]}"
    server = await asyncpg.connect(url)
    try:
        await server.execute(f"CREATE DATABASE {name}")
        database = Database.connect(f"{url.rpartition('/')[0]}/{name}", role="tests")
        try:
            await migrate(database.engine)
            yield database
        finally:
            await database.close()
            await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await server.close()


@asynccontextmanager
async def stored_facts(database: Database, events: Iterable[Event]) -> AsyncIterator[AsyncConnection]:
    """A transaction in which the events' facts are stored, each once, as the consumer stores them; rolled back."""
    once = {(event.customer_id, event.id): event for event in events}
    async with database.engine.connect() as connection:
        await connection.execute(text("SELECT 1"))  # begins the transaction, which a COPY alone would not
        driver: Any = (await connection.get_raw_connection()).driver_connection
        for table, (columns, records) in fact_rows(list(once.values())).items():
            if records:
                await driver.copy_records_to_table(table, records=records, columns=columns)
        yield connection
        await connection.rollback()


async def fetch(connection: AsyncConnection, asked: Statement) -> list[Any]:
    """All rows of a statement."""
    return list(await connection.execute(text(asked.sql), asked.parameters))
