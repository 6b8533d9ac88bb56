"""Every statement of a repair beside those of a batch, each with a name and a sentence; keyed by customer_id first."""

from __future__ import annotations

from typing import Final

from service.adapters.postgres.batch_rows import CUSTOMER_COLUMNS, PROFILE_COLUMNS

#: Who is a tombstone, or has a deletion among the facts.
LEAVING: Final = """
SELECT customer_id FROM erasures WHERE customer_id = ANY($1::uuid[])
UNION
SELECT customer_id FROM customer_facts WHERE customer_id = ANY($1::uuid[]) AND kind = 'deleted'
"""

#: The first fact of each customer, and the last whose time has come.
SPANS: Final = """
SELECT customer_id, min(time), max(time) FILTER (WHERE time <= $2)
FROM (
    SELECT customer_id, time FROM order_facts WHERE customer_id = ANY($1::uuid[])
    UNION ALL SELECT customer_id, time FROM refunds WHERE customer_id = ANY($1::uuid[])
    UNION ALL SELECT customer_id, time FROM activities WHERE customer_id = ANY($1::uuid[])
    UNION ALL SELECT customer_id, time FROM customer_facts WHERE customer_id = ANY($1::uuid[])
) AS facts
GROUP BY customer_id
"""

#: What a fact must say to be read as an event again, whose it is in any case.
_TOLD: Final = """
    f.customer_id, 'customer.' || f.kind, f.event_id, f.time, f.sequence,
    CAST(jsonb_build_object('customer_id', f.customer_id) || f.data AS text)
"""
TOLD: Final = f"SELECT {_TOLD} FROM customer_facts f WHERE f.customer_id = ANY($1::uuid[])"  # noqa: S608

_KEYS: Final = "unnest($1::uuid[], $2::timestamptz[]) AS k (customer_id, after)"
_THEIRS: Final = "f.customer_id = k.customer_id AND f.time > k.after"

#: Facts later than an instant of each customer, by the type of their events.
TOLD_LATER: Final = f"SELECT {_TOLD} FROM {_KEYS} JOIN customer_facts f ON {_THEIRS}"  # noqa: S608
DONE_LATER: Final = f"""
SELECT f.customer_id, 'customer.activity', f.event_id, f.time, f.sequence,
    CAST(jsonb_build_object('customer_id', f.customer_id, 'name', f.name, 'properties', f.properties) AS text)
FROM {_KEYS} JOIN activities f ON {_THEIRS}
"""  # noqa: S608 - built from constants
#: A missing total or items, and a null, say the same: nothing.
ORDERED_LATER: Final = f"""
SELECT f.customer_id, 'order.' || f.kind, f.event_id, f.time, f.sequence,
    CAST(jsonb_strip_nulls(jsonb_build_object(
        'customer_id', f.customer_id, 'order_id', f.order_id, 'currency', '', 'total', f.total / 100.0,
        'items', f.items, 'discount_codes', f.discount_codes, 'status', f.status, 'test', f.is_test
    )) AS text)
FROM {_KEYS} JOIN order_facts f ON {_THEIRS}
"""  # noqa: S608 - built from constants
REFUNDED_LATER: Final = f"""
SELECT f.customer_id, 'order.refunded', f.event_id, f.time, f.sequence,
    CAST(jsonb_build_object(
        'customer_id', f.customer_id, 'refund_id', f.refund_id, 'order_id', f.order_id, 'currency', '',
        'amount', coalesce(to_jsonb(f.amount / 100.0), '"full"')
    ) AS text)
FROM {_KEYS} JOIN refunds f ON {_THEIRS}
"""  # noqa: S608 - built from constants
LATER: Final = (TOLD_LATER, DONE_LATER, ORDERED_LATER, REFUNDED_LATER)

#: The memberships of each customer in each segment, all of them together, with the segment's slot.
STAYS: Final = """
SELECT m.customer_id, m.segment_id, s.slot, max(m.ordinal + CAST(m.left_at IS NOT NULL AS integer)),
    max(coalesce(m.left_at, m.joined_at)), max(m.ordinal) FILTER (WHERE m.left_at IS NULL)
FROM customer_segment_memberships m JOIN customer_segments s ON s.id = m.segment_id
WHERE m.customer_id = ANY($1::uuid[])
GROUP BY m.customer_id, m.segment_id, s.slot
"""

