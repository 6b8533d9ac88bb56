"""Events that somebody hands over: read by the decoder of the hot path, with every fault at its place."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
from msgspec import Raw

from service.app.exact_json import JsonError, RepeatedKey, loads
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
_NO_EVENT: Final = "The record is no CloudEvent:"
_OTHER_FORMAT: Final = "is no CloudEvent: it must be a JSON object with specversion, type, id, time and data"
_EXPECTED: Final = re.compile(r"Expected `([^`]+)`, got `([^`]+)`")
#: What the decoder calls the kinds of JSON.
_KINDS: Final = {
    "str": "a text",
    "int": "a whole number",
    "float": "a number",
    "int | float": "a number",
    "bool": "true or false",
    "object": "an object",
    "array": "a list",
    "null": "null",
    "datetime": "an instant as text such as 2024-02-29T12:00:00Z",
}
_SENTENCES: Final = {
    "Invalid RFC3339 encoded datetime": "must be RFC 3339 with an offset, such as 2024-02-29T12:00:00Z",
    "is missing": "is required",
}
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


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
    """The body is no JSON array; the message says what it must be."""


class NoJson(Exception):
    """The body is no JSON that can be taken: a path, or `body`, and a sentence that says what to mend."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(message)
        self.path = path


def split_events(body: bytes) -> list[bytes]:
    """The events of a JSON array, each as the bytes it was sent in.

    Raises:
        NoList: the body is something else.
        NoJson: it is no JSON.
    """
    if not body.strip():
        raise NoJson("body", f"is empty; send a JSON array of 1 to {EVENTS_MAX} CloudEvents")
    try:
        return [bytes(one) for one in _several.decode(body)]
    except msgspec.ValidationError:
        msg = f"must be a JSON array of 1 to {EVENTS_MAX} CloudEvents; put a single event into [ ]"
        raise NoList(msg) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _why_no_json(body) from None


def _why_no_json(body: bytes) -> NoJson:
    """The most telling reason, found by a reader that takes a little more."""
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        return NoJson("body", f"must be JSON in UTF-8; byte {error.start + 1} is none")
    if text.startswith("\ufeff"):
        return NoJson("body", "must be JSON without a byte order mark before it")
    try:
        found = loads(text)
    except JsonError as error:
        return NoJson("body", str(error))
    place = _half_pair(found)
    if place is not None:
        return NoJson(place, "holds half a surrogate pair; send the whole character, or leave it out")
    return NoJson("body", "must be JSON in UTF-8, nested less deeply")


def _half_pair(found: object) -> str | None:
    """Where a text that is no Unicode stands; without recursion, for the JSON may be deep."""
    waiting: list[tuple[str, object]] = [("", found)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, str) and _SURROGATE.search(value):
            return path
        if isinstance(value, dict):
            waiting += [(f"{path}.{key}", key) for key in value]
            waiting += [(f"{path}.{key}", one) for key, one in value.items()]
        elif isinstance(value, list):
            waiting += [(f"{path}[{index}]", one) for index, one in enumerate(value)]
    return None


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
        elif (repeat := _repeat(raw)) is not None:
            faults.append(EventFault(f"[{index}]", repeat, "invalid_json"))
    return faults


def _repeat(raw: bytes) -> str | None:
    """What is wrong with a good event that names a key twice, of which one would be lost silently."""
    try:
        loads(raw, allow_repeats=False)
    except RepeatedKey as error:
        return f"{error}; each key must stand there once"
    except JsonError:
        return None  # in what the decoder passes over, too
    return None


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
    if error.startswith(_NO_EVENT):
        return EventFault(start, _OTHER_FORMAT, why.reason)
    if why.reason == "invalid_json":
        return EventFault(start, "must be JSON in UTF-8", why.reason)
    for prefix, inner in ((_FORM, ".data"), (_ENVELOPE, "")):
        if error.startswith(prefix):
            said = error.removeprefix(prefix)
            placed = _PLACED.fullmatch(said)
            path, message = (placed[2], placed[1]) if placed else ("", said)
            missing = _MISSING.fullmatch(message)
            if missing:
                path, message = f"{path}.{missing[1]}".lstrip("."), "is required"
            dot = "." if path and not path.startswith("[") else ""
            return EventFault(f"{start}{inner}{dot}{path}", _in_words(message.rstrip("."), path), why.reason)
    named = _NAMED.fullmatch(error)
    if named is None:
        return EventFault(start, error.rstrip("."), why.reason)
    inner = "" if named[1] in _ATTRIBUTES else ".data"
    return EventFault(f"{start}{inner}.{named[1]}{named[2]}", _in_words(named[3].rstrip(".")), why.reason)


def _in_words(message: str, path: str = "") -> str:
    """The driver's message as a sentence that says what the field must be."""
    if path == "specversion":
        return 'must be "1.0"'
    expected = _EXPECTED.fullmatch(message)
    if expected is None:
        return _SENTENCES.get(message, message)
    is_optional = expected[1].endswith(" | null")
    kind = expected[1].removesuffix(" | null")
    needed = _KINDS.get(kind, kind) + (" or null" if is_optional else "")
    return f"must be {needed}; it is {_KINDS.get(expected[2], expected[2])}"
