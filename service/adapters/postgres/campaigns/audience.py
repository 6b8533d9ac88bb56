"""The audience of a campaign: one look at a segment's members, and a message for each, written as one stream.

Rows differ in two ids alone, so that a row of PostgreSQL's binary COPY is put together from what stands before, between
and behind them: a million takes seconds, and no more memory than a portion.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final
from uuid import UUID

from service.adapters.postgres.membership_changes import merge_all
from service.core.campaigns.identity import ONCE, message_id_bytes
from service.core.campaigns.model import Campaign
from service.core.instants import parse

#: Of those who are members; with $2 only those of whom it was recorded before it: joins since then fire by themselves.
MEMBERS: Final = """
SELECT m.customer_id FROM customer_segment_memberships m
WHERE m.segment_id = $1 AND m.left_at IS NULL AND ($2::timestamptz IS NULL OR m.recorded_at < $2)
ORDER BY m.customer_id
"""
#: Whether somebody still writes who may have recorded a join before $1 and not committed it.
IS_UNSETTLED: Final = """
SELECT EXISTS (
    SELECT FROM pg_stat_activity
    WHERE datname = current_database() AND xact_start < $1 AND pid <> pg_backend_pid()
        AND application_name IN ('segments-consume', 'segments-timers', 'segments-serve')
)
"""
#: Reading a large segment, the planner may do as it likes again.
FREE_PLANS: Final = """
SET LOCAL enable_seqscan = on; SET LOCAL enable_hashjoin = on; SET LOCAL enable_mergejoin = on;
SET LOCAL plan_cache_mode = force_custom_plan
"""
MAKE_ROOM: Final = "CREATE TEMPORARY TABLE audience (LIKE campaign_messages INCLUDING DEFAULTS) ON COMMIT DROP"
MOVE: Final = "INSERT INTO campaign_messages SELECT * FROM audience ON CONFLICT DO NOTHING"
PORTION: Final = 20_000

_COLUMNS: Final = (
    ("customer_id", "message_id")  # the two that differ
    + ("campaign_id", "occasion", "channel", "category", "priority", "state", "occurred_at", "due_at", "expires_at")
)
_SIGNATURE: Final = b"PGCOPY\n\xff\r\n\x00" + struct.pack("!ii", 0, 0)
_END: Final = struct.pack("!h", -1)
_UUID_SIZE: Final = struct.pack("!i", 16)
#: PostgreSQL counts from here.
_EPOCH: Final = parse("2000-01-01T00:00:00Z")


async def is_unsettled(connection: Any, campaign: Campaign) -> bool:
    """Whether the members of when a triggered campaign began cannot be told yet."""
    return bool(await connection.fetchval(IS_UNSETTLED, campaign.activated_at))


async def take(connection: Any, campaign: Campaign, *, occurred_at: int, due_at: int, expires_at: int) -> int:
    """Makes a message for each member, as one read of one instant finds them; gives how many.

    Args:
        connection: asyncpg's own, in a transaction in which the campaign is locked.
        campaign: a triggered one gets those who were members when it began.
        occurred_at, due_at, expires_at: microseconds.
    """
    await merge_all(connection)
    await connection.execute(FREE_PLANS)
    target, since = "campaign_messages", None
    if campaign.is_triggered:  # somebody may have one already
        await connection.execute(MAKE_ROOM)
        target, since = "audience", campaign.activated_at
    count = 0
    cursor = await connection.cursor(MEMBERS, campaign.segment_id, since)
    rest = _rest(campaign, occurred_at, due_at, expires_at)
    rows = await cursor.fetch(PORTION)
    portion = _portion(campaign.id, rows, rest)
    while rows:
        count += len(rows)
        rows = await cursor.fetch(PORTION)
        # While the database writes one portion, the next one is put together.
        making = asyncio.create_task(asyncio.to_thread(_portion, campaign.id, rows, rest))
        await connection.copy_to_table(target, source=_stream(portion), columns=_COLUMNS, format="binary")
        portion = await making
    if campaign.is_triggered:
        count = int((await connection.execute(MOVE)).rsplit(" ", 1)[1])
    return count


def _portion(campaign_id: UUID, rows: Sequence[tuple[UUID]], rest: bytes) -> bytes:
    head = struct.pack("!h", len(_COLUMNS)) + _UUID_SIZE
    return b"".join(head + one.bytes + _UUID_SIZE + message_id_bytes(campaign_id, one, ONCE) + rest for (one,) in rows)


async def _stream(rows: bytes) -> AsyncIterator[bytes]:
    yield _SIGNATURE
    yield rows
    yield _END


def _rest(campaign: Campaign, *instants: int) -> bytes:
    """What all rows end with: the other columns, each with its length."""
    texts = (ONCE, campaign.channel, campaign.category)
    fields = [
        campaign.id.bytes,
        *(one.encode() for one in texts),
        struct.pack("!h", campaign.options.priority),
        b"pending",
        *(struct.pack("!q", at - _EPOCH) for at in instants),
    ]
    return b"".join(struct.pack("!i", len(field)) + field for field in fields)
