"""The profile's compact state: what one row of `profiles` holds in `state`. Checked by CRC-32."""

from __future__ import annotations

from array import array
from decimal import Decimal
from typing import Any, Final
from zlib import crc32

import msgspec
from msgspec import Struct

from service.core.events.decode import rebuild
from service.core.events.model import Location, Stamp
from service.core.profiles.profile import Entries, Profile

_CRC_BYTES: Final = 4
_LOCATION, _EXACT = "l", "d"


class StateCorrupt(Exception):
    """The stored state of a profile does not match its checksum; it must be made anew from the facts."""


class _State(Struct, array_like=True):
    external_id: str
    first_seen_at: int
    registered_at: int
    last_login_at: int
    instants: bytes
    amounts: bytes
    kinds: bytes
    bought: dict[int, int]
    stamps: list[tuple[int, bool, str, str]]
    attributes: dict[str, tuple[Any, int]]
    pending: list[tuple[str, str, int, str | None, bytes, str | None]]


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(_State)


def encode_state(profile: Profile) -> bytes:
    """All of the profile that has no column of its own."""
    stamps: dict[Stamp, int] = {}
    attributes = {
        name: (_plain(value), stamps.setdefault(stamp, len(stamps)))
        for name, (value, stamp) in profile.attributes.items()
    }
    entries = profile.entries
    state = _State(
        profile.external_id,
        profile.first_seen_at,
        profile.registered_at,
        profile.last_login_at,
        array("q", entries.instants).tobytes(),
        array("q", entries.amounts).tobytes(),
        bytes(entries.orders),
        profile.bought,
        list(stamps),
        attributes,
        [(one.type, one.id, one.at, one.sequence, msgspec.json.encode(one.data), one.trace) for one in profile.pending],
    )
    body = _encoder.encode(state)
    return crc32(body).to_bytes(_CRC_BYTES, "little") + body


def is_intact(stored: bytes) -> bool:
    """Whether the checksum matches."""
    return crc32(stored[_CRC_BYTES:]).to_bytes(_CRC_BYTES, "little") == stored[:_CRC_BYTES]


def decode_state(stored: bytes, profile: Profile) -> None:
    """Fills a profile from its stored state.

    Raises:
        StateCorrupt: the checksum does not match.
    """
    if not is_intact(stored):
        msg = f"The stored state of customer {profile.customer_id} is corrupt; it must be made anew from the facts."
        raise StateCorrupt(msg)
    state = _decoder.decode(memoryview(stored)[_CRC_BYTES:])
    profile.external_id = state.external_id
    profile.first_seen_at = state.first_seen_at
    profile.registered_at = state.registered_at
    profile.last_login_at = state.last_login_at
    instants, amounts = array("q"), array("q")
    instants.frombytes(state.instants)
    amounts.frombytes(state.amounts)
    profile.entries = Entries(instants.tolist(), amounts.tolist(), list(state.kinds))
    profile.bought = state.bought
    stamps = state.stamps
    profile.attributes = {name: (_value(plain), stamps[at]) for name, (plain, at) in state.attributes.items()}
    profile.pending = [rebuild(*one) for one in state.pending]


def _plain(value: object) -> object:
    if isinstance(value, Location):
        return (_LOCATION, value.country, value.state, value.city)
    if isinstance(value, Decimal) or (isinstance(value, int) and not -(2**63) <= value < 2**63):
        return (_EXACT, str(value))
    return value


def _value(plain: Any) -> object:
    if type(plain) is list:
        if plain[0] == _LOCATION:
            return Location(*plain[1:])
        number = Decimal(plain[1])
        return int(number) if plain[1].lstrip("-").isdigit() else number
    return plain
