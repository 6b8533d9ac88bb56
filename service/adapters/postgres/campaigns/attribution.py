"""Which campaign each order is credited to: the one whose code was used with it, else the last touch before it.

One order is one campaign's at most (docs/campaigns-measurement.md). Orders are read from the facts, as analytics do.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from service.adapters.postgres.figure_tables import LATEST
from service.adapters.postgres.ledger_sql import ledger_tables
from service.core.campaigns.touches import WINDOWS
from service.core.instants import to_datetime


class Credit(NamedTuple):
    """One order credited to a campaign; money in minor units.

    Attributes:
        customer_id: whose order it is; the guest's for orders without a customer.
        revenue: what it came to, net of refunds.
        code: the code that decided it; None where a touch did.
        owner_id: to whom the message went.
        is_unique: the code was that recipient's alone.
        given: what the order says the code took off, as it stands in the event; None where it does not.
        items: its lines as JSON, where `given` is missing or may be no amount.
    """

    campaign_id: UUID
    message_id: UUID
    customer_id: UUID
    order_id: str
    placed_at: datetime
    total: int
    revenue: int
    code: str | None
    owner_id: UUID
    is_unique: bool
    given: str | None
    items: str | None


_WINDOWS: Final = ", ".join(
    f"('{channel}', '{kind}', interval '{seconds} seconds')" for (channel, kind), seconds in WINDOWS.items()
)
#: Facts are looked up, and all that is made of them is joined by hashing: how much that is PostgreSQL cannot know, and
#: takes it for next to nothing.
SETTINGS: Final = {"enable_nestloop": "off", "work_mem": "64MB", "plan_cache_mode": "force_custom_plan"}
_TABLES: Final = ",\n".join(ledger_tables("facts AS order_facts", "refund_facts AS refunds"))

CREDITS: Final = f"""/* campaign_credits - Orders credited to campaigns, as known now, up to an instant. */
WITH chosen AS MATERIALIZED (
    SELECT id, discount_code FROM customer_segment_campaigns WHERE id = ANY(CAST(:campaigns AS uuid[]))
),
windows (channel, kind, length) AS (VALUES {_WINDOWS}),
people AS MATERIALIZED (
    SELECT m.customer_id, min(m.sent_at) AS since
    FROM chosen JOIN campaign_messages m ON m.campaign_id = chosen.id
    WHERE m.sent_at <= :as_of AND (
        m.opened_at IS NOT NULL OR m.clicked_at IS NOT NULL OR (m.channel = 'sms' AND m.delivered_at IS NOT NULL)
        OR chosen.discount_code IS NOT NULL
    )
    GROUP BY m.customer_id
),
own_codes AS MATERIALIZED (
    SELECT code FROM campaign_codes WHERE campaign_id = ANY(CAST(:campaigns AS uuid[]))
),
keys AS MATERIALIZED (
    SELECT customer_id, order_id
    FROM people CROSS JOIN LATERAL (
        SELECT order_id FROM order_facts f
        WHERE f.customer_id = people.customer_id AND f.kind = 'placed' AND f.time >= people.since AND f.time <= :as_of
        OFFSET 0
    ) placed
    UNION
    SELECT f.customer_id, f.order_id
    FROM order_facts f CROSS JOIN LATERAL jsonb_array_elements(f.discount_codes) AS one(value)
    WHERE f.discount_codes IS NOT NULL AND f.time <= :as_of
        AND EXISTS (SELECT FROM own_codes) AND upper(btrim(one.value ->> 'code')) IN (SELECT code FROM own_codes)
),
facts AS MATERIALIZED (
    SELECT f.* FROM keys CROSS JOIN LATERAL (
        SELECT customer_id, order_id, event_id, kind, time, sequence, total, is_test, discount_codes FROM order_facts
        WHERE customer_id = keys.customer_id AND order_id = keys.order_id AND time <= :as_of OFFSET 0
    ) f
),
named AS (
    SELECT DISTINCT r.customer_id, r.refund_id FROM keys CROSS JOIN LATERAL (
        SELECT customer_id, refund_id FROM refunds
        WHERE customer_id = keys.customer_id AND order_id = keys.order_id OFFSET 0
    ) r
),
refund_facts AS MATERIALIZED (
    SELECT r.* FROM named CROSS JOIN LATERAL (
        SELECT * FROM refunds WHERE customer_id = named.customer_id AND refund_id = named.refund_id OFFSET 0
    ) r
),
{_TABLES},
standing AS MATERIALIZED (SELECT customer_id, order_id, placed_at, total FROM sold WHERE cancelled_at IS NULL),
latest_codes AS (
    SELECT DISTINCT ON (customer_id, order_id) customer_id, order_id, discount_codes
    FROM facts WHERE discount_codes IS NOT NULL
    {LATEST.replace("ORDER BY", "ORDER BY customer_id, order_id,")}
),
used AS MATERIALIZED (
    SELECT customer_id, order_id, placed_at, upper(btrim(one.value ->> 'code')) AS code, one.value ->> 'amount' AS given
    FROM standing JOIN latest_codes USING (customer_id, order_id)
        CROSS JOIN LATERAL jsonb_array_elements(discount_codes) AS one(value)
),
claims AS (
    SELECT used.customer_id, order_id, used.code, given, c.campaign_id, c.message_id, c.customer_id AS owner_id,
        true AS is_unique, m.sent_at
    FROM used CROSS JOIN LATERAL (SELECT * FROM campaign_codes WHERE code = used.code OFFSET 0) c
        CROSS JOIN LATERAL (SELECT * FROM campaign_messages WHERE message_id = c.message_id OFFSET 0) m
    WHERE coalesce(m.sent_at, m.assigned_at) <= :as_of
    UNION ALL
    SELECT used.customer_id, order_id, code, given, k.id, m.message_id, m.customer_id, false, m.sent_at
    FROM used JOIN customer_segment_campaigns k ON upper(btrim(k.discount_code)) = used.code
        CROSS JOIN LATERAL (
            SELECT * FROM campaign_messages
            WHERE customer_id = used.customer_id AND campaign_id = k.id AND sent_at <= used.placed_at OFFSET 0
        ) m
),
by_code AS (
    SELECT DISTINCT ON (customer_id, order_id) * FROM claims
    ORDER BY customer_id, order_id, is_unique DESC, sent_at DESC NULLS LAST, message_id DESC
),
touches AS (
    SELECT m.message_id, m.campaign_id, m.customer_id, e.kind, e.at, m.sent_at + w.length AS until
    FROM people CROSS JOIN LATERAL (
            SELECT * FROM campaign_messages WHERE customer_id = people.customer_id AND sent_at <= :as_of OFFSET 0
        ) m
        CROSS JOIN LATERAL (
            SELECT kind, at FROM campaign_engagement
            WHERE message_id = m.message_id AND NOT is_machine AND at <= :as_of OFFSET 0
        ) e
        JOIN windows w ON w.channel = m.channel AND w.kind = e.kind
),
by_touch AS (
    SELECT DISTINCT ON (customer_id, order_id) customer_id, order_id, campaign_id, message_id
    FROM standing JOIN touches USING (customer_id)
    WHERE at <= placed_at AND placed_at <= until
    ORDER BY customer_id, order_id, at DESC, (kind = 'clicked') DESC, message_id DESC
),
back AS (SELECT customer_id, order_id, sum(amount) AS amount FROM returned GROUP BY customer_id, order_id),
won AS (
    SELECT customer_id, order_id, placed_at, total, total - coalesce(back.amount, 0) AS revenue,
        coalesce(by_code.campaign_id, by_touch.campaign_id) AS campaign_id,
        coalesce(by_code.message_id, by_touch.message_id) AS message_id,
        by_code.code, coalesce(by_code.owner_id, customer_id) AS owner_id, coalesce(is_unique, false) AS is_unique,
        by_code.given
    FROM standing LEFT JOIN by_code USING (customer_id, order_id) LEFT JOIN by_touch USING (customer_id, order_id)
        LEFT JOIN back USING (customer_id, order_id)
)
SELECT campaign_id, message_id, customer_id, order_id, placed_at, total, revenue, code, owner_id, is_unique, given,
    CASE WHEN code IS NOT NULL AND coalesce(given !~ '^[0-9]+([.][0-9]+)?$', true) THEN (
        SELECT f.items::text FROM order_facts f
        WHERE f.customer_id = won.customer_id AND f.order_id = won.order_id AND f.items IS NOT NULL AND f.time <= :as_of
        {LATEST} LIMIT 1
    ) END AS items
