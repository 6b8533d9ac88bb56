"""Facts, profiles and memberships in PostgreSQL without Kafka, for tests of what reads them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from service.adapters.postgres.catalogue import lock_catalogue, store_catalogue
from service.adapters.postgres.criteria_sql import Statement
from service.adapters.postgres.database import Database
from service.adapters.postgres.store import CatalogueCache, PostgresStore
from service.app.backfill import backfill_slice
from service.app.expire import expire
from service.app.ingest import Record, decode_batch, ingest
from service.app.outgoing import Outgoing
from service.bootstrap import Batches
from service.core.criteria.needs import needs_of
from service.core.criteria.parse import parse_criteria
from service.core.events.decode import Rules
from service.core.events.model import Event

NOBODY = UUID(int=0)
INSERT_SEGMENT = """
INSERT INTO customer_segments
    (id, segment_name, segment_type, status, criteria, version, introduced, since, is_kept, backfill_state, created_by)
VALUES (:id, :name, 'dynamic', 'active', CAST(:criteria AS jsonb), 1, :introduced, :since, true, :backfill_state, 't')
"""


@asynccontextmanager
async def stored_facts(database: Database, events: Iterable[Event]) -> AsyncIterator[AsyncConnection]:
    """A transaction in which the events' facts are stored, each once, as the consumer stores them; rolled back."""
    once = {(event.customer_id, event.id): event for event in events}
    async with database.engine.connect() as connection:
        await connection.execute(text("SELECT 1"))  # begins the transaction, which a COPY alone would not
        driver: Any = (await connection.get_raw_connection()).driver_connection
        await PostgresStore(driver, None, None, 0).write_facts(list(once.values()))  # type: ignore[arg-type]
        yield connection
        await connection.rollback()


async def fetch(connection: AsyncConnection, asked: Statement) -> list[Any]:
    """All rows of a statement."""
    return list(await connection.execute(text(asked.sql), asked.parameters))


class Service:
    """The use cases of the hot path on one database, driven by hand."""

    def __init__(self, database: Database, currency: str) -> None:
        self.database = database
        self.rules = Rules(currency, 1_048_576, True)
        self.batches = Batches(database, CatalogueCache(), Outgoing("memberships", "letters"))
        self.offset = 0

    async def define(self, segments: Sequence[dict], since: int = 0, backfill_state: str = "done") -> dict[str, UUID]:
        """Introduces definitions in the form of segments.json; key -> id."""
        ids = {one["key"]: uuid4() for one in segments}
        async with self.database.transaction() as connection:
            version, shape = await lock_catalogue(connection)
            for one in segments:
                row = {"id": ids[one["key"]], "name": one["key"], "criteria": json.dumps(one["criteria"])}
                row |= {"introduced": version + 1, "since": since, "backfill_state": backfill_state}
                await connection.execute(text(INSERT_SEGMENT), row)
            needs = needs_of([parse_criteria(one["criteria"]) for one in segments])
            await store_catalogue(connection, version + 1, shape.grown_for(needs))
        return ids

    async def take(self, lines: Sequence[bytes], now: int, size: int = 4_000) -> None:
        """Ingests events in batches."""
        for place in range(0, len(lines), size):
            some = lines[place : place + size]
            records = [Record("orders", 0, self.offset + n, 0, None, line, ()) for n, line in enumerate(some)]
            self.offset += len(records)
            async with self.batches.store() as store:
                await ingest(store, decode_batch(records, self.rules, now), now, now)
        await self.merge()

    async def merge(self) -> None:
        """Merges membership changes, as the relay does once nothing is left to publish."""
        async with self.batches.store() as store:
            await store.merge_memberships()

    async def fire(self, now: int) -> None:
        """Fires all timers that are due."""
        count = 1
        while count:
            async with self.batches.store() as store:
                count = await expire(store, now=now, until=now, recorded_at=now)
        await self.merge()

    async def backfill(self, now: int, slices: int = 1_000) -> None:
        """Brings customers up to the catalogue; `slices` of them at most."""
        async with self.batches.store() as store:
            introduced = (await store.catalogue()).version
        after = NOBODY
        for _ in range(slices):
            async with self.batches.store() as store:
                done = await backfill_slice(store, introduced=introduced, after=after, now=now, recorded_at=now)
            after = done.last
            if not done.customers:
                break
        await self.merge()

    async def run(self, statement: str, **parameters: object) -> None:
        """Changes the database by hand."""
        async with self.database.transaction() as connection:
            await connection.execute(text(statement), parameters)
