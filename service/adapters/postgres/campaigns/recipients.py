"""Reads of a campaign's messages, by pages, for the API (STYLE R10: plain SQL)."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from service.app.campaigns.recipients import Recipient

#: Before every customer's first message.
_FIRST: Final = (UUID(int=0), "")
#: In the order of campaign_messages_campaign_idx and, for the few messages of one customer, of their occasions.
#: OFFSET 0 has the customers of a page looked up, whatever the planner thinks of the tables.
_PAGE: Final = text("""
SELECT m.message_id, m.customer_id, c.external_id, m.occasion, m.state, m.reason, m.attempts, m.discount_code,
    m.occurred_at, m.due_at, m.expires_at, m.sent_at, m.delivered_at, m.bounced_at, m.opened_at, m.clicked_at,
    m.unsubscribed_at, m.complained_at
FROM (
    SELECT * FROM campaign_messages
    WHERE campaign_id = :campaign_id AND customer_id >= :customer_id
        AND (customer_id > :customer_id OR occasion > :occasion)
        AND (CAST(:state AS text) IS NULL OR state = :state)
    ORDER BY customer_id, occasion LIMIT :rows_max
) m
LEFT JOIN LATERAL (SELECT external_id FROM customers WHERE customer_id = m.customer_id OFFSET 0) c ON true
ORDER BY m.customer_id, m.occasion
""")
_COUNT: Final = text("""
SELECT count(*) FROM campaign_messages
WHERE campaign_id = :campaign_id AND (CAST(:state AS text) IS NULL OR state = :state)
""")


async def page_of_recipients(
    connection: AsyncConnection, campaign_id: UUID, state: str | None, after: tuple[UUID, str] | None, rows_max: int
) -> list[Recipient]:
    """Messages after a customer's occasion, by customer and occasion; at most `rows_max`."""
    customer_id, occasion = after or _FIRST
    values = {"campaign_id": campaign_id, "customer_id": customer_id, "occasion": occasion}
    found = await connection.execute(_PAGE, {**values, "state": state, "rows_max": rows_max})
    return [Recipient(*row) for row in found]


async def count_recipients(connection: AsyncConnection, campaign_id: UUID, state: str | None) -> int:
    """How many messages there are in all."""
    return int((await connection.execute(_COUNT, {"campaign_id": campaign_id, "state": state})).scalar_one())