FROM won JOIN chosen ON chosen.id = won.campaign_id
ORDER BY campaign_id, placed_at, customer_id, order_id
"""  # noqa: S608 - built from constants


_CURRENT: Final = text("SELECT current_setting(:name)")
_SET: Final = text("SELECT set_config(:name, :value, true)")


async def credits_of(connection: AsyncConnection, campaign_ids: Sequence[UUID], as_of: int) -> list[Credit]:
    """Every order credited to one of these campaigns at an instant (microseconds), by campaign and date of the order.

    Orders of other campaigns' touches and codes compete as well. Cancelled orders are credited to nobody.
    """
    if not campaign_ids:
        return []
    values = {"campaigns": list(campaign_ids), "as_of": to_datetime(as_of)}
    before = {name: (await _put(connection, name, value)) for name, value in SETTINGS.items()}
    rows = (await connection.execute(text(CREDITS), values)).all()
    for name, value in before.items():
        await _put(connection, name, value)
    return [Credit._make((*row[:5], int(row[5]), int(row[6]), *row[7:])) for row in rows]


async def _put(connection: AsyncConnection, name: str, value: str) -> str:
    """Sets what the planner goes by until the transaction ends; gives what it was."""
    before = (await connection.execute(_CURRENT, {"name": name})).scalar_one()
    await connection.execute(_SET, {"name": name, "value": value})
    return str(before)
