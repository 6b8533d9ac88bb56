"""Routes of a segment's customers, by pages."""

from __future__ import annotations

from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from service.adapters.postgres.members import (
    count_members,
    count_past_members,
    page_of_members,
    page_of_past_members,
)
from service.adapters.postgres.segments import PostgresSegments
from service.api.bodies import answer
from service.api.errors import Fault, refused
from service.api.schemas import Answer, CustomerPage
from service.api.segments import BASE, Reader, SegmentPath, segment_id_of
from service.api.services import services_of
from service.app.members import (
    CursorError,
    cursor_after,
    customer_before,
    customer_of,
)
from service.app.segments import read_segment
from service.app.tokens import Permission
from service.core import instants

router: Final = APIRouter(prefix=BASE, tags=["customers"])

Cursor = Annotated[str | None, Query(max_length=100, description="next_cursor of the page before")]

AsOf = Annotated[
    str | None,
    Query(max_length=40, description="Members at this past instant (RFC 3339, or a date: its first instant, UTC)"),
]


def place_after(segment_id: UUID, cursor: str | None) -> UUID | None:
    """The customer after whom a page begins; None for the first page.

    Raises:
        ApiError: invalid, the cursor is not of this segment.
    """
    try:
        return None if cursor is None else customer_before(segment_id, cursor)
    except CursorError as error:
        raise refused([Fault("cursor", str(error), "invalid_cursor")]) from None


def instant_of(as_of: str | None, now: int) -> int | None:
    """The past instant that a read asks for, microseconds; None for now.

    Raises:
        ApiError: invalid, no instant or one that has not come.
    """
    if as_of is None:
        return None
    try:
        instant = instants.parse_edge(as_of)
    except ValueError:
        message = "must be an instant such as 2024-02-29T12:00:00Z, with + written as %2B, or a date: its first instant"
        raise refused([Fault("as_of", message, "invalid_instant")]) from None
    if instant > now:
        message = f"must not lie in the future; it is {instants.to_text(now)} now"
        raise refused([Fault("as_of", message, "future_instant")])
    return instant


@router.get("/{segment}/customers", response_model=Answer[CustomerPage], summary="Customers of a segment, by pages")
async def customers(
    request: Request,
    identity: Reader,
    segment: SegmentPath,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
    cursor: Cursor = None,
    as_of: AsOf = None,
) -> Response:
    """Answers the members in the order of their ids; each page is read at one instant.

    With `as_of` these are the members then, by the recorded history, with `membership_date` of that stay; what is shown
    of each customer is as it is now. `data.as_of` is the instant up to which the page is complete.
    """
    services = services_of(request)
    segment_id = segment_id_of(segment)
    after = place_after(segment_id, cursor)
    now = services.clock()
    past = instant_of(as_of, now)
    async with services.database.snapshot() as connection:
        store = PostgresSegments(connection)
        await read_segment(store, segment_id)
        complete_to = await store.complete_to(now)
        if past is None:
            found = await page_of_members(connection, segment_id, after, limit + 1)
            total = await count_members(connection, segment_id)
        else:
            complete_to = min(complete_to, past)
            found = await page_of_past_members(connection, segment_id, past, after, limit + 1)
            total = await count_past_members(connection, segment_id, past)
    page = found[:limit]
    can_read_pii = identity.can(Permission.READ_PII)
    data = {
        "customers": [customer_of(member, can_read_pii=can_read_pii) for member in page],
        "next_cursor": cursor_after(segment_id, page[-1].customer_id) if len(found) > limit else None,
        "total": total,
        "as_of": instants.to_text(complete_to),
    }
    return answer(data, f"{len(page)} of {total} customers")
