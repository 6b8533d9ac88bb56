"""Routes of segments: create, list, read, change, delete."""

from __future__ import annotations

import time
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from sqlalchemy.exc import SQLAlchemyError

from service.adapters.postgres.segments import PostgresSegments
from service.api.auth import Requires
from service.api.bodies import answer, body_docs, read_body
from service.api.by_hand import change_by_hand, named_customers
from service.api.campaign_answers import campaigns_of
from service.api.errors import ApiError, Fault, refused
from service.api.etags import Expected, etag_headers
from service.api.once import OnceRoute, once_id
from service.api.questions import DryRunData, answer_dry_run
from service.api.schemas import (
    Answer,
    NewSegmentBody,
    SegmentChangeBody,
    SegmentData,
    SegmentPage,
    pins_changed,
    segment_data,
    shown_segment,
)
from service.api.services import Services, services_of
from service.app.pins import ADD, Named, PinChange, PinReport
from service.app.segment_changes import create_segment, delete_segment, update_segment
from service.app.segments import STATIC, Author, SegmentMissing, SegmentQuery
from service.app.tokens import Identity, Permission
from service.core.identity import UUID_FORM

BASE: Final = "/api/customer-segments"

router: Final = APIRouter(prefix=BASE, tags=["segments"], route_class=OnceRoute)

Emit = Annotated[
    Literal["all", "none"],
    Query(description="none: the joins and leaves that this change causes are stored, not published"),
]
SegmentPath = Annotated[str, Path(description="The segment's id, a UUID")]
Sort = Literal["created_at", "updated_at", "last_updated", "segment_name", "segment_type", "status", "customer_count"]
Creator = Annotated[Identity, Depends(Requires(Permission.CREATE))]
Reader = Annotated[Identity, Depends(Requires(Permission.READ))]
Updater = Annotated[Identity, Depends(Requires(Permission.UPDATE))]
Deleter = Annotated[Identity, Depends(Requires(Permission.DELETE))]


_VIP: Final[dict[str, Any]] = {
    "segment_name": "Big spenders of late",
    "description": "At least 500 within the last 90 days",
    "segment_type": "dynamic",
    "criteria": {"total_spent": {"operator": "gte", "value": "500.00", "window": {"days": 90}}},
}
_CREATE_EXAMPLES: Final = {
    "big spenders": _VIP,
    "everybody": {"segment_name": "Everybody", "criteria": {}},
    "a list": {"segment_name": "Guests of the fair", "segment_type": "static", "customer_ids": ["C-1001", "C-1002"]},
    "lapsed business customers": {
        "segment_name": "Lapsed business customers",
        "segment_type": "behavioral",
        "status": "draft",
        "criteria": {
            "customer_type": "business",
            "all": [
                {"total_orders": {"operator": "gte", "value": 1}},
                {"not": {"last_order_date": {"operator": "within_last", "days": 180}}},
            ],
        },
    },
}
_CHANGE_EXAMPLES: Final = {
    "new criteria": {"criteria": {"total_orders": {"operator": "between", "min_value": 2, "max_value": 9}}},
    "archive": {"status": "archived"},
    "rename": {"segment_name": "Big spenders", "description": None},
}


def segment_id_of(segment: str) -> UUID:
    """The id in an address; what is no UUID names no segment.

    Raises:
        SegmentMissing: the text has not the form of a UUID.
    """
    if not UUID_FORM.fullmatch(segment):
        raise SegmentMissing(f'"{segment}"; segments are named by ids of the form 8-4-4-4-12')
    return UUID(segment)


@router.post(
    "",
    status_code=201,
    response_model=Answer[SegmentData],
    summary="Create a segment",
    openapi_extra=body_docs(NewSegmentBody, _CREATE_EXAMPLES),
)
@router.post("/", status_code=201, include_in_schema=False)
async def create(request: Request, identity: Creator) -> Response:
    """Creates a segment. Its members join with the backfill, which begins at once and is visible in `backfill`.

    A static segment has customer_ids instead of criteria; ids that are not known yet are welcome. More than fit into
    one body are added by POST /{segment}/customers.
    """
    body = await read_body(request, NewSegmentBody)
    services, author = services_of(request), author_of(identity)
    customers = _listed(body)
    async with services.database.transaction() as connection:
        store = PostgresSegments(connection)
        segment = await create_segment(store, services.clock, author, body.value(), once_id(request))
        data = shown_segment(segment, await store.complete_to(services.clock()))
    if customers:
        data["pins"] = pins_changed(await _fill(services, author, segment.id, customers))
    headers = {"location": f"{BASE}/{segment.id}", **etag_headers(segment)}
    return answer(data, "The segment has been created", 201, headers)


