"""The profile's compact state: what one row of `profiles` holds in `state`. Checked by CRC-32."""

from __future__ import annotations

from array import array
from decimal import Decimal
from typing import Any, Final
from zlib import crc32

import msgspec
from msgspec import Struct

from service.core.events.decode import rebuild
from service.core.events.model import Event, Location, Stamp
from service.core.profiles.behaviour import Behaviour
from service.core.profiles.entries import Entries
from service.core.profiles.profile import Profile
from service.core.profiles.sequences import Occurrences
from service.core.profiles.series import Series, Totals

#: The form of the state, its first byte after the checksum. States from before forms had numbers begin with a list.
FORM: Final = 1
_UNNUMBERED: Final = 0xDC
_FORM_BYTE: Final = bytes((FORM,))
_CRC_BYTES: Final = 4
_LOCATION, _EXACT = "l", "d"
#: Types that the encoder writes as they are; integers may be too wide for it.
_ALREADY_PLAIN: Final = frozenset({str, bool, type(None)})


class StateCorrupt(Exception):
    """The stored state of a profile does not match its checksum; it must be made anew from the facts."""


class StateUnknown(Exception):
    """The stored state of a profile has a form that this release does not know; a newer one wrote it."""


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
    series: dict[int, tuple[bytes, list[Any], list[Any] | None]]
    occurrences: dict[int, tuple[bytes, bytes, bool, int]]
    pins: dict[int, bool]
    held: dict[int, int]
    over: dict[int, int]


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(_State)


def encode_state(profile: Profile) -> bytes:
    """All of the profile that has no column of its own."""
    stamps: dict[Stamp, int] = {}
    attributes = {}
    for name, (value, stamp) in profile.attributes.items():
        plain = value if type(value) in _ALREADY_PLAIN else _plain(value)
        attributes[name] = (plain, stamps.setdefault(stamp, len(stamps)))
    entries, behaviour = profile.entries, profile.behaviour
    state = _State(
        profile.external_id,
        profile.first_seen_at,
        profile.registered_at,
        profile.last_login_at,
        _packed(entries.instants),
        _packed(entries.amounts),
        bytes(entries.orders),
        profile.bought,
        list(stamps),
        attributes,
        [_plain_pending(one) for one in profile.pending] if profile.pending else [],
        {place: _plain_series(one) for place, one in behaviour.series.items()} if behaviour.series else {},
        {place: _plain_occurrences(one) for place, one in behaviour.occurrences.items()}
        if behaviour.occurrences
        else {},
        profile.pins,
        profile.held,
        profile.over,
    )
    body = _FORM_BYTE + _encoder.encode(state)
    return crc32(body).to_bytes(_CRC_BYTES, "little") + body


def is_intact(stored: bytes) -> bool:
    """Whether the checksum matches."""
    body = memoryview(stored)[_CRC_BYTES:]
    return len(body) > 0 and crc32(body) == int.from_bytes(stored[:_CRC_BYTES], "little")


def decode_state(stored: bytes, profile: Profile) -> None:
    """Fills a profile from its stored state.

    Raises:
        StateCorrupt: the checksum does not match.
        StateUnknown: another release wrote it, in a form of its own.
    """
    if not is_intact(stored):
        msg = f"The stored state of customer {profile.customer_id} is corrupt; it must be made anew from the facts."
        raise StateCorrupt(msg)
    form = stored[_CRC_BYTES]
    if form not in (FORM, _UNNUMBERED):
        msg = (
            f"The stored state of customer {profile.customer_id} has form {form}, of which this release, which knows "
            f"forms up to {FORM}, cannot make sense; start the release that wrote it, or a newer one."
        )
        raise StateUnknown(msg)
    state = _decoder.decode(memoryview(stored)[_CRC_BYTES + (form == FORM) :])
    profile.external_id = state.external_id
    profile.first_seen_at = state.first_seen_at
    profile.registered_at = state.registered_at
    profile.last_login_at = state.last_login_at
    profile.entries = Entries(_unpacked(state.instants), _unpacked(state.amounts), list(state.kinds))
    profile.bought = state.bought
    stamps = state.stamps
    profile.attributes = {
        name: (plain if type(plain) is not list else _value(plain), stamps[at])
        for name, (plain, at) in state.attributes.items()
    }
    profile.pending = [rebuild(*one) for one in state.pending] if state.pending else []
    profile.behaviour = Behaviour()
    for place, plain in state.series.items():
        profile.behaviour.series[place] = _series(*plain)
    for place, occurred in state.occurrences.items():
        profile.behaviour.occurrences[place] = _occurrences(*occurred)
    profile.pins, profile.held, profile.over = state.pins, state.held, state.over


def _plain_pending(one: Event) -> tuple[str, str, int, str | None, bytes, str | None]:
    return one.type, one.id, one.at, one.sequence, msgspec.json.encode(one.data), one.trace


def _plain_series(series: Series) -> tuple[bytes, list[Any], list[Any] | None]:
    totals = series.totals
    plain = None
    if totals is not None:
        distinct = None if totals.distinct is None else [(kind, _plain(value)) for kind, value in totals.distinct]
        plain = [totals.count, totals.numbers, _plain(totals.total), _plain(totals.low), _plain(totals.high), distinct]
    return array("q", series.instants).tobytes(), [_plain(value) for value in series.values], plain


def _series(instants: bytes, values: list[Any], plain: list[Any] | None) -> Series:
    totals = None
    if plain is not None:
        count, numbers, total, low, high, distinct = plain
        totals = Totals(has_distinct=distinct is not None)
        totals.count, totals.numbers = count, numbers
        totals.total, totals.low, totals.high = _number(total), _value(low), _value(high)
        if distinct is not None:
            totals.distinct = {(kind, _value(value)) for kind, value in distinct}
    series = Series(totals)
    series.instants = _unpacked(instants)
    series.values = [_value(value) for value in values]
    return series


def _plain_occurrences(one: Occurrences) -> tuple[bytes, bytes, bool, int]:
    return array("q", one.instants).tobytes(), array("H", one.masks).tobytes(), one.is_settled, one.dropped_to


def _occurrences(instants: bytes, masks: bytes, is_settled: bool, dropped_to: int) -> Occurrences:
    found = Occurrences()
    found.instants = _unpacked(instants)
    found.masks = array("H", masks).tolist()
    found.is_settled, found.dropped_to = is_settled, dropped_to
    return found


def _packed(instants: list[int]) -> bytes:
    return array("q", instants).tobytes() if instants else b""


def _unpacked(instants: bytes) -> list[int]:
    return array("q", instants).tolist() if instants else []


def _plain(value: object) -> object:
    if isinstance(value, Location):
        return (_LOCATION, value.country, value.state, value.city)
    if isinstance(value, Decimal) or (isinstance(value, int) and not -(2**63) <= value < 2**63):
        return (_EXACT, str(value))
    return value


def _number(plain: Any) -> int | Decimal:
    value = _value(plain)
    assert isinstance(value, int | Decimal)  # noqa: S101 - only sums are read by it
    return value


def _value(plain: Any) -> Any:
    if type(plain) is list:
        if plain[0] == _LOCATION:
            return Location(*plain[1:])
        number = Decimal(plain[1])
        return int(number) if plain[1].lstrip("-").isdigit() else number
    return plain
