"""Addresses that get nothing any more, by their keyed hash, and why; on asyncpg's own connection.

A suppression outlives erasure. One of reason `unsubscribed` is lifted by a fact of the customer that subscribes again
and is newer; all others stay until somebody takes them away.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from service.core.campaigns.model import Channel
from service.core.instants import INSTANT_MAX, to_datetime

#: The later one stands where an address is suppressed for two reasons.
STRENGTH: Final = ("soft_bounce", "unsubscribed", "hard_bounce", "complaint", "manual")
#: The field of customers that says whether they want it, by channel.
CONSENT_FIELDS: Final[Mapping[str, str]] = {
    "email": "email_subscribed",
    "sms": "sms_subscribed",
    "notification": "push_subscribed",
}


class Suppression(NamedTuple):
    """One address of one channel; `at` is when that happened which speaks against it."""

    channel: Channel
    address_hash: bytes
    reason: str
    at: datetime
    message_id: UUID | None = None


class Asked(NamedTuple):
    """Whose address it is, so that a newer subscription of theirs is seen."""

    customer_id: UUID
    channel: Channel
    address_hash: bytes


_RANK: Final = f"array_position(ARRAY[{', '.join(repr(one) for one in STRENGTH)}], {{}})"
READ: Final = """
SELECT s.channel, s.address_hash, s.reason, s.at FROM unnest($1::text[], $2::bytea[]) AS k (channel, address_hash)
CROSS JOIN LATERAL (
    SELECT * FROM campaign_suppressions c
    WHERE c.channel = k.channel AND c.address_hash = k.address_hash OFFSET 0
) s
"""
#: The order in which events come does not matter: the stronger reason stands, then the latest unsubscribing, and of all
#: others the first occasion.
WRITE: Final = f"""
INSERT INTO campaign_suppressions AS s (channel, address_hash, reason, at, message_id)
SELECT DISTINCT ON (channel, address_hash) channel, address_hash, reason, at, message_id
FROM unnest($1::text[], $2::bytea[], $3::text[], $4::timestamptz[], $5::uuid[])
    AS u (channel, address_hash, reason, at, message_id)
ORDER BY channel, address_hash, {_RANK.format("reason")} DESC,
    CASE WHEN reason = 'unsubscribed' THEN -extract(epoch FROM at) ELSE extract(epoch FROM at) END
ON CONFLICT (channel, address_hash) DO UPDATE SET
    reason = EXCLUDED.reason, at = EXCLUDED.at, message_id = EXCLUDED.message_id
WHERE {_RANK.format("EXCLUDED.reason")} > {_RANK.format("s.reason")}
    OR (EXCLUDED.reason = s.reason
        AND CASE WHEN s.reason = 'unsubscribed' THEN EXCLUDED.at > s.at ELSE EXCLUDED.at < s.at END)
"""  # noqa: S608 - built from constants
LIFT: Final = """
DELETE FROM campaign_suppressions s USING unnest($1::text[], $2::bytea[]) AS k (channel, address_hash)
WHERE s.channel = k.channel AND s.address_hash = k.address_hash AND s.reason = $3
"""
#: So many messages in a row that bounced softly, and an address gets nothing any more.
SOFT_BOUNCES_MAX: Final = 3
#: Who has said yes after an instant, and by another one at the latest; the place in the list.
SUBSCRIBED: Final = """
SELECT k.place FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::timestamptz[])
    WITH ORDINALITY AS k (customer_id, field, after, until, place)
CROSS JOIN LATERAL (
    SELECT FROM customer_facts f
    WHERE f.customer_id = k.customer_id AND f.time > k.after AND f.time <= k.until AND f.data ->> k.field = 'true'
    LIMIT 1
) f
"""
_FOREVER: Final = to_datetime(INSTANT_MAX)


async def active(connection: Any, asked: Collection[Asked]) -> dict[Asked, str]:
    """Why addresses get nothing, of those that do not; lifts what a newer subscription has ended.

    Call it under the lock of the customers' profiles, so that nobody writes their facts meanwhile.
    """
    if not asked:
        return {}
    rows = await connection.fetch(READ, [one.channel for one in asked], [one.address_hash for one in asked])
    found = {(row["channel"], row["address_hash"]): row for row in rows}
    barred = {one: found[one.channel, one.address_hash] for one in asked if (one.channel, one.address_hash) in found}
    unsubscribed = [one for one, row in barred.items() if row["reason"] == "unsubscribed"]
    spans = [(one.customer_id, one.channel, barred[one]["at"], None) for one in unsubscribed]
    again = [unsubscribed[place] for place in await subscribed(connection, spans)]
    await lift(connection, [(one.channel, one.address_hash) for one in again], "unsubscribed")
    ended = set(again)
    return {one: row["reason"] for one, row in barred.items() if one not in ended}


async def subscribed(connection: Any, spans: Sequence[tuple[UUID, str, datetime, datetime | None]]) -> list[int]:
    """Places of those customers who said yes to a channel after an instant, and by another one if it is given."""
    if not spans:
        return []
    columns = (
        [customer_id for customer_id, *_ in spans],
        [CONSENT_FIELDS[channel] for _, channel, *_ in spans],
        [after for _, _, after, _ in spans],
        [until or _FOREVER for *_, until in spans],
    )
    return [row["place"] - 1 for row in await connection.fetch(SUBSCRIBED, *columns)]


async def suppress(connection: Any, suppressions: Sequence[Suppression]) -> None:
    """Writes them; one that is there already stays where it is the stronger."""
    if suppressions:
        ordered = sorted(suppressions, key=lambda one: (one.channel, one.address_hash))
        await connection.execute(WRITE, *zip(*ordered, strict=True))


async def lift(connection: Any, addresses: Sequence[tuple[str, bytes]], reason: str) -> None:
    """Takes those away that have this reason."""
    if addresses:
        await connection.execute(LIFT, *zip(*sorted(addresses), strict=True), reason)