def _listed(body: NewSegmentBody) -> list[Named]:
    """The customers that a new static segment begins with."""
    if body.customer_ids is None or body.customer_ids == []:
        return []
    if body.segment_type != STATIC:
        message = "is for static segments; add customers to this one by POST /{segment}/customers"
        raise refused([Fault("customer_ids", message, "value_error")])
    return named_customers(body.customer_ids)


async def _fill(services: Services, author: Author, segment_id: UUID, customers: list[Named]) -> PinReport:
    """Adds the first customers of a segment that has just been made.

    Raises:
        ApiError: unavailable; the segment is there, so that creating it again would make a second one.
    """
    change = PinChange(segment_id, ADD, author, time.time_ns() // 1_000)
    try:
        return await change_by_hand(services, change, customers)
    except (ApiError, OSError, SQLAlchemyError):
        message = f"The segment {segment_id} has been created, but not all customers could be added; add them again"
        raise ApiError("unavailable", message) from None


@router.get("", response_model=Answer[SegmentPage], summary="List segments")
@router.get("/", include_in_schema=False)
async def list_all(
    request: Request,
    _: Reader,
    page: Annotated[int, Query(ge=1, le=1_000_000)] = 1,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    search: Annotated[str | None, Query(max_length=200, description="Part of a name or description")] = None,
    status: Literal["active", "draft", "archived"] | None = None,
    segment_type: Literal["static", "dynamic", "behavioral"] | None = None,
    sort_by: Annotated[Sort, Query(description="Also accepted as sort")] = "created_at",
    sort_order: Annotated[Literal["asc", "desc"], Query(description="Also accepted as order")] = "desc",
    sort: Annotated[Sort | None, Query(include_in_schema=False)] = None,
    order: Annotated[Literal["asc", "desc"] | None, Query(include_in_schema=False)] = None,
) -> Response:
    """Lists the segments that have not been deleted."""
    if search is not None and "\0" in search:
        raise refused([Fault("search", "must not hold U+0000", "value_error")])
    is_descending = (order or sort_order) == "desc"
    query = SegmentQuery(page, limit, search, status, segment_type, sort or sort_by, is_descending)
    async with services_of(request).database.snapshot() as connection:
        found, total = await PostgresSegments(connection).page(query)
    data = {"segments": [segment_data(one) for one in found], "total": total, "page": page, "limit": limit}
    return answer(data, f"{total} segments")


@router.put(
    "/{segment}",
    response_model=Answer[SegmentData] | Answer[DryRunData],
    responses={412: {}, 429: {}},
    summary="Change a segment",
    openapi_extra=body_docs(SegmentChangeBody, _CHANGE_EXAMPLES),
)
async def update(
    request: Request,
    identity: Updater,
    segment: SegmentPath,
    expected: Expected,
    emit: Emit = "all",
    dry_run: Annotated[bool, Query(description="Only answers who would join and leave")] = False,
) -> Response:
    """Changes what the body names and leaves the rest. New criteria and a new status take effect with a backfill.

    With If-Match the change is made only if nobody else has changed the segment since.
    """
    segment_id = segment_id_of(segment)
    body = await read_body(request, SegmentChangeBody)
    if not body.model_fields_set:
        raise ApiError("invalid", f"The body must name at least one of {', '.join(SegmentChangeBody.model_fields)}")
    if dry_run:
        return await answer_dry_run(request, segment_id, body.value(), expected)
    services = services_of(request)
    async with services.database.transaction() as connection:
        store = PostgresSegments(connection)
        changed = await update_segment(
            store,
            services.clock,
            author_of(identity),
            segment_id,
            body.value(),
            is_silent=emit == "none",
            expected=expected,
        )
        campaigns = await campaigns_of(connection, segment_id)
        data = shown_segment(changed, await store.complete_to(services.clock()), campaigns)
    return answer(data, "The segment has been changed", headers=etag_headers(changed))


@router.delete(
    "/{segment}", response_model=Answer[SegmentData], responses={400: {}, 409: {}, 412: {}}, summary="Delete a segment"
)
async def delete(
    request: Request, identity: Deleter, segment: SegmentPath, expected: Expected, emit: Emit = "all"
) -> Response:
    """Deletes a segment: it is found no more, and its members leave. Not while another segment asks for its members."""
    segment_id = segment_id_of(segment)
    services = services_of(request)
    async with services.database.transaction() as connection:
        gone = await delete_segment(
            PostgresSegments(connection),
            services.clock,
            author_of(identity),
            segment_id,
            is_silent=emit == "none",
            expected=expected,
        )
    return answer(segment_data(gone), "The segment has been deleted")


def author_of(identity: Identity) -> Author:
    """Who a change is put down to."""
    return Author(identity.sub, identity.name)
