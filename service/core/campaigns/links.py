"""Signed tokens of links: who opened, followed or unsubscribes from which message.

A token is `v1.{payload}.{signature}`, both in base64url without padding; the signature is the first 16 bytes of
HMAC-SHA256 over `v1.{payload}`. It has no expiry: who wants to unsubscribe can, however old the message.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple
from uuid import UUID

VERSION: Final = "v1"
#: The name of the key that signs now; tokens say it, so that another may take its place one day.
KEY_ID: Final = "1"
SIGNATURE_BYTES: Final = 16
TOKEN_CHARACTERS_MAX: Final = 200


class Purpose(StrEnum):
    """What a link does; a token for one is none for another."""

    OPEN = "o"
    CLICK = "c"
    UNSUBSCRIBE = "u"


class Link(NamedTuple):
    """What a token stands for; `link_index` counts the links of a message from 0."""

    purpose: Purpose
    message_id: UUID
    link_index: int = 0


def sign(key: bytes, link: Link) -> str:
    """The token of a link."""
    return _signed(key, (KEY_ID, link.purpose.value, str(link.message_id), str(link.link_index)))


def read(keys: Mapping[str, bytes], token: str, purpose: Purpose) -> Link | None:
    """What a token stands for; None if it was not signed by one of the keys, by their ids, or is for something else."""
    fields = _read(keys, token)
    if fields is None or len(fields) != 4 or fields[1] != purpose:
        return None
    return Link(purpose, UUID(fields[2]), int(fields[3]))


def _signed(key: bytes, fields: tuple[str, ...]) -> str:
    signed = f"{VERSION}.{_encode('|'.join(fields).encode())}"
    return f"{signed}.{_encode(_signature(key, signed))}"


def _read(keys: Mapping[str, bytes], token: str) -> list[str] | None:
    """The fields of a token that was signed by one of the keys; what was signed by us is well formed."""
    parts = token.split(".")
    if len(token) > TOKEN_CHARACTERS_MAX or len(parts) != 3 or parts[0] != VERSION:
        return None
    try:
        fields = _decode(parts[1]).decode().split("|")
        given = _decode(parts[2])
    except (binascii.Error, ValueError):
        return None
    key = keys.get(fields[0])
    if key is None or not hmac.compare_digest(given, _signature(key, f"{parts[0]}.{parts[1]}")):
        return None
    return fields


def _signature(key: bytes, signed: str) -> bytes:
    return hmac.digest(key, signed.encode(), hashlib.sha256)[:SIGNATURE_BYTES]


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
