"""Messages that are due: claimed, looked into and settled, within one transaction on asyncpg's own connection."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from service.adapters.postgres.campaigns import turns
from service.adapters.postgres.campaigns.rows import CAMPAIGN_COLUMNS, campaign_of
from service.adapters.postgres.membership_changes import merge_all
from service.app.dispatch.model import Person, Settled, Waiting
from service.app.outgoing import OutgoingRecord, encode_records
from service.core.campaigns.caps import Sent
from service.core.campaigns.model import Campaign
from service.core.instants import from_datetime, to_datetime

#: While it is held, nobody pauses or cancels the campaign.
LIVE_CAMPAIGN: Final = f"""
SELECT {CAMPAIGN_COLUMNS} FROM customer_segment_campaigns
WHERE id = $1 AND state IN ('sending', 'active') AND NOT is_deleted FOR SHARE
"""  # noqa: S608 - built from constants
#: Those that another worker has claimed are passed over. $2 is the service's clock; retries wait in real time.
CLAIM: Final = """
SELECT customer_id, occasion, message_id, occurred_at, due_at, expires_at, attempts, discount_code, traceparent
FROM campaign_messages
WHERE campaign_id = $1 AND state IN ('pending', 'deferred') AND due_at <= $2
    AND (retry_at IS NULL OR retry_at <= clock_timestamp())
ORDER BY due_at LIMIT $3
FOR UPDATE SKIP LOCKED
"""
#: As every writer of a customer does, in the order of ids: changes of consent and erasures come before or after.
LOCK_CUSTOMERS: Final = """
SELECT FROM profiles WHERE customer_id = ANY($1::uuid[]) ORDER BY customer_id FOR NO KEY UPDATE
"""
PEOPLE: Final = """
SELECT k.customer_id, c.external_id, c.name, c.first_name, c.email, c.phone, c.locale, c.timezone, c.country, c.city,
    c.email_subscribed, c.sms_subscribed, c.push_subscribed,
    COALESCE(p.total_orders, 0), COALESCE(p.total_spent, 0), p.last_order_at,
    EXISTS (SELECT FROM erasures e WHERE e.customer_id = k.customer_id),
    (SELECT m.joined_at FROM customer_segment_memberships m
     WHERE m.segment_id = $2 AND m.customer_id = k.customer_id AND m.left_at IS NULL)
FROM unnest($1::uuid[]) AS k (customer_id)
LEFT JOIN customers c ON c.customer_id = k.customer_id
LEFT JOIN profiles p ON p.customer_id = k.customer_id
"""
#: What counts against caps: marketing that left after $2, may have, or is on its way.
SENT: Final = """
SELECT k.customer_id, m.channel, m.sent_at
FROM unnest($1::uuid[]) AS k (customer_id)
CROSS JOIN LATERAL (
    SELECT channel, sent_at FROM campaign_messages
    WHERE customer_id = k.customer_id AND category = 'marketing'
        AND ((state IN ('sent', 'uncertain') AND sent_at > $2) OR state = 'leased')
    OFFSET 0
) m
"""
SETTLE: Final = """
UPDATE campaign_messages m SET
    state = u.state, reason = u.reason, due_at = COALESCE(u.due_at, m.due_at), retry_at = NULL,
    assigned_at = COALESCE(m.assigned_at, u.assigned_at), sent_at = u.sent_at, attempts = m.attempts + u.attempts_more,
    attempt_token = u.attempt_token, attempt_began_at = NULL, error = u.error,
    lease_expires_at = CASE WHEN u.attempt_token IS NULL THEN NULL
        ELSE clock_timestamp() + make_interval(secs => $13) END,
    discount_code = COALESCE(u.discount_code, m.discount_code),
    links = CASE WHEN u.links IS NULL THEN m.links ELSE ARRAY(SELECT jsonb_array_elements_text(u.links)) END,
    sms_segments = COALESCE(u.sms_segments, m.sms_segments)
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::timestamptz[], $7::smallint[],
            $8::uuid[], $9::text[], $10::text[], $11::jsonb[], $12::smallint[])
    AS u (message_id, state, reason, due_at, assigned_at, sent_at, attempts_more, attempt_token, error, discount_code,
          links, sms_segments)
