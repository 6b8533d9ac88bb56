"""The route that looks a segment over and repairs what does not follow from the facts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Final

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from service.adapters.postgres.repair import PostgresBase
from service.adapters.postgres.segments import PostgresSegments
from service.api.bodies import answer
from service.api.campaign_answers import campaigns_of
from service.api.errors import ApiError
from service.api.etags import etag_headers
from service.api.guard import RETRY_SECONDS
from service.api.once import OnceRoute
from service.api.schemas import Answer, SegmentData, shown_segment
from service.api.segments import BASE, SegmentPath, Updater, segment_id_of
from service.api.services import services_of
from service.app.pins import Contention
from service.app.rebuild import Rebuilt, rebuild
from service.app.repair import RepairStopped
from service.app.segments import SegmentConflict, read_segment
from service.app.verify import VerifyError

router: Final = APIRouter(prefix=BASE, tags=["segments"], route_class=OnceRoute)


class RepairedData(BaseModel):
    """What was not as the facts say, and is now; all of it published."""

    joined: Annotated[int, Field(description="Customers who are members of this segment again")]
    left: Annotated[int, Field(description="Customers who are members of this segment no more")]
    profiles: Annotated[int, Field(description="Customers of whom anything stored was repaired, in any segment")]
    set_aside: Annotated[int, Field(description="Customers who could not be recounted; `segments rebuild` names them")]


class RefreshedSegment(SegmentData):
    """A segment that follows from the facts."""

    repaired: RepairedData


@router.post(
    "/{segment}/refresh",
    response_model=Answer[RefreshedSegment],
    responses={409: {}, 429: {}, 503: {}},
    summary="Verify a segment and repair it",
)
async def refresh(request: Request, _: Updater, segment: SegmentPath) -> Response:
    """Recomputes the members, and everybody's profile, from the facts; repairs what differs and publishes it.

    Membership is kept up to date by itself: this is for after an accident, and finds nothing in a sound database.
    Differences are published with the reason rebuild. A customer who differs is repaired in all segments.
    """
    segment_id = segment_id_of(segment)
    services = services_of(request)
    async with services.database.snapshot() as connection:
        found = await read_segment(PostgresSegments(connection), segment_id)
    if not found.is_live:
        msg = f"The segment is {found.status} and has no members to refresh; make it active first"
        raise SegmentConflict(msg)
    base = PostgresBase(services.database, services.batches.repairs)
    async with _turn(services.refreshes):
        done = await rebuild(base, services.clock, [segment_id], is_emitting=True)
    async with services.database.snapshot() as connection:
        store = PostgresSegments(connection)
        found = await read_segment(store, segment_id)
        shown = shown_segment(
            found, await store.complete_to(services.clock()), await campaigns_of(connection, segment_id)
        )
    data = {**shown, "repaired": _repaired(done)}
    return answer(data, _sentence(data["repaired"]), headers=etag_headers(found))


@asynccontextmanager
async def _turn(turns: asyncio.Semaphore) -> AsyncIterator[None]:
    """Takes a turn for the length of the block; says what stopped a rebuild.

    Raises:
        ApiError: another refresh is under way, or the database did not let this one end.
        SegmentConflict: the stored criteria cannot be read, or the segment is active no more.
    """
    headers = {"retry-after": str(RETRY_SECONDS)}
    if turns.locked():
        message = "Another refresh is under way; try again when it has ended"
        raise ApiError("too_many", message, headers=headers)
    async with turns:
        try:
            yield
        except VerifyError as error:
            raise SegmentConflict(str(error)) from None
        except Contention:
            message = "Others are changing the same customers; what is repaired so far stays, try again"
            raise ApiError("unavailable", message, headers=headers) from None
        except RepairStopped as error:
            raise ApiError("unavailable", str(error)) from None


def _repaired(done: Rebuilt) -> dict[str, Any]:
    """As RepairedData; joined and left are those of the segment that was asked for."""
    repaired = done.repaired
    assert repaired is not None  # noqa: S101 - it was to be repaired
    (report,) = done.report.segments
    segment_id = report.segment.segment_id
    return {
        "joined": repaired.joined[segment_id],
        "left": repaired.left[segment_id],
        "profiles": repaired.customers,
        "set_aside": len(repaired.set_aside),
    }


def _sentence(repaired: dict[str, Any]) -> str:
    if not any(repaired.values()):
        return "The segment follows from the facts; nothing was to be repaired"
    return f"Repaired: {repaired['joined']} joined, {repaired['left']} left, {repaired['profiles']} profiles"
