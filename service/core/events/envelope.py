"""The attributes of a CloudEvent, in either mode of the Kafka binding."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final, Literal

import msgspec
from msgspec import Raw, Struct

from service.core.events import model
from service.core.events.check import Fault

Headers = Sequence[tuple[str, bytes | None]]

_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def read_traceparent(text: object) -> str | None:
    """A W3C traceparent; None for anything else, which is no reason to refuse what it came with."""
    return text if isinstance(text, str) and _TRACEPARENT.fullmatch(text) else None


class Envelope(Struct):
    """A CloudEvent in structured mode; `data` stays raw until the type is known."""

    specversion: Literal["1.0"]
    type: str
    id: str
    time: datetime
    data: Raw = Raw(b"")
    sequence: str | None = None
    traceparent: str | None = None
    data_base64: str | None = None


class NoCloudEvent(Fault):
    """The record is JSON and claims to be no CloudEvent; it may be of another format.

    Attributes:
        record: the JSON, with fractions as Decimal.
        named: the record's headers, names in small letters.
    """

    def __init__(self, record: object, named: Mapping[str, str]) -> None:
        super().__init__("The record is no CloudEvent: it needs a JSON object with specversion, type, id and time.")
        self.record, self.named = record, named


_envelopes: Final = msgspec.json.Decoder(Envelope)
_times: Final = msgspec.json.Decoder(datetime)
_anything: Final = msgspec.json.Decoder(float_hook=Decimal)


def read_envelope(value: bytes, headers: Headers) -> Envelope:
    """The CloudEvent's attributes in either mode (CloudEvents 1.0 Kafka binding, section 3).

    Raises:
        NoCloudEvent: the record is something else.
        Fault: it is a CloudEvent that cannot be used.
        msgspec.DecodeError: it is no JSON.
    """
    named = _header_texts(headers) if headers else {}
    content_type = named.get("content-type", "").lower()
    if "ce_specversion" in named and not content_type.startswith("application/cloudevents"):
        return _binary(value, named)
    if content_type.startswith("application/cloudevents-batch"):
        raise Fault("A batch of CloudEvents in one record is not read; send one event a record.")
    try:
        envelope = _envelopes.decode(value)
    except msgspec.ValidationError as error:
        raise _why_no_envelope(value, content_type, named, error) from None
    if "traceparent" in named:
        envelope.traceparent = named["traceparent"]
    if envelope.data_base64 is not None and not bytes(envelope.data):
        try:
            envelope.data = Raw(b64decode(envelope.data_base64, validate=True))
        except ValueError:
            raise Fault("data_base64: is not base64.") from None
    return envelope


def _header_texts(headers: Headers) -> dict[str, str]:
    texts = {}
    for name, raw in headers:
        try:
            texts[name.lower()] = "" if raw is None else raw.decode()
        except UnicodeDecodeError:
            raise Fault(f"The header {name[:100]!r} is not UTF-8.") from None
    return texts


def time_of_binary(named: Mapping[str, str], needed: Iterable[str] = ("ce_type", "ce_id", "ce_time")) -> datetime:
    """When an event in binary mode happened; `named` are its headers, names in small letters.

    Raises:
        Fault: a needed header is missing, or one cannot be used.
    """
    missing = [name for name in needed if not named.get(name)]
    if missing:
        raise Fault(f"The header {missing[0]} is missing.")
    if named["ce_specversion"] != "1.0":
        raise Fault("ce_specversion: must be 1.0.")
    try:
        return _times.decode(json.dumps(named["ce_time"]).encode())
    except msgspec.DecodeError:
        raise Fault("ce_time: must be RFC 3339 with an offset, such as 2024-02-29T12:00:00Z.") from None


def _binary(value: bytes, named: dict[str, str]) -> Envelope:
    time = time_of_binary(named)
    return Envelope(
        specversion="1.0",
        type=named["ce_type"],
        id=named["ce_id"],
        time=time,
        data=Raw(value),
        sequence=named.get("ce_sequence"),
        traceparent=named.get("traceparent") or named.get("ce_traceparent"),
    )


def _why_no_envelope(
    value: bytes, content_type: str, named: Mapping[str, str], error: msgspec.ValidationError
) -> Fault:
    """The most telling reason, found by reading the record once more without a type."""
    record = _anything.decode(value)
    if not isinstance(record, dict) or "specversion" not in record:
        other = NoCloudEvent(record, named)
        return Fault(str(other)) if content_type.startswith("application/cloudevents") else other
    kind = record.get("type")
    if isinstance(kind, str) and kind not in model.TYPES:
        return Fault(f"type: {kind[:200]!r} is not known here.", "unknown_type")
    return Fault(f"The envelope is not a CloudEvent: {error}.")
