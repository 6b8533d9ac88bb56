"""The route that ends a backfill before its time."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from fastapi import APIRouter, Query, Request, Response

from service.adapters.postgres.segments import PostgresSegments
from service.api.bodies import answer
from service.api.campaign_answers import campaigns_of
from service.api.etags import Expected, etag_headers
from service.api.once import OnceRoute
from service.api.schemas import Answer, SegmentData, shown_segment
from service.api.segments import BASE, SegmentPath, Updater, author_of, segment_id_of
from service.api.services import services_of
from service.app.segment_changes import cancel_backfill

router: Final = APIRouter(prefix=BASE, tags=["segments"], route_class=OnceRoute)


@router.post(
    "/{segment}/backfill/cancel",
    response_model=Answer[SegmentData],
    responses={400: {}, 409: {}, 412: {}},
    summary="Cancel a running backfill",
)
async def cancel(
    request: Request,
    identity: Updater,
    segment: SegmentPath,
    expected: Expected,
    emit: Annotated[
        Literal["all", "none"] | None,
        Query(description="none: joins and leaves are not published; without it, as the change that is cancelled"),
    ] = None,
) -> Response:
    """Goes back to the status and criteria before the change whose backfill runs; a new segment becomes a draft.

    Customers whom the backfill has reached already are brought back by a backfill of its own.
    """
    segment_id = segment_id_of(segment)
    services = services_of(request)
    async with services.database.transaction() as connection:
        store = PostgresSegments(connection)
        back = await cancel_backfill(
            store,
            services.clock,
            author_of(identity),
            segment_id,
            is_silent=None if emit is None else emit == "none",
            expected=expected,
        )
        campaigns = await campaigns_of(connection, back.id)
        data = shown_segment(back, await store.complete_to(services.clock()), campaigns)
    return answer(data, "The backfill has been cancelled", headers=etag_headers(back))
