"""What the engagement consumer says to PostgreSQL; everything is looked up by an index, whatever the planner thinks."""

from __future__ import annotations

from typing import Final

from service.adapters.postgres.figure_tables import LATEST
from service.app.engagement.outcome import MINIMA

#: What was a dead letter because of when it was read stays one, however often it is read.
LETTERED: Final = """
SELECT k.topic, k.partition, k.place
FROM unnest($2::text[], $3::integer[], $4::bigint[]) AS k (topic, partition, place)
CROSS JOIN LATERAL (
    SELECT FROM dead_letters d
    WHERE d.cluster = $1 AND d.topic = k.topic AND d.partition = k.partition AND d."offset" = k.place
        AND d.reason IN ('bad_time', 'unknown_message') OFFSET 0
) l
"""
KNOWN: Final = """
SELECT k.source, k.event_id FROM unnest($1::text[], $2::text[]) AS k (source, event_id)
CROSS JOIN LATERAL (
    SELECT FROM campaign_engagement e WHERE e.source = k.source AND e.event_id = k.event_id OFFSET 0
) e
"""
LOCK_MESSAGES: Final = f"""
SELECT customer_id, campaign_id, occasion, message_id, channel, state, reason, attempts, sent_at, {", ".join(MINIMA)}
FROM campaign_messages WHERE message_id = ANY($1::uuid[])
ORDER BY customer_id, campaign_id, occasion FOR NO KEY UPDATE
"""  # noqa: S608 - built from constants
WRITE_TOLD: Final = """
INSERT INTO campaign_engagement (source, event_id, message_id, kind, at, is_machine, details)
SELECT * FROM unnest($1::text[], $2::text[], $3::uuid[], $4::text[], $5::timestamptz[], $6::boolean[], $7::jsonb[])
ON CONFLICT (source, event_id) DO NOTHING
"""
_KEY_COLUMNS: Final = "$1::uuid[], $2::uuid[], $3::text[]"
_THIS: Final = "m.customer_id = u.customer_id AND m.campaign_id = u.campaign_id AND m.occasion = u.occasion"
#: `least` passes over what is missing.
WRITE_MINIMA: Final = f"""
UPDATE campaign_messages m SET {", ".join(f"{name} = least(m.{name}, u.{name})" for name in MINIMA)}
FROM unnest({_KEY_COLUMNS}, {", ".join(f"${place}::timestamptz[]" for place in range(4, 4 + len(MINIMA)))})
    AS u (customer_id, campaign_id, occasion, {", ".join(MINIMA)})
WHERE {_THIS}
"""  # noqa: S608 - as above
#: Who tries again waits in real time. A message that left all the same left before anything was told of it.
WRITE_STATES: Final = f"""
UPDATE campaign_messages m SET state = u.state, reason = u.reason, error = coalesce(u.error, m.error),
    retry_at = CASE WHEN u.wait IS NULL THEN m.retry_at ELSE now() + u.wait END,
    sent_at = coalesce(m.sent_at, u.first), attempt_token = NULL, lease_expires_at = NULL
FROM unnest({_KEY_COLUMNS}, $4::text[], $5::text[], $6::text[], $7::interval[], $8::timestamptz[])
    AS u (customer_id, campaign_id, occasion, state, reason, error, wait, first)
WHERE {_THIS} AND m.state <> 'leased'
"""  # noqa: S608
LOCK_CUSTOMERS: Final = """
SELECT customer_id FROM profiles WHERE customer_id = ANY($1::uuid[]) ORDER BY customer_id FOR NO KEY UPDATE
"""
#: Where messages went: the address that the customer's facts gave when they left, else the one there is. Notifications
#: go to the customer, whose devices only the other side knows.
ADDRESSES: Final = f"""
SELECT m.message_id, m.channel, CASE
    WHEN m.channel = 'notification' THEN m.customer_id::text
    WHEN f.data IS NOT NULL THEN coalesce(f.data ->> k.field, c.now)
    ELSE c.now END AS address
FROM campaign_messages m
CROSS JOIN LATERAL (SELECT CASE m.channel WHEN 'email' THEN 'email' ELSE 'phone' END AS field) k
CROSS JOIN LATERAL (
    SELECT CASE m.channel WHEN 'email' THEN email ELSE phone END AS now FROM customers
    WHERE customer_id = m.customer_id OFFSET 0
) c
LEFT JOIN LATERAL (
    SELECT data FROM customer_facts
    WHERE customer_id = m.customer_id AND data ? k.field AND time <= coalesce(m.sent_at, m.bounced_at, 'infinity')
    {LATEST} LIMIT 1
) f ON true
WHERE m.message_id = ANY($1::uuid[])
"""  # noqa: S608
#: Messages of these customers and channels of which it is known whether they arrived, the last of all last. What our
#: own SMTP handed over has arrived unless it bounced; one that others report as delivered has not bounced.
BOUNCED_SOFTLY: Final = """
SELECT m.message_id, m.channel, CASE WHEN m.delivered_at IS NULL THEN m.bounced_at END AS bounced_at
FROM unnest($1::uuid[], $2::text[]) AS k (customer_id, channel)
JOIN campaign_messages m ON m.customer_id = k.customer_id AND m.channel = k.channel
WHERE m.bounced_at IS NOT NULL OR m.delivered_at IS NOT NULL
    OR (m.state = 'sent' AND m.channel = 'email' AND m.attempt_began_at IS NOT NULL)
ORDER BY coalesce(m.sent_at, m.bounced_at, m.delivered_at), m.message_id
"""
PARK: Final = """
INSERT INTO campaign_engagement_waiting
    (cluster, message_id, topic, partition, "offset", timestamp_ms, key, value, headers)
SELECT $1::text, u.* FROM unnest($2::uuid[], $3::text[], $4::integer[], $5::bigint[], $6::bigint[], $7::bytea[],
                                 $8::bytea[], $9::jsonb[]) AS u
ON CONFLICT (cluster, topic, partition, "offset") DO NOTHING
"""
_TAKEN: Final = 'RETURNING w.topic, w.partition, w."offset", w.timestamp_ms, w.key, w.value, w.headers::text'
TAKE_PARKED: Final = f"""
DELETE FROM campaign_engagement_waiting w USING (
    SELECT id FROM campaign_engagement_waiting w
    WHERE EXISTS (SELECT FROM campaign_messages m WHERE m.message_id = w.message_id)
    ORDER BY id LIMIT $1 FOR UPDATE OF w SKIP LOCKED
) known WHERE w.id = known.id
{_TAKEN}
"""  # noqa: S608
TAKE_EXPIRED: Final = f"""
DELETE FROM campaign_engagement_waiting w USING (
    SELECT id FROM campaign_engagement_waiting w WHERE received_at <= now() - $1::interval
    ORDER BY id LIMIT $2 FOR UPDATE OF w SKIP LOCKED
) old WHERE w.id = old.id
{_TAKEN}
"""  # noqa: S608
LATEST_NOES: Final = """
SELECT k.customer_id, k.channel, n.at FROM unnest($1::uuid[], $2::text[]) AS k (customer_id, channel)
CROSS JOIN LATERAL (
    SELECT max(at) AS at FROM campaign_consents c
    WHERE c.customer_id = k.customer_id AND c.channel = k.channel AND NOT c.is_subscribed OFFSET 0
) n WHERE n.at IS NOT NULL
"""
NOES_BY_MESSAGE: Final = """
SELECT c.message_id, count(*) FROM campaign_consents c JOIN campaign_messages m
    ON m.message_id = c.message_id AND m.customer_id = c.customer_id
WHERE m.message_id = ANY($1::uuid[]) GROUP BY c.message_id
"""
NOTE_NOES: Final = """
INSERT INTO campaign_consents (customer_id, channel, is_subscribed, method, message_id, at)
SELECT customer_id, channel, false, method, message_id, at
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::timestamptz[])
    AS u (customer_id, channel, method, message_id, at)
"""