WHERE m.message_id = u.message_id
"""
SEGMENT_NAME: Final = "SELECT segment_name FROM customer_segments WHERE id = $1"
INSERT_OUTBOX: Final = "INSERT INTO outbox (records, payload, counts) VALUES ($1, $2, $3::jsonb)"
INSERT_CODES: Final = """
INSERT INTO campaign_codes (code, campaign_id, customer_id, message_id)
SELECT u.code, $1, u.customer_id, u.message_id
FROM unnest($2::text[], $3::uuid[], $4::uuid[]) AS u (code, customer_id, message_id) ORDER BY u.code
ON CONFLICT DO NOTHING RETURNING message_id
"""
DELETE_CODES: Final = "DELETE FROM campaign_codes WHERE code = ANY($1::text[]) AND campaign_id = $2"
#: How the first messages of a campaign could be rendered: those that were tried, and those of them that could not be.
RENDERED: Final = """
SELECT count(*), count(*) FILTER (WHERE state = 'failed' AND reason = 'render_error') FROM (
    SELECT state, reason FROM campaign_messages
    WHERE campaign_id = $1 AND state IN ('leased', 'sent', 'failed', 'dead', 'uncertain') LIMIT $2
) m
"""


async def live_campaign(connection: Any, campaign_id: UUID) -> Campaign | None:
    """The campaign if messages of it may leave; that stays so until the transaction ends."""
    await connection.execute(turns.SHARE, campaign_id)
    row = await connection.fetchrow(LIVE_CAMPAIGN, campaign_id)
    return None if row is None else campaign_of(row)


async def claim(connection: Any, campaign_id: UUID, now: int, limit: int) -> list[Waiting]:
    """Messages that are due at `now`, the oldest first, which nobody else works on."""
    rows = await connection.fetch(CLAIM, campaign_id, to_datetime(now), limit)
    return [Waiting._make((*row[:3], *map(from_datetime, row[3:6]), *row[6:])) for row in rows]


async def people(connection: Any, customer_ids: Collection[UUID], segment_id: UUID) -> dict[UUID, Person]:
    """These customers, locked, and as members of a segment."""
    ids = sorted(customer_ids)
    await connection.execute(LOCK_CUSTOMERS, ids)
    await merge_all(connection)
    found = {}
    for row in await connection.fetch(PEOPLE, ids, segment_id):
        found[row[0]] = Person._make((*row[:17], None if row[17] is None else from_datetime(row[17])))
    return found


async def sent_since(connection: Any, customer_ids: Collection[UUID], since: int, now: int) -> dict[UUID, list[Sent]]:
    """Marketing messages that count against caps; what is on its way counts as sent now."""
    found: dict[UUID, list[Sent]] = {one: [] for one in customer_ids}
    for customer_id, channel, sent_at in await connection.fetch(SENT, list(customer_ids), to_datetime(since)):
        found[customer_id].append(Sent(channel, now if sent_at is None else from_datetime(sent_at)))
    return found


async def settle(connection: Any, settled: Sequence[Settled], lease_seconds: float) -> None:
    """Writes what becomes of claimed messages."""
    columns = zip(*(_row(one) for one in settled), strict=True)
    await connection.execute(SETTLE, *columns, lease_seconds)


def _row(one: Settled) -> tuple[Any, ...]:
    return (
        one.waiting.message_id,
        one.state,
        one.reason,
        _instant(one.due_at),
        _instant(one.assigned_at),
        _instant(one.sent_at),
        one.attempts_more,
        one.attempt_token,
        one.error,
        one.discount_code,
        None if one.links is None else json.dumps(list(one.links)),
        one.sms_segments,
    )


def _instant(at: int | None) -> datetime | None:
    return None if at is None else to_datetime(at)


async def write_outbox(connection: Any, records: list[OutgoingRecord]) -> None:
    """What leaves with this transaction; ids are taken under the customers' locks."""
    for row in encode_records(records):
        await connection.execute(INSERT_OUTBOX, row.records, row.payload, row.counts)


async def insert_codes(connection: Any, campaign_id: UUID, codes: Iterable[tuple[str, UUID, UUID]]) -> set[UUID]:
    """Stores codes (in upper case, with customer and message); the messages whose code was still free."""
    rows = await connection.fetch(INSERT_CODES, campaign_id, *zip(*codes, strict=True))
    return {row[0] for row in rows}


async def delete_codes(connection: Any, campaign_id: UUID, codes: Collection[str]) -> None:
    """Takes back codes that go to nobody."""
    if codes:
        await connection.execute(DELETE_CODES, list(codes), campaign_id)


async def segment_name(connection: Any, segment_id: UUID) -> str:
    """The name of a segment."""
    return await connection.fetchval(SEGMENT_NAME, segment_id) or ""


async def rendered(connection: Any, campaign_id: UUID, limit: int) -> tuple[int, int]:
    """How many of the campaign's messages have been rendered, up to a limit, and how many of these could not be."""
    row = await connection.fetchrow(RENDERED, campaign_id, limit)
    return row[0], row[1]
