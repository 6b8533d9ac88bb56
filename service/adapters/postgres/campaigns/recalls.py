"""What cancelled campaigns call back: requests on the topic of messages that nobody has told the end of."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from service.adapters.postgres.campaigns.schedule import SLICE
from service.app.dispatch.model import Recalled
from service.core.instants import to_datetime

#: Why a message that is `sent` says more than that.
RECALLED: Final = "recalled"
UNRECALLED: Final = """
SELECT id, channel FROM customer_segment_campaigns
WHERE state = 'cancelled' AND recalled_at IS NULL ORDER BY id LIMIT $1
"""
LOCK: Final = """
SELECT recalled_up_to FROM customer_segment_campaigns WHERE id = $1 AND state = 'cancelled' AND recalled_at IS NULL
FOR NO KEY UPDATE SKIP LOCKED
"""
#: $2 is the service's clock: what has expired is not sent any more anyway. $3 is where the last slice ended, so that a
#: million takes one walk through campaign_messages_campaign_idx; of that customer there may be more.
RECALL: Final = f"""
UPDATE campaign_messages m SET reason = '{RECALLED}'
WHERE message_id = ANY(ARRAY(
    SELECT message_id FROM campaign_messages
    WHERE campaign_id = $1 AND customer_id >= $3 AND state = 'sent' AND reason IS NULL AND expires_at > $2
        AND COALESCE(delivered_at, bounced_at, complained_at, opened_at, clicked_at, unsubscribed_at) IS NULL
    ORDER BY customer_id LIMIT {SLICE} FOR UPDATE
))
RETURNING customer_id, occasion, message_id, traceparent
"""  # noqa: S608 - built from constants
GOT_TO: Final = """
UPDATE customer_segment_campaigns SET recalled_up_to = $2, recalled_at = CASE WHEN $3 THEN clock_timestamp() END
WHERE id = $1
"""
FIRST: Final = UUID(int=0)


async def unrecalled(connection: Any, campaigns_max: int) -> list[tuple[UUID, str]]:
    """Cancelled campaigns of which not all was called back, with their channels."""
    return [tuple(row) for row in await connection.fetch(UNRECALLED, campaigns_max)]


async def lock(connection: Any, campaign_id: UUID) -> UUID | None:
    """The customer to go on at; None where nothing is left to call back, or somebody else is at it."""
    row = await connection.fetchrow(LOCK, campaign_id)
    return None if row is None else row[0] or FIRST


async def recall(connection: Any, campaign_id: UUID, start: UUID, now: int) -> list[Recalled]:
    """Marks some of the campaign's requests as called back, SLICE at most, by customer."""
    rows = await connection.fetch(RECALL, campaign_id, to_datetime(now), start)
    return sorted((Recalled._make(row) for row in rows), key=lambda one: one.customer_id.int)


async def note_progress(connection: Any, campaign_id: UUID, customer_id: UUID, *, is_done: bool) -> None:
    """So far have the campaign's requests been called back."""
    await connection.execute(GOT_TO, campaign_id, customer_id, is_done)
