"""Every statement of the hot path, each with a name and a sentence; all are keyed by customer_id first.

Keys come as arrays. `CROSS JOIN LATERAL (... OFFSET 0)` makes the planner look each key up in the table's index,
whatever it believes about the table's size: plans are kept for a connection's life, and the tables grow from nothing.
"""

from __future__ import annotations

from typing import Final

#: Holds the catalogue as it is until the transaction ends; who changes it waits.
SHARE_CATALOGUE: Final = "SELECT pg_advisory_xact_lock_shared($1)"

#: A look at whether the compiled catalogue is still the current one, and whether what comes back must not leave.
CATALOGUE_VERSION: Final = "SELECT version, recovering::text FROM catalogue"

_PROFILE: Final = """
    p.customer_id, p.total_orders, p.total_spent, p.last_order_at, p.evaluated_to,
    p.born, p.mark, p.shape_version, p.ordinals, p.state
"""

#: Locks the profiles of a batch's customers, always in the order of ids so that no two batches wait for each other.
LOCK_PROFILES: Final = f"""
SELECT {_PROFILE}
FROM profiles p
WHERE p.customer_id = ANY($1::uuid[])
ORDER BY p.customer_id
FOR UPDATE OF p
"""  # noqa: S608 - built from constants

#: Locks customers whose next edge has come, without waiting for those that others hold.
LOCK_DUE: Final = f"""
SELECT {_PROFILE}
FROM profiles p
WHERE p.next_due_at <= $1 AND p.customer_id <> ALL($3::uuid[])
ORDER BY p.next_due_at
LIMIT $2
FOR UPDATE OF p SKIP LOCKED
"""  # noqa: S608 - built from constants

#: Locks customers that a new definition has not reached.
LOCK_BEHIND: Final = f"""
SELECT {_PROFILE}
FROM profiles p
WHERE p.customer_id > $2 AND p.mark < $1 AND p.customer_id <> ALL($4::uuid[])
ORDER BY p.customer_id
LIMIT $3
FOR UPDATE OF p
"""  # noqa: S608 - built from constants

#: Tombstones stay as they are until the transaction ends.
SHARE_ERASURES: Final = "SELECT pg_advisory_xact_lock_shared($1)"
#: Nobody stores anything about a customer whose profile is not locked until the transaction ends.
HOLD_ERASURES: Final = "SELECT pg_advisory_xact_lock($1)"

#: Which of these ids are tombstones.
ERASED: Final = "SELECT customer_id FROM erasures WHERE customer_id = ANY($1::uuid[])"

_ORDER: Final = """
    f.customer_id, f.event_id, f.order_id, f.kind, f.time, f.sequence, f.total, f.items::text, f.is_test
"""

#: Facts of the orders that a batch touches.
ORDERS_TOUCHED: Final = f"""
SELECT {_ORDER}
FROM unnest($1::uuid[], $2::text[]) AS k (customer_id, order_id)
CROSS JOIN LATERAL (
    SELECT * FROM order_facts WHERE customer_id = k.customer_id AND order_id = k.order_id OFFSET 0
) f
"""  # noqa: S608 - built from constants

#: All order facts of some customers.
ALL_ORDERS: Final = f"SELECT {_ORDER} FROM order_facts f WHERE f.customer_id = ANY($1::uuid[])"  # noqa: S608

_REFUND: Final = "r.customer_id, r.event_id, r.refund_id, r.order_id, r.time, r.sequence, r.amount"

#: Every fact of each refund that ever named an order that a batch touches: a later one may have moved it elsewhere.
REFUNDS_OF_ORDERS: Final = f"""
SELECT DISTINCT {_REFUND}
FROM unnest($1::uuid[], $2::text[]) AS k (customer_id, order_id)
CROSS JOIN LATERAL (
    SELECT refund_id FROM refunds WHERE customer_id = k.customer_id AND order_id = k.order_id OFFSET 0
) n
CROSS JOIN LATERAL (
    SELECT * FROM refunds WHERE customer_id = k.customer_id AND refund_id = n.refund_id OFFSET 0
) r
"""  # noqa: S608 - built from constants

