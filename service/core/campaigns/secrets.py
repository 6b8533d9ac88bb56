"""Keys made from the one secret of campaigns, one for each purpose; addresses that only such a key can recognise."""

from __future__ import annotations

import hashlib
import hmac
import re
from enum import StrEnum
from typing import Final

from service.core.campaigns.model import Channel

_NO_DIGIT: Final = re.compile(r"[^0-9]")


class Purpose(StrEnum):
    """What a key is for; what was made with one key is nothing under another."""

    LINKS = "links"
    CODES = "codes"
    ADDRESSES = "addresses"
    PREVIEWS = "previews"


def derived_key(secret: str, purpose: Purpose) -> bytes:
    """32 bytes: HMAC-SHA256 of the purpose's name under the secret."""
    return hmac.digest(secret.encode(), purpose.value.encode(), hashlib.sha256)


def normalised_address(channel: Channel, address: str) -> str:
    """An address as it is compared: e-mail trimmed and in lower case; of phones `+` and the digits; tokens trimmed."""
    if channel == "email":
        return address.strip().lower()
    if channel == "sms":
        return "+" + _NO_DIGIT.sub("", address)
    return address.strip()


def address_hash(key: bytes, channel: Channel, address: str) -> bytes:
    """32 bytes that name an address on the suppression list, with no way back to it without the key."""
    return hmac.digest(key, f"{channel}:{normalised_address(channel, address)}".encode(), hashlib.sha256)
