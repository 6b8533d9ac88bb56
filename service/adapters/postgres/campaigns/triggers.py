"""Rows of messages that joins and leaves fire: whatever is read again is there already."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from service.adapters.postgres.campaigns.rows import CAMPAIGN_COLUMNS, campaign_of
from service.app.dispatch.triggers import NewMessage, Pair
from service.core.campaigns.model import Campaign
from service.core.instants import from_datetime, to_datetime

#: Held shared while joins and leaves fire. Who lets a campaign begin takes it exclusively before it reads the clock for
#: `activated_at`: so no join recorded after that instant is looked at before the campaign can be seen.
ACTIVATIONS_LOCK: Final = 7_300_006
LOCK_ACTIVATIONS: Final = text("SELECT pg_advisory_xact_lock(:lock)")
SHARE_ACTIVATIONS: Final = "SELECT pg_advisory_xact_lock_shared($1)"
#: Not locked, so that joins keep nobody from pausing or cancelling them: what fires for a campaign that has been
#: cancelled meanwhile is seen to afterwards (schedule.LEFT_BEHIND).
LISTENING: Final = f"""
SELECT {CAMPAIGN_COLUMNS} FROM customer_segment_campaigns
WHERE segment_id = ANY($1::uuid[]) AND state IN ('active', 'paused') AND NOT is_deleted AND trigger <> 'once'
ORDER BY id
"""  # noqa: S608 - built from constants
LATEST: Final = """
SELECT k.customer_id, k.campaign_id, m.occurred_at
FROM unnest($1::uuid[], $2::uuid[]) AS k (customer_id, campaign_id)
CROSS JOIN LATERAL (
    SELECT max(occurred_at) AS occurred_at FROM campaign_messages
    WHERE customer_id = k.customer_id AND campaign_id = k.campaign_id OFFSET 0
) m
WHERE m.occurred_at IS NOT NULL
"""
#: Exactly once by its key: who is there stays as it is.
INSERT: Final = """
INSERT INTO campaign_messages (
    customer_id, campaign_id, occasion, message_id, channel, category, priority, state,
    occurred_at, due_at, expires_at, traceparent
)
SELECT u.customer_id, u.campaign_id, u.occasion, u.message_id, u.channel, u.category, u.priority, 'pending',
    u.occurred_at, u.due_at, u.expires_at, u.traceparent
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::uuid[], $5::text[], $6::text[], $7::smallint[],
            $8::timestamptz[], $9::timestamptz[], $10::timestamptz[], $11::text[])
    AS u (customer_id, campaign_id, occasion, message_id, channel, category, priority,
          occurred_at, due_at, expires_at, traceparent)
ORDER BY u.customer_id, u.campaign_id, u.occasion
ON CONFLICT DO NOTHING
"""


async def lock_activations(connection: AsyncConnection) -> None:
    """Nobody fires campaigns from now on until the transaction, which lets one begin, ends."""
    await connection.execute(LOCK_ACTIVATIONS, {"lock": ACTIVATIONS_LOCK})


async def listening(connection: Any, segment_ids: Iterable[UUID]) -> list[Campaign]:
    """Triggered campaigns of these segments that have begun.

    Raises:
        CampaignUnknown: a newer release wrote one of them; without it, its joins would be lost.
    """
    await connection.execute(SHARE_ACTIVATIONS, ACTIVATIONS_LOCK)
    return [campaign_of(row) for row in await connection.fetch(LISTENING, list(segment_ids))]


async def latest_occurred(connection: Any, pairs: Iterable[Pair]) -> dict[Pair, int]:
    """When what fired these customers' latest messages had occurred, microseconds; those without any are left out."""
    customers, campaigns = zip(*pairs, strict=True)
    rows = await connection.fetch(LATEST, customers, campaigns)
    return {(row[0], row[1]): from_datetime(row[2]) for row in rows}


async def insert_messages(connection: Any, messages: Sequence[NewMessage]) -> int:
    """Stores those that are not there yet; gives how many."""
    columns = zip(*(_row(one) for one in messages), strict=True)
    status: str = await connection.execute(INSERT, *columns)
    return int(status.rsplit(" ", 1)[1])


def _row(one: NewMessage) -> tuple[Any, ...]:
    instants = (to_datetime(one.occurred_at), to_datetime(one.due_at), to_datetime(one.expires_at))
    return (*one[:7], *instants, one.traceparent)
