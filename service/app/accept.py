"""Events that somebody hands over: read by the decoder of the hot path, with every fault at its place."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
from msgspec import Raw

from service.core.events.decode import Rejected, Rules, decode
from service.core.events.model import Event

EVENTS_MAX: Final = 1_000

#: Attributes of the envelope; all other fields are the data's.
_ATTRIBUTES: Final = frozenset({"specversion", "type", "id", "time", "sequence", "data", "data_base64"})
_NAMED: Final = re.compile(r"([a-z][a-z_0-9]*)((?:[.\[][^:]{1,120})?): (.+)", re.DOTALL)
_PLACED: Final = re.compile(r"(.*) - at `\$\.?([^`]*)`\.", re.DOTALL)
_MISSING: Final = re.compile(r"(?:.*: )?Object missing required field `([^`]+)`\.?", re.DOTALL)
_FORM: Final = "The event does not have the form of its type: "
_ENVELOPE: Final = "The envelope is not a CloudEvent: "
_OTHER_FORMAT: Final = "is no CloudEvent: it needs specversion, type, id, time and data"


class _Traced(msgspec.Struct):
    traceparent: Raw


_several: Final = msgspec.json.Decoder(list[Raw])
_traced: Final = msgspec.json.Decoder(_Traced)


class EventFault(NamedTuple):
    """What is wrong with one event of a list: a path such as `[3].data.total`, a sentence, a reason."""

    path: str
    message: str
    reason: str


class NoList(Exception):
    """The body is no JSON array; the message says what it is."""


def split_events(body: bytes) -> list[bytes]:
    """The events of a JSON array, each as the bytes it was sent in.

    Raises:
        NoList: the body is something else.
        msgspec.DecodeError: it is no JSON.
    """
    try:
        return [bytes(one) for one in _several.decode(body)]
    except msgspec.ValidationError:
        msg = "must be a JSON array of CloudEvents"
        raise NoList(msg) from None


def faults_of_events(events: Sequence[bytes], rules: Rules, now: int) -> list[EventFault]:
    """The first fault of each event that has any.

    Args:
        events: each as JSON.
        rules: currency and size to hold them to.
        now: the clock, microseconds.
    """
    faults = []
    for index, raw in enumerate(events):
        found = decode(raw, (), rules, now)
        if isinstance(found, Rejected):
            faults.append(_fault(index, found))
        elif not isinstance(found, Event):
            faults.append(EventFault(f"[{index}]", _OTHER_FORMAT, "invalid_data"))
    return faults


def has_trace(raw: bytes) -> bool:
    """Whether an event carries the extension attribute traceparent."""
    try:
        _traced.decode(raw)
    except msgspec.DecodeError:
        return False
    return True


def _fault(index: int, why: Rejected) -> EventFault:
    """The decoder's sentence, taken apart into place and message."""
    error, start = why.error, f"[{index}]"
    for prefix, inner in ((_FORM, ".data"), (_ENVELOPE, "")):
        if error.startswith(prefix):
            said = error.removeprefix(prefix)
            placed = _PLACED.fullmatch(said)
            path, message = (placed[2], placed[1]) if placed else ("", said)
            missing = _MISSING.fullmatch(message)
            if missing:
                path, message = f"{path}.{missing[1]}".lstrip("."), "is required"
            dot = "." if path and not path.startswith("[") else ""
            return EventFault(f"{start}{inner}{dot}{path}", message.rstrip("."), why.reason)
    named = _NAMED.fullmatch(error)
    if named is None:
        return EventFault(start, error.rstrip("."), why.reason)
    inner = "" if named[1] in _ATTRIBUTES else ".data"
    return EventFault(f"{start}{inner}.{named[1]}{named[2]}", named[3].rstrip("."), why.reason)
