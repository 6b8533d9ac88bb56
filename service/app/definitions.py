"""Definitions as a file: segments with their ids, criteria, earlier versions and pins, and campaigns, to be taken to
another database.

What follows from facts is not in it: members, counts and history come back from the input topics.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec
from msgspec import Meta, Struct

from service.app import exact_json
from service.app.campaigns.definitions import CampaignDefinition
from service.app.campaigns.definitions import faults_of as campaign_faults
from service.app.exact_json import JsonError, canonical
from service.app.segments import NO_CRITERIA, STATIC, Segment
from service.core.criteria.model import references
from service.core.criteria.parse import CriteriaError, parse_criteria
from service.core.identity import GUEST, customer_uuid

FORMAT: Final = "customer-segments/definitions"
FORMAT_VERSION: Final = 1
#: How many faults of a file are told.
FAULTS_MAX: Final = 20

Name = Annotated[str, Meta(min_length=1, max_length=255)]
Text = Annotated[str, Meta(min_length=1, max_length=512)]
Instant = Annotated[datetime, Meta(tz=True)]
#: Cannot be stored.
_UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")


class DefinitionsError(ValueError):
    """The file cannot be used; the message is a sentence that says why."""


class PinDefinition(Struct, forbid_unknown_fields=True):
    """A customer who is in or out by hand, by the id that events give."""

    customer: Annotated[str, Meta(min_length=1, max_length=128)]
    pin: Literal["included", "excluded"]
    source: Literal["manual", "import"]
    created_by: Text
    created_at: Instant


class VersionDefinition(Struct, forbid_unknown_fields=True):
    """What a segment's criteria were, from that version on."""

    version: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    criteria: Any
    created_by: Text
    created_at: Instant


class SegmentDefinition(Struct, forbid_unknown_fields=True):
    """One segment; `criteria` as they were given."""

    id: UUID
    segment_name: Name
    description: str | None
    segment_type: Literal["static", "dynamic", "behavioral"]
    status: Literal["active", "draft", "archived"]
    criteria: Any
    version: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    created_by: Text
    created_at: Instant
    updated_at: Instant
    versions: list[VersionDefinition]
    pins: list[PinDefinition]

    def to_segment(self) -> Segment:
        """As it is stored, without what the import gives it."""
        return Segment(
            id=self.id,
            segment_name=self.segment_name,
            description=self.description,
            segment_type=self.segment_type,
            status=self.status,
            criteria=self.criteria,
            version=self.version,
            created_by=self.created_by,
            created_at=self.created_at,
            updated_at=self.updated_at,
        )

    def is_same(self, other: Segment) -> bool:
        """Whether a stored segment says the same."""
        mine = (self.segment_name, self.description, self.segment_type, self.status, canonical(self.criteria))
        return mine == (
            other.segment_name,
            other.description,
            other.segment_type,
            other.status,
            canonical(other.criteria),
        )


class Definitions(Struct, forbid_unknown_fields=True):
    """The whole file. `users` are the names of those who made what is in it, by their ids."""

    format: Literal["customer-segments/definitions"]
    format_version: Literal[1]
    exported_at: Instant
    users: dict[Text, Name]
    segments: list[SegmentDefinition]
    campaigns: list[CampaignDefinition] = []


def encode_definitions(definitions: Definitions) -> bytes:
    """The file's bytes: JSON, one line a segment or campaign, so that two exports can be compared."""
    whole = msgspec.to_builtins(definitions, builtin_types=(UUID, datetime))
    listed = {name: whole.pop(name) for name in ("segments", "campaigns")}
    head = exact_json.dumps(whole)[:-1]
    parts = [
        f',"{name}":['.encode() + b",".join(b"\n" + exact_json.dumps(one) for one in some) + b"\n]"
        for name, some in listed.items()
    ]
    return head + b"".join(parts) + b"}\n"


