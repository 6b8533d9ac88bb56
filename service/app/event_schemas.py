"""JSON Schemas of every event, made of the structures that the code itself reads and writes.

docs/schemas holds them as files: `python -m service.cli.event_schemas` writes them anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from service.app.message_schemas import ENGAGEMENT, MESSAGES
from service.core.events import model
from service.core.events.check import KEY_CHARACTERS_MAX, SCALARS_MAX, TEXT_CHARACTERS_MAX
from service.core.events.decode import ID_CHARACTERS_MAX
from service.core.identity import CUSTOMER_ID_CHARACTERS_MAX

DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"
#: How a schema that stands alone refers to its parts.
LOCAL: Final = "#/$defs/{name}"

Schema = dict[str, Any]


class MembershipChange(Struct):
    """The data of `segment.joined` and `segment.left`: a customer's transition in a segment."""

    customer_id: Annotated[UUID, Meta(description="The customer as a UUID; also the record's key and the subject.")]
    external_id: Annotated[str, Meta(description="The customer's id as the first event gave it.")]
    segment_id: UUID
    segment_name: str
    segment_version: Annotated[int, Meta(ge=1, description="Rises with the segment's criteria.")]
    sequence: Annotated[
        int, Meta(ge=1, description="Which transition of this customer in this segment it is, from 1 on.")
    ]
    effective_at: Annotated[
        datetime, Meta(tz=True, description="From when on it is true: an event's time or a window's edge.")
    ]
    recorded_at: Annotated[datetime, Meta(tz=True, description="When the service found out.")]
    reason: Literal["event", "time", "definition", "manual", "import", "erasure", "rebuild"]
    backfill: Annotated[bool, Meta(description="Whether a new or changed definition caused it.")]
    cause_event_id: Annotated[str, Meta(description="The id of the event that caused it.")] | UnsetType = UNSET


#: What leaves about members: name -> structure.
OUTBOUND: Final[Mapping[str, type]] = {"segment.joined": MembershipChange, "segment.left": MembershipChange}
#: Every structure of data, by the event's type.
_SHAPES: Final[Mapping[str, type]] = {**model.TYPES, **OUTBOUND, **MESSAGES, **ENGAGEMENT}
LETTER: Final = "dead-letter-headers"
ENVELOPE: Final = "cloudevent"

_MONEY: Final[Schema] = {
    "description": "Decimal string or number with at most 2 decimals, smaller than 10^10 in size.",
    "anyOf": [
        {"type": "string", "pattern": r"^-?[0-9]{1,10}(\.[0-9]{1,2})?$"},
        {"type": "number", "exclusiveMinimum": -(10**10), "exclusiveMaximum": 10**10},
    ],
}
_SCALARS: Final[Schema] = {
    "description": "Texts, numbers of at most 38 digits, booleans and nulls by key.",
    "type": ["object", "null"],
    "maxProperties": SCALARS_MAX,
    "propertyNames": {"minLength": 1, "maxLength": KEY_CHARACTERS_MAX},
    "additionalProperties": {
        "type": ["string", "number", "boolean", "null"],
        "maxLength": TEXT_CHARACTERS_MAX,
    },
}
_ID: Final[Schema] = {"minLength": 1, "maxLength": ID_CHARACTERS_MAX}
#: What the structures leave to the checks of decode.py: (type, or "" for all; field) -> what is added.
_CHECKED: Final[Mapping[tuple[str, str], Schema]] = {
    ("", "customer_id"): {"minLength": 1, "maxLength": CUSTOMER_ID_CHARACTERS_MAX},
    ("", "order_id"): _ID,
    ("", "refund_id"): _ID,
    ("", "traits"): _SCALARS,
    ("", "properties"): _SCALARS,
    ("", "currency"): {"description": "The service's own; another one is a dead letter."},
    ("", "customer_type"): {"enum": ["individual", "business", None]},
    ("customer.activity", "name"): _ID,
    ("order.placed", "total"): _MONEY,
    ("order.updated", "total"): {**_MONEY, "anyOf": [*_MONEY["anyOf"], {"type": "null"}]},
    ("order.refunded", "amount"): {**_MONEY, "anyOf": [*_MONEY["anyOf"], {"const": "full"}]},
}


