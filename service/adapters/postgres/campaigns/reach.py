"""How many a campaign would reach at present, and why others not: one read of the segment's members.

The same order of reasons as core.campaigns.eligibility, as far as it can be told before a message leaves: what hangs on
the hour (quiet hours, caps, expiry) is left out. Members were never erased, for the erased leave every segment.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from service.app.campaigns.preview import Reach
from service.core.campaigns.model import Campaign

#: HMAC of RFC 2104 by parts: the key's two blocks come ready made, so that PostgreSQL needs SHA-256 alone.
_BLOCK_BYTES: Final = 64
_INNER, _OUTER = 0x36, 0x5C
#: What an address is compared as (core.campaigns.secrets), by channel, and what consent says there.
_ADDRESSES: Final = {
    "email": "nullif(lower(btrim(c.email, E' \\t\\n\\r\\f\\v')), '')",
    "sms": "nullif('+' || regexp_replace(c.phone, '[^0-9]', '', 'g'), '+')",
    "notification": "CAST(m.customer_id AS text)",
}
_CONSENTS: Final = {
    "email": "c.email_subscribed IS TRUE",
    "sms": "c.sms_subscribed IS TRUE",
    "notification": "c.push_subscribed IS NOT FALSE",
}
#: The first 8 bytes of a digest, big-endian and unsigned, modulo 10,000, as core.campaigns.identity has it.
#: PostgreSQL's whole numbers have a sign: 2^64 modulo 10,000 is 1,616.
_BUCKET: Final = """
(CAST(CAST('x' || encode(substr(sha256(convert_to(:salt || CAST(m.customer_id AS text), 'UTF8')), 1, 8), 'hex')
    AS bit(64)) AS bigint) % 10000 + 10000
 + CASE WHEN get_byte(sha256(convert_to(:salt || CAST(m.customer_id AS text), 'UTF8')), 0) > 127 THEN 1616 ELSE 0 END
) % 10000"""


def _statement(channel: str) -> str:
    return f"""/* campaign_reach - Members of a segment by whether a campaign would reach them. */
SELECT outcome, count(*) FROM (
    SELECT CASE
        WHEN address IS NULL THEN 'no_address'
        WHEN :is_marketing AND NOT consents THEN 'no_consent'
        WHEN s.reason IS NOT NULL AND (:is_marketing OR s.reason <> 'unsubscribed') THEN s.reason
        WHEN :held_out > 0 AND bucket < :held_out THEN 'control'
        ELSE 'eligible' END AS outcome
    FROM (
        SELECT {_ADDRESSES[channel]} AS address, {_CONSENTS[channel]} AS consents,
            CASE WHEN :held_out > 0 THEN {_BUCKET} END AS bucket
        FROM customer_segment_memberships m LEFT JOIN customers c ON c.customer_id = m.customer_id
        WHERE m.segment_id = :segment_id AND m.left_at IS NULL
    ) people
    LEFT JOIN campaign_suppressions s ON s.channel = :channel AND s.address_hash = CASE WHEN :is_barring THEN
        sha256(:outer_block || sha256(:inner_block || convert_to(:channel || ':' || address, 'UTF8'))) END
) told GROUP BY outcome
"""  # noqa: S608 - built from constants


_STATEMENTS: Final = {channel: text(_statement(channel)) for channel in _ADDRESSES}
_BARRING: Final = text("SELECT EXISTS (SELECT FROM campaign_suppressions WHERE channel = :channel)")


async def reach_of(connection: AsyncConnection, campaign: Campaign, address_key: bytes | None) -> Reach:
    """Counts the members of the campaign's segment.

    Args:
        connection: within one transaction.
        campaign: whose channel, category and holdout decide.
        address_key: of the suppression list; without one nothing is on it.
    """
    channel = campaign.channel
    is_barring = address_key is not None and bool(
        (await connection.execute(_BARRING, {"channel": channel})).scalar_one()
    )
    values = {
        "channel": channel,
        "segment_id": campaign.segment_id,
        "is_marketing": campaign.is_marketing,
        "held_out": 100 * campaign.options.holdout_percent if campaign.is_marketing else 0,
        "salt": f"holdout:{campaign.id}:",
        "is_barring": is_barring,
        "inner_block": _block(address_key or b"", _INNER),
        "outer_block": _block(address_key or b"", _OUTER),
    }
    rows = await connection.execute(_STATEMENTS[channel], values)
    found = {row[0]: row[1] for row in rows}
    size = sum(found.values())
    return Reach(size, found.pop("eligible", 0), found.pop("control", 0), dict(sorted(found.items())))


def _block(key: bytes, byte: int) -> bytes:
    return bytes(one ^ byte for one in key.ljust(_BLOCK_BYTES, b"\0"))
