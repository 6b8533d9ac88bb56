"""Routes of pins: customers added to a segment or removed from it by hand."""

from __future__ import annotations

import time
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response

from service.adapters.postgres.pins import count_pins, page_of_pins
from service.adapters.postgres.segments import PostgresSegments
from service.api.bodies import answer, body_docs, is_body_announced, read_body, read_body_if_any
from service.api.by_hand import change_by_hand, named_customers
from service.api.members import Cursor, place_after
from service.api.once import OnceRoute
from service.api.schemas import Answer, CustomersBody, PinPage, PinsChanged, pin_data, pins_changed
from service.api.segments import BASE, Reader, SegmentPath, Updater, author_of, segment_id_of
from service.api.services import services_of
from service.app.members import cursor_after
from service.app.pins import ADD, REMOVE, UNPIN, PinChange
from service.app.segments import read_segment
from service.app.tokens import Identity

#: A list of as many ids as are allowed, each as long as is allowed, and every character escaped.
BODY_BYTES_MAX: Final = 16_777_216

router: Final = APIRouter(prefix=BASE, tags=["customers"], route_class=OnceRoute)

_EXAMPLES: Final = {"two customers": {"customer_ids": ["C-1001", "3b1f2b1c-5f0e-4d6b-9f39-0d5a3a2b7c11"]}}
_BODY: Final = body_docs(CustomersBody, _EXAMPLES)


@router.post(
    "/{segment}/customers",
    response_model=Answer[PinsChanged],
    summary="Add customers to a segment",
    openapi_extra=_BODY,
)
async def add(request: Request, identity: Updater, segment: SegmentPath) -> Response:
    """Adds customers by hand, whatever the criteria say, until they are removed or their pins are.

    A static segment takes ids that are not known yet; elsewhere these are counted and skipped.
    """
    return await _change(request, identity, segment, ADD, "have been added")


@router.delete(
    "/{segment}/customers",
    response_model=Answer[PinsChanged],
    summary="Remove customers from a segment",
    openapi_extra=_BODY,
)
async def remove(request: Request, identity: Updater, segment: SegmentPath) -> Response:
    """Removes customers by hand: from a static segment's list; elsewhere they stay out whatever the criteria say."""
    return await _change(request, identity, segment, REMOVE, "have been removed")


@router.get("/{segment}/pins", response_model=Answer[PinPage], summary="Who was added or removed by hand, by pages")
async def pins(
    request: Request,
    _: Reader,
    segment: SegmentPath,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
    cursor: Cursor = None,
) -> Response:
    """Answers the pins in the order of the customers' ids, with who made them and when."""
    segment_id = segment_id_of(segment)
    after = place_after(segment_id, cursor)
    async with services_of(request).database.snapshot() as connection:
        await read_segment(PostgresSegments(connection), segment_id)
        found = await page_of_pins(connection, segment_id, after, limit + 1)
        total = await count_pins(connection, segment_id)
    page = found[:limit]
    data = {
        "pins": [pin_data(pin) for pin in page],
        "next_cursor": cursor_after(segment_id, page[-1].customer_id) if len(found) > limit else None,
        "total": total,
    }
    return answer(data, f"{len(page)} of {total} pins")


@router.delete(
    "/{segment}/pins",
    response_model=Answer[PinsChanged],
    summary="Remove pins",
    openapi_extra=body_docs(CustomersBody, _EXAMPLES, is_required=False),
)
async def unpin(request: Request, identity: Updater, segment: SegmentPath) -> Response:
    """Removes the pins of these customers, or without a body all of the segment; the criteria decide again at once.

    A body that is announced and empty names nobody by mistake, and is refused.
    """
    return await _change(request, identity, segment, UNPIN, "are pinned no more", is_for_all=True)


async def _change(
    request: Request, identity: Identity, segment: str, action: str, said: str, *, is_for_all: bool = False
) -> Response:
    segment_id = segment_id_of(segment)
    is_for_all = is_for_all and not is_body_announced(request)
    body = await (read_body_if_any if is_for_all else read_body)(request, CustomersBody, BODY_BYTES_MAX)
    customers = None if body is None else named_customers(body.customer_ids)
    change = PinChange(segment_id, action, author_of(identity), time.time_ns() // 1_000)
    report = await change_by_hand(services_of(request), change, customers)
    return answer(pins_changed(report), f"{report.added + report.removed} customers {said}")
