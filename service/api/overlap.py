"""The route of what segments have in common."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from service.adapters.postgres.overlap import PostgresOverlap
from service.adapters.postgres.segments import PostgresSegments
from service.api.asking import AsOf, analytics_of, asked_of
from service.api.bodies import answer
from service.api.errors import Fault, refused
from service.api.schemas import Answer
from service.api.segments import BASE, Reader
from service.api.unhurried import in_thread
from service.app.overlap import SEGMENTS_MAX, SegmentsError, overlap_data, segment_ids_of
from service.app.segments import read_segment

#: Of 50 ids, with commas and spaces between.
SEGMENTS_CHARACTERS_MAX: Final = 2_000

router: Final = APIRouter(prefix=BASE, tags=["analytics"])


class OverlapSegment(BaseModel):
    """A segment of the matrix."""

    id: UUID
    segment_name: str
    total_customers: int


class OverlapCell(BaseModel):
    """Two segments, i by row and j by column; ratios have 4 decimals and are 0 over nothing."""

    count: Annotated[int, Field(description="Customers in both")]
    jaccard: Annotated[float, Field(description="Those in both, of those in either")]
    lift: Annotated[float, Field(description="1: as many as chance would have; of all customers")]
    share_i: Annotated[float, Field(description="Those in both, of those in i")]
    share_j: float


class OverlapData(BaseModel):
    """What segments have in common at one instant."""

    as_of: datetime
    customers: Annotated[int, Field(description="Everybody who was known")]
    segments: list[OverlapSegment]
    matrix: Annotated[list[list[OverlapCell]], Field(description="In the order of segments")]


@router.get("/overlap", response_model=Answer[OverlapData], responses={429: {}}, summary="What segments have in common")
async def overlap(
    request: Request,
    _: Reader,
    segments: Annotated[
        str,
        Query(max_length=SEGMENTS_CHARACTERS_MAX, description=f"Ids with commas between; 2 to {SEGMENTS_MAX}"),
    ],
    as_of: AsOf = None,
) -> Response:
    """Answers for each two of the segments how many customers are in both, and what that means against their sizes."""
    try:
        segment_ids = segment_ids_of(segments)
    except SegmentsError as error:
        raise refused([Fault("segments", str(error), "invalid_segments")]) from None
    asked = asked_of(request, as_of)
    async with analytics_of(request, is_live=asked.is_live) as store:
        named = PostgresSegments(store.connection)
        found = [await read_segment(named, one) for one in segment_ids]
        counted = await PostgresOverlap(store.connection).overlap(segment_ids, asked.at)
    return answer(await in_thread(overlap_data, counted, found, asked.at), f"{len(found)} segments")
