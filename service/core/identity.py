"""Deterministic ids: who a customer is, which transition this is."""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import sha1
from typing import Final
from uuid import NAMESPACE_URL, UUID

#: A UUID as text, of any case.
UUID_FORM: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
CUSTOMER_ID_CHARACTERS_MAX: Final = 128

#: Orders without a customer are kept under this id; it has no profile and is in no segment.
GUEST: Final = UUID(int=0)


def uuid5_of(name: str) -> UUID:
    """uuid5 in the URL namespace (RFC 9562 section 5.5), without the detours of the standard library."""
    digest = bytearray(sha1(NAMESPACE_URL.bytes + name.encode(), usedforsecurity=False).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    return UUID(bytes=bytes(digest))


@lru_cache(maxsize=200_000)
def customer_uuid(external_id: str) -> UUID:
    """The customer's UUID: the id itself where it has that form, else uuid5 of "customer:" + id.

    Raises:
        ValueError: the id is empty or longer than 128 characters.
    """
    if not 1 <= len(external_id) <= CUSTOMER_ID_CHARACTERS_MAX:
        msg = f"must have 1 to {CUSTOMER_ID_CHARACTERS_MAX} characters"
        raise ValueError(msg)
    if UUID_FORM.fullmatch(external_id):
        return UUID(external_id)
    return uuid5_of("customer:" + external_id)


_NAMESPACE: Final = sha1(NAMESPACE_URL.bytes, usedforsecurity=False)
#: A hexadecimal digit with the two upper bits that say which variant of UUID it is.
_VARIANT: Final = {digit: f"{int(digit, 16) & 0x3 | 0x8:x}" for digit in "0123456789abcdef"}


def transition_id(customer_id: str, segment_id: str, ordinal: int) -> str:
    """The id of a customer's n-th transition in a segment; the same however often it is computed.

    It is uuid5(NAMESPACE_URL, "transition:<customer>:<segment>:<n>"), written without the detour of UUID objects.
    """
    hashed = _NAMESPACE.copy()
    hashed.update(f"transition:{customer_id}:{segment_id}:{ordinal}".encode())
    text = hashed.hexdigest()
    return f"{text[:8]}-{text[8:12]}-5{text[13:16]}-{_VARIANT[text[16]]}{text[17:20]}-{text[20:32]}"
