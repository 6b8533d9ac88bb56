"""Discount codes: one of their own for each message, the same at every attempt (notes on campaigns, B8)."""

from __future__ import annotations

import hashlib
import hmac
from typing import Final
from uuid import UUID

#: No vowels, so that no words come out, and nothing that is easily misread.
ALPHABET: Final = "23456789BCDFGHJKLMNPQRSTVWXYZ"
CHARACTERS: Final = 10


def generated_code(key: bytes, message_id: UUID, prefix: str = "", counter: int = 0) -> str:
    """`prefix` and 10 characters, made from HMAC-SHA256 of the message's 16 bytes.

    `counter` is 0, and one more for each time that the code already belonged to another message.
    """
    seed = message_id.bytes + (counter.to_bytes(4, "big") if counter else b"")
    number = int.from_bytes(hmac.digest(key, seed, hashlib.sha256), "big")
    characters = []
    for _ in range(CHARACTERS):
        number, place = divmod(number, len(ALPHABET))
        characters.append(ALPHABET[place])
    return prefix + "".join(characters)


def normalised_code(code: str) -> str:
    """A code as it is kept and compared: trimmed, in upper case."""
    return code.strip().upper()
