"""The shapes that go in and out over HTTP, as OpenAPI shows them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from service.app.pins import CUSTOMER_IDS_MAX, Pin, PinReport
from service.app.segments import NewSegment, Segment, SegmentChange
from service.core import instants

Data = TypeVar("Data")


def _storable(text: str) -> str:
    if "\0" in text:
        msg = "must not hold U+0000"
        raise ValueError(msg)
    return text


def _not_blank(text: str) -> str:
    if not text.strip():
        msg = "must not be blank"
        raise ValueError(msg)
    return text


Name = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_storable), AfterValidator(_not_blank)]
Description = Annotated[str, Field(max_length=5_000), AfterValidator(_storable)]
Criteria = Annotated[
    Any,
    Field(description="Who belongs to the segment; {} is everybody", json_schema_extra={"type": "object"}),
]
#: Read by app.pins, which names the place of each fault.
CustomerIds = Annotated[
    Any,
    Field(
        description=f"At most {CUSTOMER_IDS_MAX} ids of customers, as the events give them or as UUIDs",
        json_schema_extra={"type": "array", "items": {"type": "string"}, "maxItems": CUSTOMER_IDS_MAX},
    ),
]
SegmentType = Literal["static", "dynamic", "behavioral"]


class NewSegmentBody(BaseModel):
    """A segment to create."""

    model_config = ConfigDict(extra="forbid")

    segment_name: Name
    description: Description | None = None
    segment_type: Annotated[
        SegmentType, Field(description="static: members are listed; dynamic and behavioral: a label, both by criteria")
    ] = "dynamic"
    status: Annotated[Literal["active", "draft"], Field(description="A draft has no members and no events")] = "active"
    criteria: Criteria = None
    customer_ids: CustomerIds = None

    def value(self) -> NewSegment:
        """For the use case."""
        return NewSegment(self.segment_name, self.criteria, self.description, self.segment_type, self.status)


class SegmentChangeBody(BaseModel):
    """What is to be different; what is left out stays."""

    model_config = ConfigDict(extra="forbid")

    segment_name: Name = ""
    description: Description | None = None
    segment_type: SegmentType = "dynamic"
    status: Literal["active", "draft", "archived"] = "active"
    criteria: Criteria = None

    def value(self) -> SegmentChange:
        """For the use case: only what was given."""
        return SegmentChange(**{name: getattr(self, name) for name in self.model_fields_set})


class CustomersBody(BaseModel):
    """Customers by their ids."""

    model_config = ConfigDict(extra="forbid")

    customer_ids: CustomerIds


class PinsChanged(BaseModel):
    """How many customers were pinned or let go; who is named twice counts once."""

    added: Annotated[int, Field(description="Members by hand from now on")]
    removed: Annotated[int, Field(description="Members by hand no more, or kept out from now on")]
    unchanged: int
    unknown: Annotated[int, Field(description="Without a profile; skipped")]
    erased: Annotated[int, Field(description="Erased customers are never pinned")]
    unknown_ids: Annotated[list[str], Field(description="The first of those who are unknown")]


class PinData(BaseModel):
    """A customer who is in or out whatever the criteria say."""

    customer_id: UUID
    external_id: str
    pin: Literal["included", "excluded"]
    source: Annotated[str, Field(examples=["manual", "import"])]
    created_by: str
    creator_name: str
    created_at: datetime


class PinPage(BaseModel):
    """One page of a segment's pins."""

    pins: list[PinData]
    next_cursor: Annotated[str | None, Field(description="For the next page; null after the last")]
    total: int


class Backfill(BaseModel):
    """How far the present definition has reached the customers who were already there."""

    state: Literal["none", "running", "done"]
    progress: Annotated[float, Field(ge=0, le=1)]


class SegmentData(BaseModel):
    """A segment."""

    id: UUID
    segment_name: str
    description: str | None
    segment_type: SegmentType
    status: Literal["active", "draft", "archived"]
    criteria: dict[str, Any]
    customer_count: int
    last_updated: datetime
    created_by: str
    creator_name: str
    created_at: datetime
    updated_at: datetime
    is_deleted: bool
    version: Annotated[int, Field(description="Rises with the criteria only")]
    backfill: Backfill
    as_of: Annotated[
        datetime | None, Field(description="Membership is complete up to here; not in lists of segments")
    ] = None
    campaigns: Annotated[
        list[dict[str, Any]] | None,
        Field(description="The newest, as GET /{segment}/campaigns shows all; not in lists of segments"),
    ] = None
    pins: Annotated[PinsChanged | None, Field(description="Of a static segment that was created with customers")] = None


