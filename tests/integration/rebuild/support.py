"""Rebuilds of a test's database, what they publish, and whether rows were touched."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import NamedTuple
from uuid import UUID

from service.adapters.postgres import outbox
from service.adapters.postgres.repair import PostgresBase
from service.app.outgoing import decode_outbox
from service.app.rebuild import Rebuilt, rebuild
from service.core import instants
from tests.facts import Service

TABLES = ("profiles", "customers", "orders", "pins", "customer_segment_memberships", "customer_segments", "outbox") + (
    "order_facts",
    "refunds",
    "customer_facts",
    "activities",
    "erasures",
    "catalogue",
)
OPEN = "SELECT customer_id, segment_id, ordinal FROM customer_segment_memberships WHERE left_at IS NULL"
VERSIONS = "SELECT ctid::text, xmin::text::bigint FROM {table}"
BACKWARD = "SELECT count(*) FROM customer_segment_memberships WHERE left_at < joined_at"


class Published(NamedTuple):
    """One joined or left that waits in the outbox."""

    customer_id: UUID
    segment_id: UUID
    change: str
    sequence: int
    reason: str
    effective_at: int


async def rebuilt(
    service: Service, now: int, segment_ids: Collection[UUID] | None = None, *, is_emitting: bool = True
) -> Rebuilt:
    """A rebuild at an instant."""
    base = PostgresBase(service.database, service.batches.repairs)
    return await rebuild(base, lambda: now, segment_ids, is_emitting=is_emitting)


async def published(service: Service) -> list[Published]:
    """All that waits in the outbox, in its order."""
    async with service.database.session() as connection:
        rows = await connection.fetch("SELECT payload FROM outbox ORDER BY id")
    found = []
    for (payload,) in rows:
        for _, _, value, headers in decode_outbox(payload, "membership"):
            data = json.loads(value or b"")
            change = dict(headers)["ce_type"].decode().removeprefix("segment.")
            ids = UUID(data["customer_id"]), UUID(data["segment_id"])
            at = instants.parse(data["effective_at"])
            assert data["backfill"] is (data["reason"] == "definition")
            found.append(Published(*ids, change, data["sequence"], data["reason"], at))
    return found


async def drain(service: Service) -> None:
    """Empties the outbox and counts members on, as the relay does."""
    async with service.database.session() as connection:
        await outbox.delete(connection, [row[0] for row in await outbox.oldest(connection, 100_000, 2**40, 2**40)])


async def open_memberships(service: Service) -> dict[tuple[UUID, UUID], int]:
    """Customer and segment -> ordinal of the membership that is open."""
    async with service.database.session() as connection:
        assert await connection.fetchval(BACKWARD) == 0
        return {(row[0], row[1]): row[2] for row in await connection.fetch(OPEN)}


async def versions(service: Service) -> dict[str, set[tuple[str, int]]]:
    """The place and version of every row: what any change of a row changes."""
    async with service.database.session() as connection:
        return {table: {tuple(row) for row in await connection.fetch(VERSIONS.format(table=table))} for table in TABLES}


async def counts(service: Service) -> dict[UUID, int]:
    """The count of members of each segment, as the API shows it."""
    async with service.database.session() as connection:
        return {row[0]: row[1] for row in await connection.fetch("SELECT id, customer_count FROM customer_segments")}


def net(before: set[tuple[UUID, UUID]], changes: list[Published]) -> set[tuple[UUID, UUID]]:
    """Who is a member to one who knew `before` and reads these changes."""
    found = set(before)
    for one in changes:
        (found.add if one.change == "joined" else found.discard)((one.customer_id, one.segment_id))
    return found
