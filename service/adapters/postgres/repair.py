"""Repairs in PostgreSQL: the statements of app.repair.RepairStore beside those of a batch, and app.rebuild.Base."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import text

from service.adapters.postgres import batch_rows as rows
from service.adapters.postgres import batch_sql, repair_sql
from service.adapters.postgres.catalogue import CATALOGUE_SQL, DEFINITIONS_SQL, catalogue_from_rows
from service.adapters.postgres.database import Database
from service.adapters.postgres.faults import VALUES
from service.adapters.postgres.store import PostgresStore
from service.adapters.postgres.verify import verify
from service.app.ports import StoredProfile
from service.app.rebuild import Count
from service.app.refold import Span, Stays, is_stale
from service.app.repair import RepairStopped
from service.app.verify import Report
from service.core.events.decode import rebuild
from service.core.events.model import Event
from service.core.instants import INSTANT_MIN, from_datetime, to_datetime
from service.core.profiles.ledger import Contribution
from service.core.profiles.profile import Profile


class PostgresRepairs(PostgresStore):
    """One transaction's statements."""

    async def leaving(self, customer_ids: Sequence[UUID]) -> set[UUID]:
        """See RepairStore."""
        return {row[0] for row in await self.connection.fetch(repair_sql.LEAVING, customer_ids)}

    async def spans(self, customer_ids: Sequence[UUID], now: int) -> Mapping[UUID, Span]:
        """See RepairStore."""
        found = await self.connection.fetch(repair_sql.SPANS, customer_ids, to_datetime(now))
        return {row[0]: Span(from_datetime(row[1]), None if row[2] is None else from_datetime(row[2])) for row in found}

    async def told(self, customer_ids: Sequence[UUID]) -> Sequence[Event]:
        """See RepairStore."""
        return [_event(row) for row in await self.connection.fetch(repair_sql.TOLD, customer_ids)]

    async def later(self, after: Mapping[UUID, int]) -> Sequence[Event]:
        """See RepairStore."""
        keys = list(after), [to_datetime(max(instant, INSTANT_MIN - 1)) for instant in after.values()]
        return [_event(row) for statement in repair_sql.LATER for row in await self.connection.fetch(statement, *keys)]

    async def stays(self, customer_ids: Sequence[UUID]) -> Sequence[Stays]:
        """See RepairStore."""
        await self.merge_memberships()
        found = await self.connection.fetch(repair_sql.STAYS, customer_ids)
        return [
            Stays(customer_id, segment_id, slot, counted, from_datetime(changed_at), ordinal)
            for customer_id, segment_id, slot, counted, changed_at, ordinal in found
        ]

    async def pins_by_slot(self, customer_ids: Sequence[UUID]) -> Mapping[UUID, Mapping[int, bool]]:
        """See RepairStore."""
        found: dict[UUID, dict[int, bool]] = {}
        for customer_id, slot, is_included in await self.connection.fetch(repair_sql.PINS, customer_ids):
            found.setdefault(customer_id, {})[slot] = is_included
        return found

    async def names(self, customer_ids: Sequence[UUID]) -> Mapping[UUID, str]:
        """See RepairStore."""
        return {row[0]: row[1] for row in await self.connection.fetch(repair_sql.NAMES, customer_ids)}

    async def renumber(self, moved: Mapping[UUID, Mapping[UUID, int]]) -> None:
        """See RepairStore."""
        keys = [(one, segment_id, ordinal) for one, moves in moved.items() for segment_id, ordinal in moves.items()]
        await self._exactly(len(keys), repair_sql.RENUMBER, *zip(*keys, strict=True))

    async def mend_profiles(self, profiles: Sequence[Profile], due: Mapping[UUID, int | None]) -> set[UUID]:
        """See RepairStore. Who was locked is updated; another transaction that stored one of the others wins."""
        if not profiles:
            return set()
        records = {one.customer_id: rows.profile_row(one, due[one.customer_id]) for one in profiles}
        changed = await self._mend("profiles", rows.PROFILE_COLUMNS, repair_sql.MEND_PROFILES, records)
        records = {one.customer_id: rows.customer_row(one) for one in profiles}
        return changed | await self._mend("customers", rows.CUSTOMER_COLUMNS, repair_sql.MEND_CUSTOMERS, records)

    async def _mend(
        self, table: str, columns: Sequence[str], statement: str, records: Mapping[UUID, tuple[Any, ...]]
    ) -> set[UUID]:
        known_sql = f"SELECT customer_id FROM {table} WHERE customer_id = ANY($1::uuid[])"  # noqa: S608 - by name
        known = {row[0] for row in await self.connection.fetch(known_sql, list(records))}
        new = [record for customer_id, record in records.items() if customer_id not in known]
        if new:
            await self.connection.copy_records_to_table(table, records=new, columns=columns)
        changed: set[UUID] = {record[0] for record in new}
        old = [record for customer_id, record in records.items() if customer_id in known]
        if old:
            changed |= {row[0] for row in await self.connection.fetch(statement, *zip(*old, strict=True))}
        return changed

    async def mend_orders(self, told: Mapping[UUID, Mapping[str, Contribution]]) -> set[UUID]:
        """See RepairStore."""
        stored = {(row[0], row[1]): tuple(row) for row in await self.connection.fetch(repair_sql.ORDERS, list(told))}
        wanted = {
            (customer_id, order_id): rows.order_row(customer_id, order_id, order)
            for customer_id, orders in told.items()
            for order_id, order in orders.items()
        }
        differing = [key for key in stored.keys() | wanted.keys() if stored.get(key) != wanted.get(key)]
        gone = [key for key in differing if key in stored]
        if gone:
            await self._exactly(len(gone), batch_sql.DELETE_ORDERS, *zip(*gone, strict=True))
        new = [wanted[key] for key in differing if key in wanted]
        if new:
            await self.connection.copy_records_to_table("orders", records=new, columns=rows.ORDER_COLUMNS)
        return {key[0] for key in differing}

    async def forget(self, customer_ids: Sequence[UUID]) -> None:
        """See RepairStore."""
        await self.connection.execute(repair_sql.FORGET_CUSTOMERS, customer_ids)


