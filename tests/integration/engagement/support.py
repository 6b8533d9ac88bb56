"""Messages as dispatch leaves them behind, and events about them as providers send them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import insert

from service.adapters.postgres.campaign_tables import campaign_codes, campaign_messages, customer_segment_campaigns
from service.adapters.postgres.campaigns.engagement import PostgresEngagement
from service.adapters.postgres.database import Database
from service.app.engagement.apply import Applied, Rules, apply_batch, sweep
from service.app.engagement.consent import Topics
from service.app.ingest import Record
from service.core.campaigns.identity import message_id
from service.core.campaigns.secrets import address_hash
from service.core.identity import customer_uuid
from service.core.instants import parse, to_datetime

#: The span that these tests speak of.
START = parse("2026-03-01T00:00:00Z")
END = parse("2026-03-31T12:00:00Z")
KEY = b"k" * 32
NOW = parse("2026-03-31T12:00:00Z")
RULES = Rules(Topics("customers", "campaign-engagement"), 1_048_576)
_MINUTE = timedelta(minutes=1)


def at(minutes: float = 0) -> datetime:
    """So many minutes after messages were sent, an hour before now."""
    return to_datetime(NOW) - timedelta(hours=1) + minutes * _MINUTE


async def add_campaign(database: Database, segment_id: UUID | None = None, **values: Any) -> UUID:
    """A campaign that is being sent."""
    row = {
        "id": uuid4(),
        "segment_id": segment_id or uuid4(),
        "campaign_name": "Win back",
        "campaign_type": "email",
        "channel": "email",
        "category": "marketing",
        "trigger": "once",
        "state": "sending",
        "options": {},
        "created_by": "t",
        **values,
    }
    async with database.transaction() as connection:
        await connection.execute(insert(customer_segment_campaigns), [row])
    return row["id"]


async def add_messages(database: Database, campaign_id: UUID, customers: Sequence[str], **values: Any) -> list[UUID]:
    """A message that was sent to each of these customers; gives their ids."""
    occasion = values.pop("occasion", "once")
    rows = [
        {
            "customer_id": customer_uuid(one),
            "campaign_id": campaign_id,
            "occasion": occasion,
            "message_id": message_id(campaign_id, customer_uuid(one), occasion),
            "channel": "email",
            "category": "marketing",
            "priority": 50,
            "state": "sent",
            "occurred_at": at(),
            "due_at": at(),
            "expires_at": at(10_000),
            "assigned_at": at(),
            "sent_at": at(),
            "attempts": 1,
            **values,
        }
        for one in customers
    ]
    async with database.transaction() as connection:
        await connection.execute(insert(campaign_messages), rows)
    return [row["message_id"] for row in rows]


async def add_code(database: Database, campaign_id: UUID, customer: str, message: UUID, code: str) -> None:
    """A discount code of this customer alone."""
    row = {"code": code, "campaign_id": campaign_id, "customer_id": customer_uuid(customer), "message_id": message}
    async with database.transaction() as connection:
        await connection.execute(insert(campaign_codes), [row])


def told(
    message: UUID | str, kind: str, when: datetime | None = None, event_id: str = "", source: str = "/p", **details: Any
) -> dict[str, Any]:
    """One event of a provider."""
    moment = (when or at(1)).isoformat()
    return {
        "specversion": "1.0",
        "id": event_id or f"{message}:{kind}:{moment}",
        "source": source,
        "type": f"campaign.message.{kind}",
        "time": moment,
        "datacontenttype": "application/json",
        "data": {"message_id": str(message), "occurred_at": moment, "channel": "email", "details": details},
    }


def records(events: Iterable[dict[str, Any] | bytes], start: int = 0) -> list[Record]:
    """As they come from Kafka, in structured mode."""
    values = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in events]
    return [Record("campaign-engagement", 0, start + place, 0, b"k", value, []) for place, value in enumerate(values)]


async def apply(database: Database, events: Iterable[dict[str, Any] | bytes], start: int = 0) -> Applied:
    """One batch."""
    async with database.batch() as connection:
        return await apply_batch(store_on(connection), records(events, start), RULES, NOW)


async def sweep_once(database: Database) -> Applied:
    """Looks at parked events."""
    async with database.batch() as connection:
        return await sweep(store_on(connection), RULES, NOW, 100)


def store_on(connection: Any) -> PostgresEngagement:
    """The store of these tests."""
    return PostgresEngagement(connection, KEY, "dead", "c")


async def rows(database: Database, statement: str, *values: Any) -> list[dict[str, Any]]:
    """What a statement finds."""
    async with database.session() as connection:
        return [dict(row) for row in await connection.fetch(statement, *values)]


async def message(database: Database, of: UUID) -> dict[str, Any]:
    """One row of messages."""
    return (await rows(database, "SELECT * FROM campaign_messages WHERE message_id = $1", of))[0]


async def suppressed(database: Database, channel: str, address: str) -> str | None:
    """Why an address gets nothing any more."""
    found = await rows(
        database,
        "SELECT reason FROM campaign_suppressions WHERE channel = $1 AND address_hash = $2",
        channel,
        address_hash(KEY, channel, address),  # type: ignore[arg-type]
    )
    return found[0]["reason"] if found else None


async def outbox(database: Database) -> list[Any]:
    """All records that wait for the relay."""
    from service.app.outgoing import decode_outbox

    found = await rows(database, "SELECT payload FROM outbox ORDER BY id")
    return [record for row in found for record in decode_outbox(row["payload"], "membership")]
