"""The shapes that go in and out over HTTP, as OpenAPI shows them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from service.app.segments import NewSegment, Segment, SegmentChange

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


def _known_type(name: object) -> object:
    if name == "static":
        msg = 'must be "dynamic" or "behavioral"; static segments are not kept by this version of the service'
        raise ValueError(msg)
    return name


Name = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_storable), AfterValidator(_not_blank)]
Description = Annotated[str, Field(max_length=5_000), AfterValidator(_storable)]
Criteria = Annotated[
    Any,
    Field(description="Who belongs to the segment; {} is everybody", json_schema_extra={"type": "object"}),
]


class NewSegmentBody(BaseModel):
    """A segment to create."""

    model_config = ConfigDict(extra="forbid")

    segment_name: Name
    description: Description | None = None
    segment_type: Annotated[
        Literal["dynamic", "behavioral"], BeforeValidator(_known_type), Field(description="A label")
    ] = "dynamic"
    status: Annotated[Literal["active", "draft"], Field(description="A draft has no members and no events")] = "active"
    criteria: Criteria

    def value(self) -> NewSegment:
        """For the use case."""
        return NewSegment(self.segment_name, self.criteria, self.description, self.segment_type, self.status)


class SegmentChangeBody(BaseModel):
    """What is to be different; what is left out stays."""

    model_config = ConfigDict(extra="forbid")

    segment_name: Name = ""
    description: Description | None = None
    status: Literal["active", "draft", "archived"] = "active"
    criteria: Criteria = None

    def value(self) -> SegmentChange:
        """For the use case: only what was given."""
        return SegmentChange(**{name: getattr(self, name) for name in self.model_fields_set})


class Backfill(BaseModel):
    """How far the present definition has reached the customers who were already there."""

    state: Literal["none", "running", "done"]
    progress: Annotated[float, Field(ge=0, le=1)]


class SegmentData(BaseModel):
    """A segment."""

    id: UUID
    segment_name: str
    description: str | None
    segment_type: Literal["static", "dynamic", "behavioral"]
    status: Literal["active", "draft", "archived"]
    criteria: dict[str, Any]
    customer_ids: list[UUID] | None = None
    customer_ids_complete: bool | None = None
    customer_count: int
    last_updated: datetime
    created_by: str
    creator_name: str
    created_at: datetime
    updated_at: datetime
    is_deleted: bool
    version: Annotated[int, Field(description="Rises with the criteria only")]
    backfill: Backfill


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