_DIGITS: Final[Schema] = {"pattern": "^[0-9]+$"}
_LETTER: Final[Mapping[str, Schema]] = {
    "x-reason": {"description": "A word for machines, such as invalid_json, unknown_type or wrong_currency."},
    "x-error": {"description": "A sentence for people."},
    "x-original-topic": {"description": "Where the record lay."},
    "x-original-partition": _DIGITS,
    "x-original-offset": _DIGITS,
    "x-original-timestamp": {"description": "Milliseconds since 1970.", "pattern": "^-?[0-9]+$"},
    "x-truncated": {"description": "The size of a value of which only the beginning was kept.", **_DIGITS},
    "x-customer-id": {"description": "Whom the record may be about.", "format": "uuid"},
}


def data_schema(name: str, ref_template: str = LOCAL) -> tuple[Schema, dict[str, Schema]]:
    """The schema of an event's data, and of the parts that it refers to.

    Args:
        name: the event's type.
        ref_template: how it refers to them.
    """
    shape = _without_defaults(_SHAPES[name])
    _, parts = msgspec.json.schema_components([shape], ref_template=ref_template)
    found = parts.pop(shape.__name__)
    for field, schema in found["properties"].items():
        for key in (("", field), (name, field)):
            schema |= _CHECKED.get(key, {}) if name in model.TYPES else {}
    return found, {inner: part for inner, part in parts.items() if inner != shape.__name__}


def _without_defaults(shape: type) -> type[Struct]:
    """The structure with fields that may be missing instead of defaults, for some defaults have no JSON."""
    fields: list[Any] = [
        (one.name, one.type) if one.required else (one.name, one.type | UnsetType, UNSET)
        for one in msgspec.structs.fields(shape)
    ]
    return msgspec.defstruct(shape.__name__, fields, namespace={"__doc__": shape.__doc__})


def envelope_schema(name: str | None = None, data: Schema | None = None) -> Schema:
    """A CloudEvent in structured mode: of any type, or of this one with these data."""
    types: Schema = {"const": name} if name else {"type": "string", "enum": list(model.TYPES)}
    return {
        "description": "A CloudEvent 1.0 in structured mode.",
        "type": "object",
        "properties": {
            "specversion": {"const": "1.0"},
            "type": types,
            "id": {"type": "string", **_ID, "description": "Unique; a repeat changes nothing."},
            "source": {"type": "string"},
            "time": {"type": "string", "format": "date-time", "description": "When it happened, with an offset."},
            "sequence": {
                "type": ["string", "null"],
                "maxLength": ID_CHARACTERS_MAX,
                "description": "Breaks ties at one instant; missing comes first.",
            },
            "traceparent": {"type": ["string", "null"], "description": "W3C trace context, carried on."},
            "data": data or {"type": "object"},
        },
        "required": ["specversion", "type", "id", "time", "data"],
    }


def letter_schema() -> Schema:
    """The headers of a dead letter; its key and value are the record's own."""
    return {
        "description": "The headers of a dead letter, beside the record's own that do not begin with x-.",
        "type": "object",
        "properties": {name: {"type": "string", **said} for name, said in _LETTER.items()},
        "required": [name for name in _LETTER if name not in ("x-truncated", "x-customer-id")],
    }


def all_schemas() -> Iterator[tuple[str, Schema]]:
    """Every schema as a document of its own, by name."""
    for name in _SHAPES:
        found, parts = data_schema(name)
        yield name, _document(name, found | ({"$defs": parts} if parts else {}))
    yield ENVELOPE, _document(ENVELOPE, envelope_schema())
    yield LETTER, _document(LETTER, letter_schema())


def _document(name: str, schema: Schema) -> Schema:
    return {"$schema": DRAFT, "$id": f"urn:customer-segments:{name}", **schema, "title": name}