class SegmentPage(BaseModel):
    """One page of segments."""

    segments: list[SegmentData]
    total: int
    page: int
    limit: int


class Location(BaseModel):
    """Where a customer is."""

    country: str | None
    state: str | None
    city: str | None


Money = Annotated[str, Field(pattern=r"^-?\d+\.\d\d$", examples=["99.90"])]


class CustomerData(BaseModel):
    """A customer of a segment. Without customers:read_pii name, email and phone are masked."""

    id: UUID
    external_id: Annotated[str, Field(description="The id as the events gave it")]
    name: str | None
    email: str | None
    phone: str | None
    customer_type: str | None
    total_orders: int
    total_spent: Money
    average_order_value: Money
    last_order_date: datetime | None
    registration_date: datetime | None
    location: Location | None
    membership_date: datetime
    membership_source: str


class CustomerPage(BaseModel):
    """One page of a segment's customers."""

    customers: list[CustomerData]
    next_cursor: Annotated[str | None, Field(description="For the next page; null after the last")]
    total: int
    as_of: Annotated[datetime, Field(description="The page is complete up to here")]


class Answer(BaseModel, Generic[Data]):
    """A success."""

    success: Literal[True]
    data: Data
    message: str


class FaultData(BaseModel):
    """One thing that is wrong: where, and how to mend it."""

    path: Annotated[str, Field(examples=["criteria.all[1].total_spent.value"])]
    message: Annotated[str, Field(examples=["must be a number smaller than 10^12 in size"])]
    code: Annotated[str, Field(examples=["invalid_criteria"])]


class Problem(BaseModel):
    """A failure: an RFC 9457 problem document that is also the service's own form."""

    type: Annotated[str, Field(examples=["about:blank"])]
    title: Annotated[str, Field(examples=["Unprocessable Content"])]
    status: Annotated[int, Field(examples=[422])]
    detail: str
    instance: str
    success: Literal[False]
    message: str
    request_id: Annotated[str | None, Field(description="As in the header X-Request-Id and in the log")]
    errors: list[FaultData]


def segment_data(segment: Segment) -> dict[str, Any]:
    """A segment as the API shows it (SegmentData)."""
    return {
        "id": str(segment.id),
        "segment_name": segment.segment_name,
        "description": segment.description,
        "segment_type": segment.segment_type,
        "status": segment.status,
        "criteria": segment.criteria,
        "customer_count": segment.customer_count,
        "last_updated": segment.last_updated,
        "created_by": segment.created_by,
        "creator_name": segment.creator_name,
        "created_at": segment.created_at,
        "updated_at": segment.updated_at,
        "is_deleted": segment.is_deleted,
        "version": segment.version,
        "backfill": {"state": segment.backfill_state, "progress": segment.backfill_progress},
    }


def shown_segment(segment: Segment, complete_to: int, campaigns: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
    """A segment as answers about it alone show it: with campaigns, and the instant to which membership is complete."""
    return {**segment_data(segment), "as_of": instants.to_text(complete_to), "campaigns": list(campaigns)}


def pins_changed(report: PinReport) -> dict[str, Any]:
    """What became of the customers that a request named (PinsChanged)."""
    return {
        "added": report.added,
        "removed": report.removed,
        "unchanged": report.unchanged,
        "unknown": report.unknown,
        "erased": report.erased,
        "unknown_ids": report.unknown_ids,
    }


def pin_data(pin: Pin) -> dict[str, Any]:
    """A pin as the API shows it (PinData)."""
    return {
        "customer_id": str(pin.customer_id),
        "external_id": pin.external_id or str(pin.customer_id),
        "pin": "included" if pin.is_included else "excluded",
        "source": pin.source,
        "created_by": pin.created_by,
        "creator_name": pin.creator_name,
        "created_at": pin.created_at,
    }
