"""Names that follow from what they name: of messages, and of the share of customers who are held out."""

from __future__ import annotations

import hashlib
from typing import Final
from uuid import UUID

MESSAGES: Final = UUID("6f1d8a52-7c3e-5b0a-9e44-1d2c3b4a5f60")
BUCKETS: Final = 10_000
#: The occasion of a message that a customer gets once.
ONCE: Final = "once"


def message_id(campaign_id: UUID, customer_id: UUID, occasion: str) -> UUID:
    """The id of a message: the same whoever asks for it, however often (notes on campaigns, B4)."""
    return UUID(bytes=message_id_bytes(campaign_id, customer_id, occasion))


def message_id_bytes(campaign_id: UUID, customer_id: UUID, occasion: str) -> bytes:
    """Its 16 bytes: uuid5 (RFC 9562 section 5.5), without the detours of the standard library."""
    name = f"{campaign_id}:{customer_id}:{occasion}".encode()
    digest = bytearray(hashlib.sha1(MESSAGES.bytes + name, usedforsecurity=False).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    return bytes(digest)


def bucket(salt: str, customer_id: UUID) -> int:
    """0 to 9,999, the same for ever: the first 8 bytes of SHA-256 of "{salt}:{customer}", big-endian, modulo 10,000."""
    digest = hashlib.sha256(f"{salt}:{customer_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % BUCKETS


def is_held_out(campaign_id: UUID, customer_id: UUID, percent: int) -> bool:
    """Whether the customer belongs to the campaign's control group."""
    return bucket(f"holdout:{campaign_id}", customer_id) < 100 * percent