PINS: Final = """
SELECT p.customer_id, s.slot, p.is_included
FROM pins p JOIN customer_segments s ON s.id = p.segment_id
WHERE p.customer_id = ANY($1::uuid[])
"""

NAMES: Final = "SELECT customer_id, external_id FROM customers WHERE customer_id = ANY($1::uuid[])"

#: Open memberships that go on under another number.
RENUMBER: Final = """
UPDATE customer_segment_memberships m SET ordinal = u.ordinal
FROM unnest($1::uuid[], $2::uuid[], $3::bigint[]) AS u (customer_id, segment_id, ordinal)
WHERE m.customer_id = u.customer_id AND m.segment_id = u.segment_id AND m.left_at IS NULL
"""

#: Every profile with its timer and the customer's pins by slot.
PROFILES: Final = """
SELECT p.customer_id, p.total_orders, p.total_spent, p.last_order_at, p.evaluated_to, p.born, p.mark, p.shape_version,
    p.ordinals, p.state, p.next_due_at, n.slots, n.pins
FROM profiles p
LEFT JOIN (
    SELECT n.customer_id, array_agg(s.slot ORDER BY s.slot) AS slots, array_agg(n.is_included ORDER BY s.slot) AS pins
    FROM pins n JOIN customer_segments s ON s.id = n.segment_id
    GROUP BY n.customer_id
) AS n USING (customer_id)
WHERE NOT p.is_over_limit AND p.mark = :version
"""

ORDERS: Final = """
SELECT customer_id, order_id, placed_at, total, amount, products, categories
FROM orders WHERE customer_id = ANY($1::uuid[])
"""

_PROFILE_TYPES: Final = ("uuid", *["bigint"] * 10, "integer", "bytea", "bytea", "boolean")
_CUSTOMER_TYPES: Final = ("uuid", *["text"] * 11, *["boolean"] * 3, "jsonb")


def _changed(table: str, columns: tuple[str, ...], types: tuple[str, ...]) -> str:
    """Stores rows that differ from what is stored, and answers whose they are."""
    names = ", ".join(columns)
    given = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(types, 1))
    rest = columns[1:]
    sets = ", ".join(f"{name} = u.{name}" for name in rest)
    was, now = (", ".join(f"{alias}.{name}" for name in rest) for alias in ("p", "u"))
    return f"""
UPDATE {table} p SET {sets}
FROM unnest({given}) AS u ({names})
WHERE p.customer_id = u.customer_id AND ({was}) IS DISTINCT FROM ({now})
RETURNING p.customer_id
"""  # noqa: S608 - built from constants


MEND_PROFILES: Final = _changed("profiles", PROFILE_COLUMNS, _PROFILE_TYPES)
MEND_CUSTOMERS: Final = _changed("customers", CUSTOMER_COLUMNS, _CUSTOMER_TYPES)
FORGET_CUSTOMERS: Final = "DELETE FROM customers WHERE customer_id = ANY($1::uuid[])"

#: The count of members of segments, and what it must be so that with all that waits in the outbox it becomes the number
#: of open memberships, once what waits for the table is merged.
COUNTS: Final = """
SELECT s.id, s.customer_count,
    (SELECT count(*) FROM customer_segment_memberships m WHERE m.segment_id = s.id AND m.left_at IS NULL)
    + (SELECT count(*) FILTER (WHERE ordinal % 2 = 1) - count(*) FILTER (WHERE ordinal % 2 = 0)
       FROM membership_changes w, unnest(w.segment_ids, w.ordinals) AS c (segment_id, ordinal)
       WHERE c.segment_id = s.id)
    - coalesce((SELECT sum(CAST(o.counts ->> CAST(s.id AS text) AS bigint)) FROM outbox o), 0)
FROM customer_segments s
WHERE NOT s.is_deleted AND ($1::uuid[] IS NULL OR s.id = ANY($1))
"""
#: Whoever counts on waits until this transaction ends.
LOCK_COUNT: Final = "SELECT FROM customer_segments WHERE id = $1 FOR UPDATE"
MEND_COUNT: Final = """
UPDATE customer_segments SET customer_count = $2, last_updated = now() WHERE id = $1 AND customer_count <> $2
"""
