"""Opens and clicks, and unsubscribing over HTTP, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final
from uuid import UUID

from service.adapters.postgres.batch_sql import INSERT_OUTBOX
from service.adapters.postgres.campaigns.engagement import PostgresEngagement
from service.adapters.postgres.database import Database
from service.app.engagement.consent import Topics, Withdrawal, withdraw
from service.app.engagement.touches import Message, Touch, touch_records
from service.app.outgoing import encode_records

MESSAGES: Final = """
SELECT message_id, customer_id, channel, COALESCE(links, '{}') FROM campaign_messages WHERE message_id = ANY($1::uuid[])
"""


class PostgresTouches:
    """app.engagement.touches.TouchStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def note(
        self, message_ids: Collection[UUID], topic: str, touches: Sequence[Touch], known: Mapping[UUID, Message]
    ) -> Mapping[UUID, Message]:
        """See TouchStore."""
        async with self._database.batch() as connection:
            rows = await connection.fetch(MESSAGES, list(message_ids)) if message_ids else []
            found = {row[0]: Message(*row[1:]) for row in rows}
            for row in encode_records(touch_records(topic, touches, {**known, **found})):
                await connection.execute(INSERT_OUTBOX, row.records, row.payload, row.counts)
        return found


async def unsubscribe(
    database: Database, address_key: bytes, topics: Topics, message_id: UUID, method: str, now: int
) -> bool:
    """One transaction: whoever got the message gets nothing more on its channel; False if there is no such message.

    Args:
        database: where.
        address_key: hides addresses.
        topics: where to tell.
        message_id: which message the no came by.
        method: one_click or page.
        now: the service's clock, microseconds.
    """
    async with database.batch() as connection:
        row = await connection.fetchrow(MESSAGES, [message_id])
        if row is None:
            return False
        store = PostgresEngagement(connection, address_key, "")
        said = Withdrawal(row["customer_id"], row["channel"], message_id, now, method)  # type: ignore[arg-type]
        await withdraw(store, topics, [said], now, is_told=False)
    return True