def _event(row: Any) -> Event:
    """A fact as the event that it came from."""
    customer_id, kind, event_id, time, sequence, data = row
    event = rebuild(kind, event_id, from_datetime(time), sequence, data.encode(), None)
    event.customer_id = customer_id
    return event


@asynccontextmanager
async def blaming_values() -> AsyncIterator[None]:
    """Tells failures that no customer's values are to blame for from those that isolating a customer helps against.

    Raises:
        RepairStopped: the database refuses the statement itself.
    """
    try:
        yield
    except VALUES:
        raise
    except asyncpg.PostgresError as error:
        msg = f"PostgreSQL does not do what it was asked: {type(error).__name__}. `segments doctor` looks at it."
        raise RepairStopped(msg) from error


class PostgresBase:
    """app.rebuild.Base on a database; `repairs` opens a slice's transaction."""

    def __init__(self, database: Database, repairs: Callable[[], AbstractAsyncContextManager[PostgresRepairs]]) -> None:
        self._database = database
        self.repairs = repairs

    async def verify(self, segment_ids: Collection[UUID] | None, now: int) -> Report:
        """See Base."""
        return await verify(self._database, segment_ids, now)

    async def stale(self) -> set[UUID]:
        """See Base."""
        found: set[UUID] = set()
        async with self._database.snapshot() as connection:
            version, shape = (await connection.execute(text(CATALOGUE_SQL))).one()
            definitions = await connection.execute(text(DEFINITIONS_SQL))
            catalogue = catalogue_from_rows(version, shape, definitions)
            async with connection.stream(text(repair_sql.PROFILES), {"version": version}) as rows:
                async for *columns, due, slots, pins in rows:
                    stored = StoredProfile(*columns)
                    if is_stale(stored, due, dict(zip(slots or (), pins or (), strict=True)), catalogue):
                        found.add(stored.customer_id)
        return found

    async def counts(self, segment_ids: Collection[UUID] | None) -> Mapping[UUID, Count]:
        """See Base."""
        async with self._database.session() as connection:
            found = await connection.fetch(repair_sql.COUNTS, None if segment_ids is None else list(segment_ids))
        return {row[0]: Count(row[1], int(row[2])) for row in found}

    async def mend_count(self, segment_id: UUID) -> None:
        """See Base. The lock first, so that what is counted then is all there is, and the relay counts on after."""
        async with self._database.batch() as connection:
            await connection.execute(repair_sql.LOCK_COUNT, segment_id)
            for _, _, members in await connection.fetch(repair_sql.COUNTS, [segment_id]):
                await connection.execute(repair_sql.MEND_COUNT, segment_id, int(members))