#: Refunds that a batch names by their own id.
REFUNDS_TOUCHED: Final = f"""
SELECT {_REFUND}
FROM unnest($1::uuid[], $2::text[]) AS k (customer_id, refund_id)
CROSS JOIN LATERAL (
    SELECT * FROM refunds WHERE customer_id = k.customer_id AND refund_id = k.refund_id OFFSET 0
) r
"""  # noqa: S608 - built from constants

#: All refunds of some customers.
ALL_REFUNDS: Final = f"SELECT {_REFUND} FROM refunds r WHERE r.customer_id = ANY($1::uuid[])"  # noqa: S608

#: All activities of some customers that profiles keep something of.
ALL_ACTIVITIES: Final = """
SELECT customer_id, event_id, name, time, properties::text
FROM activities
WHERE customer_id = ANY($1::uuid[]) AND name = ANY($2::text[])
"""

#: Which events without a natural id are stored.
KNOWN_CUSTOMER_FACTS: Final = """
SELECT k.customer_id, k.event_id
FROM unnest($1::uuid[], $2::text[]) AS k (customer_id, event_id)
CROSS JOIN LATERAL (
    SELECT FROM customer_facts WHERE customer_id = k.customer_id AND event_id = k.event_id OFFSET 0
) f
"""
KNOWN_ACTIVITIES: Final = """
SELECT k.customer_id, k.event_id
FROM unnest($1::uuid[], $2::text[]) AS k (customer_id, event_id)
CROSS JOIN LATERAL (
    SELECT FROM activities WHERE customer_id = k.customer_id AND event_id = k.event_id OFFSET 0
) f
"""

#: Stores the profiles of a batch, all in one statement.
UPDATE_PROFILES: Final = """
UPDATE profiles p SET
    total_orders = u.total_orders, total_spent = u.total_spent, first_seen_at = u.first_seen_at,
    registered_at = u.registered_at, last_order_at = u.last_order_at, last_login_at = u.last_login_at,
    evaluated_to = u.evaluated_to, next_due_at = u.next_due_at, born = u.born, mark = u.mark,
    shape_version = u.shape_version, ordinals = u.ordinals, state = u.state, is_over_limit = u.is_over_limit
FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
            $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::integer[], $13::bytea[], $14::bytea[],
            $15::boolean[])
    AS u (customer_id, total_orders, total_spent, first_seen_at, registered_at, last_order_at, last_login_at,
          evaluated_to, next_due_at, born, mark, shape_version, ordinals, state, is_over_limit)
CROSS JOIN LATERAL (SELECT ctid AS place FROM profiles WHERE customer_id = u.customer_id OFFSET 0) k
WHERE p.ctid = k.place
"""

#: Stores changed attributes of known customers.
UPDATE_CUSTOMERS: Final = """
UPDATE customers c SET
    name = u.name, first_name = u.first_name, email = u.email, phone = u.phone, locale = u.locale,
    timezone = u.timezone, customer_type = u.customer_type, country = u.country, state = u.state, city = u.city,
    email_subscribed = u.email_subscribed, sms_subscribed = u.sms_subscribed, push_subscribed = u.push_subscribed,
    traits = u.traits
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
            $9::text[], $10::text[], $11::text[], $12::text[], $13::boolean[], $14::boolean[], $15::boolean[],
            $16::jsonb[])
    AS u (customer_id, external_id, name, first_name, email, phone, locale, timezone, customer_type, country, state,
          city, email_subscribed, sms_subscribed, push_subscribed, traits)
CROSS JOIN LATERAL (SELECT ctid AS place FROM customers WHERE customer_id = u.customer_id OFFSET 0) k
WHERE c.ctid = k.place
"""

#: Stores what orders that counted before are now.
UPDATE_ORDERS: Final = """
UPDATE orders o SET
    placed_at = u.placed_at, total = u.total, amount = u.amount,
    products = ARRAY(SELECT jsonb_array_elements_text(u.products)),
    categories = ARRAY(SELECT jsonb_array_elements_text(u.categories))
FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::bigint[], $5::bigint[], $6::jsonb[], $7::jsonb[])
    AS u (customer_id, order_id, placed_at, total, amount, products, categories)
CROSS JOIN LATERAL (
    SELECT ctid AS place FROM orders WHERE customer_id = u.customer_id AND order_id = u.order_id OFFSET 0
) k
WHERE o.ctid = k.place
"""
#: Orders that do not count any more.
DELETE_ORDERS: Final = """
DELETE FROM orders o
USING unnest($1::uuid[], $2::text[]) AS u (customer_id, order_id)
CROSS JOIN LATERAL (
    SELECT ctid AS place FROM orders WHERE customer_id = u.customer_id AND order_id = u.order_id OFFSET 0
) k
WHERE o.ctid = k.place
"""

