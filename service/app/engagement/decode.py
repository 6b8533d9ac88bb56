"""From the bytes of one record of the engagement topic to what it says of a message, or why it cannot be used."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec
from msgspec import Meta, Raw, Struct

from service.core import instants
from service.core.events.check import Fault
from service.core.events.decode import FUTURE_TOLERANCE, ID_CHARACTERS_MAX, Rejected
from service.core.events.envelope import Headers, time_of_binary

Kind = Literal[
    "accepted",
    "delivered",
    "deferred",
    "bounced",
    "failed",
    "complained",
    "opened",
    "clicked",
    "unsubscribed",
    "replied",
]
Method = Literal["one_click", "page", "stop_keyword", "provider"]
Word = Annotated[str, Meta(max_length=ID_CHARACTERS_MAX)]

#: The contract's names, and those of the notes: `org.example.campaign.message.opened.v1`.
_TYPE: Final = re.compile(r"(?:org\.example\.)?campaign\.message\.([a-z]+)(?:\.v1)?")
#: Whole answers by which people everywhere end SMS; the carriers' list.
STOP_WORDS: Final = frozenset({"stop", "stopall", "stop all", "unsubscribe", "cancel", "end", "quit", "optout"})


class Details(Struct, omit_defaults=True):
    """Of every kind at once: each takes what concerns it. Unknown fields are ignored."""

    code: Word | int | None = None
    reason: Annotated[str, Meta(max_length=1_000)] | None = None
    bounce_type: Literal["hard", "soft"] | None = None
    retryable: bool | None = None
    feedback_type: Word | None = None
    is_machine: bool | None = None
    user_agent_class: Word | None = None
    link_index: Annotated[int, Meta(ge=0, le=100_000)] | None = None
    url: Annotated[str, Meta(max_length=2_000)] | None = None
    method: Method | None = None
    text: str | None = None


class Data(Struct):
    """The data of every `campaign.message.*` event on the engagement topic."""

    message_id: UUID
    occurred_at: Annotated[datetime, Meta(tz=True)] | None = None
    channel: Word | None = None
    provider: Word | None = None
    provider_message_id: Word | None = None
    details: Details | None = None
    test: bool | None = None


class _Envelope(Struct):
    specversion: Literal["1.0"]
    type: str
    id: str
    source: str
    time: datetime
    data: Raw = Raw(b"")


class Told(Struct, frozen=True):
    """One checked event.

    Attributes:
        source, id: together they name it; a repeat changes nothing.
        at: when it happened, microseconds.
        is_machine: not a person's doing.
        details: what is kept of it, as JSON values; never the text of a reply.
    """

    source: str
    id: str
    kind: Kind
    message_id: UUID
    at: int
    is_machine: bool
    is_hard: bool
    is_soft: bool
    is_retryable: bool
    is_unsubscribe: bool
    method: str
    details: Mapping[str, Any]


class Ignored(Struct, frozen=True):
    """An event about a message that was only a test."""


_envelopes: Final = msgspec.json.Decoder(_Envelope)
_data: Final = msgspec.json.Decoder(Data)
_KINDS: Final = frozenset(Kind.__args__)  # type: ignore[attr-defined]


def decode_told(value: bytes | None, headers: Headers, now: int, bytes_max: int) -> Told | Ignored | Rejected:
    """Reads one record; never raises for what it holds.

    Args:
        value: the record's bytes.
        headers: as Kafka gave them.
        now: the service's clock, microseconds.
        bytes_max: how large an event may be.
    """
    if value is None:
        return Rejected("invalid_data", "The record has no value; an event needs one.")
    if len(value) > bytes_max:
        return Rejected("too_large", f"The record has {len(value)} bytes; EVENT_BYTES_MAX allows {bytes_max}.")
    try:
        return _told(_read_envelope(value, headers), now)
    except Fault as fault:
        return Rejected(fault.reason, str(fault))
    except msgspec.ValidationError as error:
        return Rejected("invalid_data", f"The event does not have the form of its type: {error}.")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Rejected("invalid_json", f"The record is not JSON in UTF-8: {error}.")
    except (ValueError, ArithmeticError):
        return Rejected("invalid_data", "A value of the event is beyond all measure.")


def _read_envelope(value: bytes, headers: Headers) -> _Envelope:
    try:
        named = {name.lower(): (text or b"").decode() for name, text in headers}
    except UnicodeDecodeError:
        raise Fault("A header is not UTF-8.") from None
    if "ce_specversion" not in named or named.get("content-type", "").startswith("application/cloudevents"):
        return _structured(value)
    time = time_of_binary(named, ("ce_type", "ce_id", "ce_source", "ce_time"))
    return _Envelope("1.0", named["ce_type"], named["ce_id"], named["ce_source"], time, Raw(value))


def _structured(value: bytes) -> _Envelope:
    try:
        return _envelopes.decode(value)
    except msgspec.ValidationError as error:
        raise Fault(f"The record is no CloudEvent with specversion, type, id, source and time: {error}.") from None


def _told(envelope: _Envelope, now: int) -> Told | Ignored:
    found = _TYPE.fullmatch(envelope.type)
    if found is None or found.group(1) not in _KINDS:
        raise Fault(f"type: {envelope.type[:200]!r} is not known here.", "unknown_type")
    for name, text in (("id", envelope.id), ("source", envelope.source)):
        if not 1 <= len(text) <= ID_CHARACTERS_MAX or "\0" in text:
            raise Fault(f"{name}: must have 1 to {ID_CHARACTERS_MAX} characters, none of them U+0000.")
    if not bytes(envelope.data):
        raise Fault("data: is missing.")
    data = _data.decode(bytes(envelope.data))
    if data.test:
        return Ignored()
    kind: Any = found.group(1)
    details = data.details or Details()
    if kind == "bounced" and details.bounce_type is None:
        raise Fault("details.bounce_type: is required; use hard or soft.")
    has_stopped = kind == "replied" and _is_stop(details.text)
    return Told(
        source=envelope.source,
        id=envelope.id,
        kind=kind,
        message_id=data.message_id,
        at=_instant(data.occurred_at or envelope.time, now),
        is_machine=bool(details.is_machine) and kind in ("opened", "clicked"),
        is_hard=kind == "bounced" and details.bounce_type == "hard",
        is_soft=kind == "bounced" and details.bounce_type == "soft",
        is_retryable=kind == "failed" and bool(details.retryable),
        is_unsubscribe=kind == "unsubscribed" or has_stopped,
        method="stop_keyword" if has_stopped else details.method or "provider",
        details=_kept(data, details, has_stopped=has_stopped),
    )


def _instant(at: datetime, now: int) -> int:
    if at.tzinfo is None:
        raise Fault("occurred_at: needs an offset, such as 2024-02-29T12:00:00Z.")
    found = instants.from_datetime(at)
    if found > now + FUTURE_TOLERANCE:
        raise Fault(
            f"occurred_at: {at.isoformat()} lies in the future; the clock shows {instants.to_text(now)}.", "bad_time"
        )
    if found < instants.INSTANT_MIN:
        raise Fault("occurred_at: must lie within the years 1 to 9999.", "bad_time")
    return found


def _is_stop(text: str | None) -> bool:
    return text is not None and " ".join(text.lower().split()).strip(" .!\"'") in STOP_WORDS


def _kept(data: Data, details: Details, *, has_stopped: bool) -> dict[str, Any]:
    """What the history shows; jsonb cannot hold U+0000, and what people wrote is theirs."""
    said = msgspec.to_builtins(details)
    said.pop("text", None)
    said |= {name: one for name in ("provider", "provider_message_id") if (one := getattr(data, name)) is not None}
    if has_stopped:
        said["method"] = "stop_keyword"
    return {name: one.replace("\0", "\ufffd") if isinstance(one, str) else one for name, one in said.items()}
