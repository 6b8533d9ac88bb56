"""Revenue of a segment's members by day, as of now, from the orders that batches maintain (docs/analytics.md).

An order that counts adds its amount, net of all refunds, when it was placed; refunds of late are moved from there to
their own time. Orders cancelled of late, or refunded of late and ever in full, are folded from their facts instead.

`CROSS JOIN LATERAL (... OFFSET 0)` looks each row up in an index. What is joined otherwise must not be: the planner
takes these tables for a row each, and would compare each of one with each of the other (`enable_nestloop` is off).
"""

from __future__ import annotations

from typing import Final

from service.adapters.postgres.figure_tables import LATEST, NOT_GUEST
from service.adapters.postgres.ledger_sql import ledger_tables
from service.adapters.postgres.stays_sql import MEMBERS_NOW

_ENDED_LEDGER: Final = ",\n".join(ledger_tables("ended_facts AS order_facts", "ended_refunds AS refunds"))

#: `recent` has refunds of late, `ended` orders that are folded, `moved` what differs from their dates and amounts.
_TABLES: Final = f"""
recent AS MATERIALIZED (
    SELECT customer_id, refund_id, min(time) AS at,
        (array_agg(order_id {LATEST}))[1] AS order_id, (array_agg(amount {LATEST}))[1] AS amount
    FROM (
        SELECT DISTINCT customer_id, refund_id FROM refunds
        WHERE time >= :trend_start AND time <= :as_of AND {NOT_GUEST}
    ) AS late CROSS JOIN LATERAL (
        SELECT time, sequence, event_id, order_id, amount FROM refunds
        WHERE customer_id = late.customer_id AND refund_id = late.refund_id AND time <= :as_of OFFSET 0
    ) AS told
    GROUP BY customer_id, refund_id
    HAVING min(time) >= :trend_start
),
in_full_once AS MATERIALIZED (
    SELECT DISTINCT customer_id, order_id FROM recent CROSS JOIN LATERAL (
        SELECT FROM refunds
        WHERE customer_id = recent.customer_id AND order_id = recent.order_id AND amount IS NULL AND time <= :as_of
        OFFSET 0
    ) AS told
    WHERE order_id IS NOT NULL
),
ended AS MATERIALIZED (
    SELECT customer_id, order_id FROM order_facts
    WHERE kind = 'cancelled' AND time >= :trend_start AND time <= :as_of AND {NOT_GUEST}
    UNION SELECT customer_id, order_id FROM in_full_once
),
ended_facts AS MATERIALIZED (
    SELECT told.* FROM ended CROSS JOIN LATERAL (
        SELECT customer_id, order_id, event_id, kind, total, is_test, time, sequence FROM order_facts
        WHERE customer_id = ended.customer_id AND order_id = ended.order_id OFFSET 0
    ) AS told
),
ended_refunds AS MATERIALIZED (
    SELECT told.* FROM (
        SELECT DISTINCT customer_id, refund_id FROM ended CROSS JOIN LATERAL (
            SELECT refund_id FROM refunds WHERE customer_id = ended.customer_id AND order_id = ended.order_id OFFSET 0
        ) AS named
    ) AS those CROSS JOIN LATERAL (
        SELECT * FROM refunds WHERE customer_id = those.customer_id AND refund_id = those.refund_id OFFSET 0
    ) AS told
),
{_ENDED_LEDGER},
given AS MATERIALIZED (
    SELECT customer_id, at, recent.amount, placed_at FROM recent CROSS JOIN LATERAL (
        SELECT placed_at FROM orders WHERE customer_id = recent.customer_id AND order_id = recent.order_id OFFSET 0
    ) AS those
    WHERE (customer_id, order_id) NOT IN (SELECT customer_id, order_id FROM ended)
),
moved AS (
    SELECT customer_id, placed_at AS at, -those.amount AS amount FROM in_full_once CROSS JOIN LATERAL (
        SELECT placed_at, amount FROM orders
        WHERE customer_id = in_full_once.customer_id AND order_id = in_full_once.order_id OFFSET 0
    ) AS those
    UNION ALL SELECT customer_id, placed_at, amount FROM given
    UNION ALL SELECT customer_id, greatest(at, placed_at), -amount FROM given
    UNION ALL SELECT customer_id, at, -amount FROM recent WHERE order_id IS NULL
    UNION ALL SELECT customer_id, at, amount FROM order_ledger
),
entries AS (
    SELECT customer_id, placed_at AS at, amount FROM orders WHERE placed_at >= :trend_start AND placed_at <= :as_of
    UNION ALL SELECT customer_id, at, amount FROM moved WHERE at >= :trend_start AND at <= :as_of
)
"""  # noqa: S608 - built from constants
_BY_DAY: Final = "SELECT width_bucket(at, CAST(:starts AS timestamptz[])) - 1 AS place, sum(amount) AS amount"
_TREND: Final = f"""/* analytics_trend - Revenue of members by day. */
WITH {MEMBERS_NOW}, {_TABLES}
{_BY_DAY} FROM entries JOIN members USING (customer_id) GROUP BY 1
"""
_TREND_OF_ALL: Final = f"""/* analytics_trend_of_all - The same where everybody is a member. */
WITH {_TABLES}
{_BY_DAY} FROM entries GROUP BY 1
"""

#: By whether everybody is a member.
TREND: Final = {False: _TREND, True: _TREND_OF_ALL}