def decode_definitions(source: bytes) -> Definitions:
    """Reads and checks a whole file.

    Raises:
        DefinitionsError: not such a file, criteria that this release does not take, segments that repeat, go in a
            circle or name others that are not in the file.
    """
    try:
        raw = exact_json.loads(source, allow_repeats=False)
        if b"\\u" in source and _has_unstorable(raw):
            msg = "a text holds U+0000 or half a surrogate pair, which cannot be stored"
            raise JsonError(msg)
        found = msgspec.convert(raw, Definitions)
    except (JsonError, msgspec.ValidationError) as error:
        msg = f"The file is no export of definitions: {error}."
        raise DefinitionsError(msg) from None
    faults = _faults(found)
    if faults:
        more = f"; and {len(faults) - FAULTS_MAX} more" if len(faults) > FAULTS_MAX else ""
        raise DefinitionsError("; ".join(faults[:FAULTS_MAX]) + more + ".")
    found.segments = _by_dependence(found.segments)
    return found


def _has_unstorable(value: Any) -> bool:
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            if _UNSTORABLE.search(one):
                return True
        elif isinstance(one, dict):
            waiting += [*one.keys(), *one.values()]
        elif isinstance(one, list):
            waiting += one
    return False


def _faults(definitions: Definitions) -> list[str]:
    known: set[UUID] = set()
    ids = {one.id for one in definitions.segments}
    faults = [] if all(map(_is_storable, _instants(definitions))) else ["an instant lies beyond the years 1 to 9999"]
    for one in definitions.segments:
        said = f'segment "{one.segment_name}" ({one.id})'
        if one.id in known:
            faults.append(f"{said} is in the file twice")
        known.add(one.id)
        try:
            named = _references(one)
        except CriteriaError as error:
            faults.append(f"{said}: {error}")
            continue
        faults += [f"{said}: there is no segment {other} in the file" for other in sorted(named - ids)]
        numbers = [version.version for version in one.versions]
        if numbers != sorted(set(numbers)) or (numbers and numbers[-1] > one.version):
            faults.append(f"{said}: its versions must ascend, none beyond {one.version}")
        if one.segment_type == STATIC and one.criteria != NO_CRITERIA:
            faults.append(f"{said}: a static segment has no criteria")
        if one.segment_type == STATIC and any(pin.pin == "excluded" for pin in one.pins):
            faults.append(f"{said}: a static segment has no customers that are excluded")
        customers = [customer_uuid(pin.customer) for pin in one.pins]
        if len(customers) > len(set(customers)):
            faults.append(f"{said}: a customer is pinned twice")
        if GUEST in customers:
            faults.append(f"{said}: the UUID of zeros stands for guests and cannot be pinned")
    return faults + campaign_faults(definitions.campaigns, ids)


def _instants(definitions: Definitions) -> Iterator[datetime]:
    for one in definitions.segments:
        yield from (one.created_at, one.updated_at)
        yield from (version.created_at for version in one.versions)
        yield from (pin.created_at for pin in one.pins)
    for campaign in definitions.campaigns:
        yield from campaign.instants()


def _is_storable(at: datetime) -> bool:
    try:
        return at.astimezone(UTC) > datetime(1, 1, 2, tzinfo=UTC)
    except OverflowError:
        return False


def _references(one: SegmentDefinition) -> set[UUID]:
    return set() if one.segment_type == STATIC else references(parse_criteria(one.criteria))


def _by_dependence(segments: Sequence[SegmentDefinition]) -> list[SegmentDefinition]:
    """Each after those that it names.

    Raises:
        DefinitionsError: some name each other in a circle.
    """
    waiting: Mapping[UUID, SegmentDefinition] = {one.id: one for one in segments}
    named = {one.id: _references(one) for one in segments}
    found: list[SegmentDefinition] = []
    while waiting:
        ready = [one for one in waiting.values() if not named[one.id] & waiting.keys()]
        if not ready:
            names = ", ".join(f'"{one.segment_name}"' for one in list(waiting.values())[:FAULTS_MAX])
            msg = f"Segments of the file name each other in a circle: {names}."
            raise DefinitionsError(msg)
        found += ready
        waiting = {one: segment for one, segment in waiting.items() if segment not in ready}
    return found