#: Closes memberships that were open before this batch; `ordinal` is that of the join. That they are open is asked
#: outside of the look-up: inside, the planner may take an index of open stays that does not begin with the customer.
CLOSE_MEMBERSHIPS: Final = """
UPDATE customer_segment_memberships m SET
    left_at = u.left_at, left_reason = u.left_reason, left_recorded_at = u.left_recorded_at
FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::timestamptz[], $5::text[], $6::timestamptz[])
    AS u (customer_id, segment_id, ordinal, left_at, left_reason, left_recorded_at)
CROSS JOIN LATERAL (
    SELECT ctid AS place FROM customer_segment_memberships
    WHERE customer_id = u.customer_id AND segment_id = u.segment_id AND ordinal = u.ordinal OFFSET 0
) k
WHERE m.ctid = k.place AND m.left_at IS NULL
"""

#: All that leaves because of this batch, as one row; its id is taken under the customers' locks.
INSERT_OUTBOX: Final = "INSERT INTO outbox (records, payload, counts) VALUES ($1, $2, $3::jsonb)"

#: Stores dead letters once for each place in the input; answers the new ones.
INSERT_DEAD_LETTERS: Final = """
INSERT INTO dead_letters (cluster, reason, error, topic, partition, "offset", key, value, headers, customer_id)
SELECT $1::text, u.* FROM unnest($2::text[], $3::text[], $4::text[], $5::integer[], $6::bigint[], $7::bytea[],
                                 $8::bytea[], $9::jsonb[], $10::uuid[]) AS u
ON CONFLICT (cluster, topic, partition, "offset") DO NOTHING
RETURNING topic, partition, "offset"
"""

#: Tombstones; the events of these ids are dropped from now on.
INSERT_ERASURES: Final = """
INSERT INTO erasures (customer_id) SELECT unnest($1::uuid[]) ON CONFLICT (customer_id) DO NOTHING
"""

#: Deletes all that is stored of erased customers.
ERASE: Final = tuple(
    f"DELETE FROM {table} WHERE customer_id = ANY($1::uuid[])"  # noqa: S608 - built from constants
    for table in (
        "order_facts",
        "refunds",
        "customer_facts",
        "activities",
        "customer_segment_memberships",
        "orders",
        "pins",
        "profiles",
        "customers",
    )
)

#: What records set aside before said of erased customers; where they lay stays.
BLANK_DEAD_LETTERS: Final = """
UPDATE dead_letters SET error = 'The customer was erased since; what the record held was removed.',
    key = NULL, value = NULL, headers = '[]'
WHERE customer_id = ANY($1::uuid[]) AND reason <> 'erased'
"""

#: Places that hold dead letters of events that lay in the future.
FUTURE_LETTERS: Final = """
SELECT k.topic, k.partition, k.place
FROM unnest($2::text[], $3::integer[], $4::bigint[]) AS k (topic, partition, place)
CROSS JOIN LATERAL (
    SELECT FROM dead_letters d
    WHERE d.cluster = $1 AND d.topic = k.topic AND d.partition = k.partition AND d."offset" = k.place
        AND d.reason = 'future_event' OFFSET 0
) l
"""

#: How far each input partition has been applied; never goes back.
ADVANCE_FRONTIER: Final = """
INSERT INTO input_frontier AS f (cluster, topic, partition, next_offset)
SELECT $1::text, u.* FROM unnest($2::text[], $3::integer[], $4::bigint[]) AS u
ON CONFLICT (cluster, topic, partition) DO UPDATE SET next_offset = EXCLUDED.next_offset
WHERE f.next_offset < EXCLUDED.next_offset
"""
