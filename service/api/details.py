"""The route that reads one segment, with its customers if asked."""

from __future__ import annotations

from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from service.adapters.postgres.members import page_of_members
from service.adapters.postgres.segments import PostgresSegments
from service.api.bodies import answer
from service.api.campaign_answers import campaigns_of
from service.api.etags import etag_headers
from service.api.schemas import Answer, CustomerData, SegmentData, shown_segment
from service.api.segments import BASE, Reader, SegmentPath, segment_id_of
from service.api.services import services_of
from service.app.members import customer_of
from service.app.segments import read_segment
from service.app.tokens import Permission

#: How many `include_customers` answers at most; beyond it, page through /customers or export.
CUSTOMERS_MAX: Final = 1_000
CUSTOMER_IDS_MAX: Final = 10_000

router: Final = APIRouter(prefix=BASE, tags=["segments"])


class SegmentDetails(SegmentData):
    """A segment with its customers, where these are asked for."""

    customers: list[CustomerData] | None = None
    customers_complete: bool | None = None
    customer_ids: list[UUID] | None = None
    customer_ids_complete: bool | None = None


@router.get("/{segment}", response_model=Answer[SegmentDetails], summary="Read a segment")
async def read(
    request: Request,
    identity: Reader,
    segment: SegmentPath,
    include_customers: Annotated[
        bool,
        Query(
            description=f"Adds customers, at most {CUSTOMERS_MAX}, and customer_ids, at most {CUSTOMER_IDS_MAX}, each "
            "with whether it is complete"
        ),
    ] = False,
) -> Response:
    """Answers one segment."""
    segment_id = segment_id_of(segment)
    services = services_of(request)
    async with services.database.snapshot() as connection:
        store = PostgresSegments(connection)
        found = await read_segment(store, segment_id)
        campaigns = await campaigns_of(connection, segment_id)
        data = shown_segment(found, await store.complete_to(services.clock()), campaigns)
        if include_customers:
            members = await page_of_members(connection, segment_id, None, CUSTOMERS_MAX + 1)
            ids = await store.member_ids(segment_id, CUSTOMER_IDS_MAX + 1)
            can_read_pii = identity.can(Permission.READ_PII)
            data |= {
                "customers": [customer_of(one, can_read_pii=can_read_pii) for one in members[:CUSTOMERS_MAX]],
                "customers_complete": len(members) <= CUSTOMERS_MAX,
                "customer_ids": [str(one) for one in ids[:CUSTOMER_IDS_MAX]],
                "customer_ids_complete": len(ids) <= CUSTOMER_IDS_MAX,
            }
    return answer(data, "The segment", headers=etag_headers(found))
