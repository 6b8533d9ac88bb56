"""Proof that somebody has looked at what a campaign would send: a token that its preview gives out.

It names the campaign and its revision, so that whatever was changed since must be looked at again.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from typing import Final
from uuid import UUID

from service.core.instants import MINUTE

VERSION: Final = "v1"
#: In real time.
LASTS: Final = 15 * MINUTE
#: Clocks of several machines differ a little.
_AHEAD_MAX: Final = MINUTE
_DIGEST_BYTES: Final = 16
_INSTANT_BYTES: Final = 8


def make_token(key: bytes, campaign_id: UUID, revision: int, now: int) -> str:
    """The token of a preview at `now`, microseconds of real time."""
    stamp = now.to_bytes(_INSTANT_BYTES, "big")
    signed = urlsafe_b64encode(stamp + _digest(key, campaign_id, revision, stamp)).decode().rstrip("=")
    return f"{VERSION}.{signed}"


def is_valid(key: bytes, token: str, campaign_id: UUID, revision: int, now: int) -> bool:
    """Whether a preview of this revision gave out the token within the last 15 minutes."""
    version, _, signed = token.partition(".")
    try:
        raw = urlsafe_b64decode(signed.encode("ascii") + b"=" * (-len(signed) % 4))
    except (Error, ValueError):
        return False
    stamp, digest = raw[:_INSTANT_BYTES], raw[_INSTANT_BYTES:]
    if version != VERSION or not hmac.compare_digest(digest, _digest(key, campaign_id, revision, stamp)):
        return False
    return -_AHEAD_MAX <= now - int.from_bytes(stamp, "big") <= LASTS


def _digest(key: bytes, campaign_id: UUID, revision: int, stamp: bytes) -> bytes:
    said = f"{campaign_id}:{revision}:".encode() + stamp
    return hmac.digest(key, said, hashlib.sha256)[:_DIGEST_BYTES]
