"""Names that follow from what they name: of messages, and of the share of customers who are held out."""

from __future__ import annotations

import hashlib
from typing import Final
from uuid import UUID, uuid5

MESSAGES: Final = UUID("6f1d8a52-7c3e-5b0a-9e44-1d2c3b4a5f60")
BUCKETS: Final = 10_000
#: The occasion of a message that a customer gets once.
ONCE: Final = "once"


def message_id(campaign_id: UUID, customer_id: UUID, occasion: str) -> UUID:
    """The id of a message: the same whoever asks for it, however often (notes on campaigns, B4)."""
    return uuid5(MESSAGES, f"{campaign_id}:{customer_id}:{occasion}")


def bucket(salt: str, customer_id: UUID) -> int:
    """0 to 9,999, the same for ever: the first 8 bytes of SHA-256 of "{salt}:{customer}", big-endian, modulo 10,000."""
    digest = hashlib.sha256(f"{salt}:{customer_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % BUCKETS


def is_held_out(campaign_id: UUID, customer_id: UUID, percent: int) -> bool:
    """Whether the customer belongs to the campaign's control group."""
    return bucket(f"holdout:{campaign_id}", customer_id) < 100 * percent
