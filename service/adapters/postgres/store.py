"""The statements of one batch (app.ports.Store) on asyncpg's own connection, inside its transaction."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from io import BytesIO
from typing import Any
from uuid import UUID

from service.adapters.postgres import batch_rows as rows
from service.adapters.postgres import batch_sql as sql
from service.adapters.postgres import frontier, membership_changes
from service.adapters.postgres.catalogue import load_catalogue
from service.adapters.postgres.database import CATALOGUE_LOCK, ERASURE_LOCK
from service.adapters.postgres.fact_copy import customer_facts_binary, order_facts_binary
from service.adapters.postgres.order_copy import orders_binary
from service.app.outgoing import OutboxRow, Outgoing, encode_outbox
from service.app.ports import DeadLetter, Offset, StoredFact, StoredProfile
from service.core.events.model import Event
from service.core.profiles.ledger import OrderChange
from service.core.profiles.profile import Profile
from service.core.segments.catalogue import Catalogue
from service.core.segments.walk import Transition
from service.crash import crash_point


class RowsMismatch(Exception):
    """A statement touched another number of rows than it must: a bug, or a row changed under the lock."""


class CatalogueCache:
    """The catalogue as this process compiled it last."""

    def __init__(self) -> None:
        self.catalogue: Catalogue | None = None


class PostgresStore:
    """One transaction's statements. Lock order: catalogue, customers by id, all else.

    Args:
        inline_max: how many changes a batch writes into the table of memberships itself; more of them wait to be
            merged, and while any wait, all do. None: all are written at once, after those that wait.
    """

    def __init__(
        self,
        connection: Any,
        cache: CatalogueCache,
        outgoing: Outgoing,
        entries_max: int,
        cluster: str = "",
        inline_max: int | None = None,
    ) -> None:
        self.connection = connection
        self._inline_max = inline_max
        self._cluster = cluster
        self.entries_max = entries_max
        self._cache = cache
        self._outgoing = outgoing
        #: Topic -> partition -> the next offset that the group had to read when a recovery began; None without one.
        self._recovering: Mapping[str, Mapping[str, int]] | None = None

    async def catalogue(self) -> Catalogue:
        """See Store."""
        await self.connection.execute(sql.SHARE_CATALOGUE, CATALOGUE_LOCK)
        version, recovering = await self.connection.fetchrow(sql.CATALOGUE_VERSION)
        self._recovering = None if recovering is None else json.loads(recovering)
        if self._cache.catalogue is None or self._cache.catalogue.version != version:
            self._cache.catalogue = await load_catalogue(self.connection)
        crash_point("catalogue-shared")
        return self._cache.catalogue

    async def lock_profiles(self, customer_ids: Sequence[UUID]) -> list[StoredProfile]:
        """See Store."""
        return [StoredProfile(*row) for row in await self.connection.fetch(sql.LOCK_PROFILES, customer_ids)]

    async def lock_due(self, limit_instant: int, customers_max: int, but: Sequence[UUID] = ()) -> list[StoredProfile]:
        """See Store."""
        found = await self.connection.fetch(sql.LOCK_DUE, limit_instant, customers_max, but)
        return [StoredProfile(*row) for row in found]

    async def lock_behind(
        self, introduced: int, after: UUID, customers_max: int, but: Sequence[UUID] = ()
    ) -> list[StoredProfile]:
        """See Store."""
        found = await self.connection.fetch(sql.LOCK_BEHIND, introduced, after, customers_max, but)
        return [StoredProfile(*row) for row in found]

    async def hold_erasures(self, *, is_erasing: bool) -> None:
        """See Store."""
        await self.connection.execute(sql.HOLD_ERASURES if is_erasing else sql.SHARE_ERASURES, ERASURE_LOCK)

    async def erased(self, customer_ids: Sequence[UUID]) -> set[UUID]:
        """See Store."""
        return {row[0] for row in await self.connection.fetch(sql.ERASED, customer_ids)}

    async def touched_facts(self, events: Collection[Event]) -> list[StoredFact]:
        """See Store."""
        orders = sorted({(event.customer_id, order_id) for event in events if (order_id := rows.order_id(event))})
        refunds = sorted({(event.customer_id, refund) for event in events if (refund := rows.refund_id(event))})
        customer_ids, order_ids = [key[0] for key in orders], [key[1] for key in orders]
        found: list[StoredFact] = []
        if orders:
            found += map(rows.order_fact, await self.connection.fetch(sql.ORDERS_TOUCHED, customer_ids, order_ids))
            found += map(rows.refund_fact, await self.connection.fetch(sql.REFUNDS_OF_ORDERS, customer_ids, order_ids))
        if refunds:
            seen = {(one.customer_id, one.event_id) for one in found}
            keys = ([key[0] for key in refunds], [key[1] for key in refunds])
            for row in await self.connection.fetch(sql.REFUNDS_TOUCHED, *keys):
                fact = rows.refund_fact(row)
                if (fact.customer_id, fact.event_id) not in seen:
                    found.append(fact)
        return found

    async def all_facts(self, customer_ids: Sequence[UUID], activities: Sequence[str]) -> list[StoredFact]:
        """See Store."""
        done = await self.connection.fetch(sql.ALL_ACTIVITIES, customer_ids, activities) if activities else []
        orders = await self.connection.fetch(sql.ALL_ORDERS, customer_ids)
        refunds = await self.connection.fetch(sql.ALL_REFUNDS, customer_ids)
        return [*map(rows.order_fact, orders), *map(rows.refund_fact, refunds), *map(rows.activity_fact, done)]

    async def known_ids(self, events: Collection[Event]) -> set[tuple[UUID, str]]:
        """See Store."""
        known: set[tuple[UUID, str]] = set()
        activities = [event for event in events if event.type == "customer.activity"]
        others = [event for event in events if event.type != "customer.activity"]
        for statement, some in ((sql.KNOWN_ACTIVITIES, activities), (sql.KNOWN_CUSTOMER_FACTS, others)):
            if some:
                keys = ([event.customer_id for event in some], [event.id for event in some])
                known.update((row[0], row[1]) for row in await self.connection.fetch(statement, *keys))
        return known

    async def write_facts(self, events: Sequence[Event]) -> None:
        """See Store."""
        facts = rows.split_facts(events)
        if facts.orders:
            await self._copy("order_facts", order_facts_binary(facts.orders), rows.ORDER_FACT_COLUMNS)
        if facts.customers:
            await self._copy("customer_facts", customer_facts_binary(facts.customers), rows.CUSTOMER_FACT_COLUMNS)
        if facts.refunds:
            records = list(map(rows.refund_row, facts.refunds))
            await self.connection.copy_records_to_table("refunds", records=records, columns=rows.REFUND_COLUMNS)
        if facts.activities:
            records = list(map(rows.activity_row, facts.activities))
            await self.connection.copy_records_to_table("activities", records=records, columns=rows.ACTIVITY_COLUMNS)
        crash_point("facts-written")

    async def write_profiles(self, profiles: Sequence[Profile], due: Mapping[UUID, int | None]) -> None:
        """See Store.

        Raises:
            RowsMismatch: an update found another number of rows.
        """
        new = [profile for profile in profiles if profile.is_new]
        known = [profile for profile in profiles if not profile.is_new]
        if new:
            records = [rows.profile_row(one, due[one.customer_id]) for one in new]
            await self.connection.copy_records_to_table("profiles", records=records, columns=rows.PROFILE_COLUMNS)
            records = [rows.customer_row(one) for one in new]
            await self.connection.copy_records_to_table("customers", records=records, columns=rows.CUSTOMER_COLUMNS)
        if known:
            records = [rows.profile_row(one, due[one.customer_id]) for one in known]
            await self._exactly(len(records), sql.UPDATE_PROFILES, *zip(*records, strict=True))
        changed = [rows.customer_row(one) for one in known if one.has_new_attributes]
        if changed:
            await self._exactly(len(changed), sql.UPDATE_CUSTOMERS, *zip(*changed, strict=True))
        crash_point("profiles-written")

    async def write_orders(self, changes: Sequence[tuple[Profile, OrderChange]]) -> None:
        """See Store.

        Raises:
            RowsMismatch: an order that should have been there was not.
        """
        new, changed, gone = [], [], []
        for profile, (order_id, before, after) in changes:
            if after is None:
                gone.append((profile.customer_id, order_id))
            elif before is None:
                new.append((profile.customer_id, order_id, after))
            else:
                changed.append(rows.order_row(profile.customer_id, order_id, after))
        if new:
            await self._copy("orders", orders_binary(new), rows.ORDER_COLUMNS)
        if changed:
            names = ((*row[:5], json.dumps(row[5]), json.dumps(row[6])) for row in changed)
            await self._exactly(len(changed), sql.UPDATE_ORDERS, *zip(*names, strict=True))
        if gone:
            await self._exactly(len(gone), sql.DELETE_ORDERS, *zip(*gone, strict=True))
        crash_point("orders-written")

    async def _copy(self, table: str, written: bytes, columns: Sequence[str]) -> None:
        await self.connection.copy_to_table(table, source=BytesIO(written), columns=columns, format="binary")

    async def _exactly(self, count: int, statement: str, *arguments: Any) -> None:
        status = await self.connection.execute(statement, *arguments)
        found = int(status.rsplit(" ", 1)[1])
        if found != count:
            msg = f"a statement touched {found} rows where {count} were locked: {statement.split(maxsplit=3)[:3]}"
            raise RowsMismatch(msg)

    async def write_memberships(self, transitions: Sequence[Transition], recorded_at: int) -> None:
        """See Store. Under their locks, so that no change of these customers is still to come before those here."""
        is_waiting = await membership_changes.is_waiting(self.connection)
        if self._inline_max is not None and (is_waiting or len(transitions) > self._inline_max):
            await membership_changes.note(self.connection, transitions, recorded_at)
        else:
            if is_waiting:
                await self.merge_memberships()
            await self._write_memberships(transitions, recorded_at)
        crash_point("memberships-written")

    async def _write_memberships(self, transitions: Sequence[Transition], recorded_at: int) -> None:
        opened, closed = rows.membership_rows(transitions, recorded_at)
        if closed:
            await self._exactly(len(closed), sql.CLOSE_MEMBERSHIPS, *zip(*closed, strict=True))
        if opened:
            await self.connection.copy_records_to_table(
                "customer_segment_memberships", records=opened, columns=rows.MEMBERSHIP_COLUMNS
            )

    async def merge_memberships(self) -> None:
        """From here on the table of memberships holds all that was committed about the customers who are locked."""
        await membership_changes.merge_all(self.connection)

    async def write_outbox(
        self, transitions: Sequence[Transition], recorded_at: int, letters: Sequence[DeadLetter]
    ) -> None:
        """See Store."""
        recovering = self._recovering
        if recovering is not None:  # letters of what had been read before the loss were published then
            letters = [one for one in letters if one.offset >= recovering.get(one.topic, {}).get(str(one.partition), 0)]
        is_recovering = recovering is not None
        found = encode_outbox(self._outgoing, transitions, recorded_at, letters, is_recovering=is_recovering)
        await self._write_outbox_rows(found)

    async def _write_outbox_rows(self, found: Iterable[OutboxRow]) -> None:
        for row in found:
            await self.connection.execute(sql.INSERT_OUTBOX, row.records, row.payload, row.counts)
        crash_point("outbox-written")

    async def write_dead_letters(self, letters: Sequence[DeadLetter]) -> list[DeadLetter]:
        """See Store."""
        records = [rows.letter_row(letter) for letter in letters]
        found = await self.connection.fetch(sql.INSERT_DEAD_LETTERS, self._cluster, *zip(*records, strict=True))
        crash_point("letters-written")
        fresh = {(row[0], row[1], row[2]) for row in found}
        return [one for one in letters if (one.topic, one.partition, one.offset) in fresh]

    async def erase(self, customer_ids: Sequence[UUID]) -> None:
        """See Store."""
        await self.connection.execute(sql.INSERT_ERASURES, customer_ids)
        for statement in (*sql.ERASE, sql.BLANK_DEAD_LETTERS):
            await self.connection.execute(statement, customer_ids)
        crash_point("customers-erased")

    async def frontier(self) -> Mapping[tuple[str, int], int]:
        """See Store."""
        return await frontier.applied(self.connection, self._cluster)

    async def future_letters(self, places: Collection[tuple[str, int, int]]) -> set[tuple[str, int, int]]:
        """See Store."""
        columns = zip(*places, strict=True)
        return {tuple(row) for row in await self.connection.fetch(sql.FUTURE_LETTERS, self._cluster, *columns)}

    async def advance_frontier(self, offsets: Iterable[Offset]) -> None:
        """See Store."""
        columns = tuple(zip(*offsets, strict=True))
        if columns:
            await self.connection.execute(sql.ADVANCE_FRONTIER, self._cluster, *columns)
