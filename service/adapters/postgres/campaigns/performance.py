"""Counts of a campaign's messages, as known now, up to an instant."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from service.adapters.postgres.campaigns.attribution import Credit, credits_of
from service.adapters.postgres.database import Database
from service.adapters.postgres.limited import limited_snapshot
from service.app.campaigns.performance import NOTHING, Counts, Found, Order, converted_by_campaign
from service.core.campaigns.returns import Line
from service.core.instants import INSTANT_MAX, to_datetime

#: The tables made on the way are larger than PostgreSQL can know before; it must not walk them once for each order.
_SETTINGS: Final = ("SET LOCAL work_mem = '64MB'", "SET LOCAL plan_cache_mode = force_custom_plan")
#: Sent, or maybe sent, by :as_of. What a mail server turned away as it was handed over has bounced: it was on its way.
RECIPIENT: Final = """(m.state IN ('sent', 'uncertain') OR (m.state = 'failed' AND m.bounced_at IS NOT NULL))
    AND coalesce(m.sent_at, m.bounced_at, m.assigned_at, m.due_at) <= :as_of"""
#: What our own SMTP transport took over is delivered unless it bounced; other ways out report what they delivered.
DELIVERED: Final = """CASE WHEN m.channel = 'email' AND m.attempt_began_at IS NOT NULL
    THEN coalesce(m.bounced_at > :as_of, true) ELSE coalesce(m.delivered_at <= :as_of, false) END"""

COUNTS: Final = f"""/* campaign_counts - Messages of campaigns by what became of them. */
SELECT m.campaign_id,
    count(*) FILTER (WHERE {RECIPIENT}) AS recipients,
    count(*) FILTER (WHERE {RECIPIENT} AND {DELIVERED}) AS delivered,
    count(*) FILTER (WHERE {RECIPIENT} AND m.opened_at <= :as_of) AS opened,
    count(*) FILTER (WHERE {RECIPIENT} AND least(m.opened_at, m.machine_opened_at) <= :as_of) AS machine_opened,
    count(*) FILTER (WHERE {RECIPIENT} AND m.clicked_at <= :as_of) AS clicked,
    count(*) FILTER (WHERE {RECIPIENT} AND m.unsubscribed_at <= :as_of) AS unsubscribed,
    count(*) FILTER (WHERE {RECIPIENT} AND m.complained_at <= :as_of) AS complained,
    count(*) FILTER (WHERE {RECIPIENT} AND m.bounced_at <= :as_of) AS bounced,
    coalesce(sum(coalesce(m.sms_segments, 1)) FILTER (WHERE {RECIPIENT}), 0) AS charged,
    count(*) FILTER (WHERE m.state = 'control' AND coalesce(m.assigned_at, m.due_at) <= :as_of) AS control
FROM campaign_messages m
WHERE m.campaign_id = ANY(CAST(:campaigns AS uuid[]))
GROUP BY m.campaign_id
"""  # noqa: S608 - built from constants


@asynccontextmanager
async def performance_store(database: Database, seconds_max: float, setting: str) -> AsyncIterator[AsyncConnection]:
    """A snapshot for reads of performance, with plans made for the values at hand.

    Args:
        database: an ordinary pool.
        seconds_max: after which PostgreSQL stops a statement.
        setting: the name of what says so, for the message.

    Raises:
        TooSlow: a statement was stopped.
    """
    async with limited_snapshot(database, seconds_max, setting) as connection:
        for statement in _SETTINGS:
            await connection.execute(text(statement))
        yield connection


class PostgresPerformance:
    """app.campaigns.performance.PerformanceStore on one connection, within one transaction of one snapshot."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def found(self, campaign_id: UUID, as_of: int) -> Found:
        """See PerformanceStore."""
        counts = (await message_counts(self._connection, [campaign_id], as_of))[campaign_id]
        credited = await credits_of(self._connection, [campaign_id], as_of)
        converted = converted_by_campaign((one.campaign_id, one.customer_id, one.owner_id) for one in credited)
        counts = replace(counts, converted=converted.get(campaign_id, 0))
        return Found(counts, [_order(one) for one in credited])


async def counts_of(
    connection: AsyncConnection, campaign_ids: Sequence[UUID], as_of: int | None = None
) -> dict[UUID, Counts]:
    """Counts of each of these campaigns; zeros where nothing was sent.

    Args:
        connection: within one transaction.
        campaign_ids: whichever.
        as_of: microseconds; None for all that is known.
    """
    at = INSTANT_MAX if as_of is None else as_of
    found = await message_counts(connection, campaign_ids, at)
    credited = await credits_of(connection, [one for one, counts in found.items() if counts.recipients], at)
    converted = converted_by_campaign((one.campaign_id, one.customer_id, one.owner_id) for one in credited)
    return {one: replace(counts, converted=converted.get(one, 0)) for one, counts in found.items()}


async def message_counts(connection: AsyncConnection, campaign_ids: Sequence[UUID], as_of: int) -> dict[UUID, Counts]:
    """As `counts_of`, without conversions: what the messages say by themselves."""
    if not campaign_ids:
        return {}
    values = {"campaigns": list(campaign_ids), "as_of": to_datetime(as_of)}
    rows = (await connection.execute(text(COUNTS), values)).mappings()
    counted = {row["campaign_id"]: Counts(**{name: row[name] for name in row if name != "campaign_id"}) for row in rows}
    return {campaign_id: counted.get(campaign_id, NOTHING) for campaign_id in campaign_ids}


def _order(one: Credit) -> Order:
    lines = () if one.items is None else [_line(item) for item in json.loads(one.items, parse_float=Decimal)]
    return Order(
        one.customer_id, one.owner_id, one.total, one.revenue, one.code, one.is_unique, one.given, tuple(lines)
    )


def _line(item: Any) -> Line:
    return Line(_number(item.get("quantity")), _number(item.get("unit_price")))


def _number(value: Any) -> Decimal | None:
    try:
        return None if value is None else Decimal(str(value))
    except InvalidOperation:
        return None


#: Campaigns of a segment that sent something: one-off ones once all was done, triggered ones with any message.
SENT_CAMPAIGNS: Final = """/* campaigns_sent - Campaigns of a segment that had been sent by an instant. */
SELECT c.id, c.channel FROM customer_segment_campaigns c
WHERE c.segment_id = :segment_id AND NOT c.is_deleted AND CASE
    WHEN c.trigger = 'once' THEN c.state = 'sent' AND c.sent_at <= :as_of
    ELSE EXISTS (SELECT FROM campaign_messages m WHERE m.campaign_id = c.id AND m.sent_at <= :as_of
        AND m.state IN ('sent', 'uncertain')) END
ORDER BY c.id
"""


async def campaigns_sent(connection: AsyncConnection, segment_id: UUID, as_of: int) -> list[tuple[str, Counts]]:
    """Channel and counts of every campaign of a segment that had been sent by an instant (microseconds)."""
    values = {"segment_id": segment_id, "as_of": to_datetime(as_of)}
    rows = (await connection.execute(text(SENT_CAMPAIGNS), values)).all()
    counts = await counts_of(connection, [row.id for row in rows], as_of) if rows else {}
    return [(row.channel, counts[row.id]) for row in rows]
