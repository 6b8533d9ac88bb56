"""Events in structured mode as nearly all of them come: read in one go, the data by the event's type.

Whatever is otherwise is left to `envelope` and `decode`, which also say what is wrong with it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, Literal, Union

import msgspec

from service.core.events import model
from service.core.events.envelope import Headers

#: Kind, id, time, sequence, traceparent, data.
Typed = tuple[str, str, datetime, str | None, str | None, model.Data]

_CONTENT_TYPE: Final = ("content-type", b"application/cloudevents+json")


def _shape(kind: str, data: type) -> Any:
    """As `Envelope`, for one type of event."""
    fields: list[Any] = [("specversion", Literal["1.0"]), ("id", str), ("time", datetime), ("data", data)]
    fields += [(name, str | None, None) for name in ("sequence", "traceparent", "data_base64")]
    return msgspec.defstruct(data.__name__, fields, tag_field="type", tag=kind)


_KINDS: Final[dict[Any, str]] = {_shape(kind, data): kind for kind, data in model.TYPES.items()}
_decoder: Final = msgspec.json.Decoder(Union[tuple(_KINDS)])  # noqa: UP007 - of as many as there are


def read_typed(value: bytes, headers: Headers) -> Typed | None:
    """What the record holds; None where it must be read in the other way.

    No text of what it gives holds U+0000.
    """
    if headers and not (len(headers) == 1 and headers[0] == _CONTENT_TYPE):
        return None
    if b"\\u0000" in value:
        return None
    try:
        found: Any = _decoder.decode(value)
    except (msgspec.DecodeError, ValueError, ArithmeticError, RecursionError):
        return None
    return _KINDS[type(found)], found.id, found.time, found.sequence, found.traceparent, found.data
