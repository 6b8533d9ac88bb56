"""Routes of a segment's movement: flows by day, cohorts by month."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from service.adapters.postgres.cohorts import PostgresCohorts
from service.adapters.postgres.flows import PostgresFlows
from service.adapters.postgres.segments import PostgresSegments
from service.api.asking import TREND_DAYS_DEFAULT, AsOf, TrendDays, Zone, analytics_of, asked_of
from service.api.bodies import answer
from service.api.schemas import Answer
from service.api.segments import BASE, Reader, SegmentPath, segment_id_of
from service.app.analytics import Question
from service.app.cohorts import MONTHS, MONTHS_MAX, CohortQuestion, Kind, cohorts
from service.app.flows import SEGMENTS_SHOWN_MAX, flows
from service.app.segments import read_segment

router: Final = APIRouter(prefix=BASE, tags=["analytics"])

Months = Annotated[int, Query(ge=1, le=MONTHS_MAX, description="Local months up to that of as_of")]


class DayData(BaseModel):
    """Joins and leaves of a local day, and the members at its end."""

    date: date
    inflow: int
    outflow: int
    net: int
    count: int


class OtherData(BaseModel):
    """Another segment, and how many of the moves were of its members."""

    segment_id: UUID
    segment_name: str
    count: int
    share: Annotated[float, Field(description="Of all joins, or leaves; 4 decimals")]


class FlowsData(BaseModel):
    """Movement of a segment."""

    days: list[DayData]
    inflow: Annotated[int, Field(description="Who joins again counts again")]
    outflow: int
    net: int
    unique_in: Annotated[int, Field(description="Different customers who joined")]
    unique_out: int
    sources: Annotated[list[OtherData], Field(description=f"They were in; {SEGMENTS_SHOWN_MAX} at most")]
    destinations: Annotated[list[OtherData], Field(description="Those who left were in; likewise")]
    as_of: datetime
    timezone: str


class CellData(BaseModel):
    """One month of a cohort."""

    offset: Annotated[int, Field(description="Months after the cohort's own")]
    month: Annotated[str, Field(examples=["2026-03"])]
    count: int
    percent: Annotated[float, Field(description="Of the cohort's size; 2 decimals")]
    partial: Annotated[bool, Field(description="The month is not over")]


class CohortData(BaseModel):
    """Customers who began in one month."""

    cohort: Annotated[str, Field(examples=["2026-01"])]
    size: int
    cells: list[CellData]


class CohortsData(BaseModel):
    """Cohorts by month; months in which nobody began are left out."""

    kind: Literal["purchase", "membership"]
    as_of: datetime
    timezone: str
    first_month: str
    last_month: str
    cohorts: list[CohortData]


@router.get(
    "/{segment}/flows", response_model=Answer[FlowsData], responses={429: {}}, summary="Joins and leaves by day"
)
async def segment_flows(
    request: Request,
    _: Reader,
    segment: SegmentPath,
    as_of: AsOf = None,
    trend_days: TrendDays = TREND_DAYS_DEFAULT,
    tz: Zone = None,
) -> Response:
    """Answers how many joined and left on each day, and which other segments they were in at that instant."""
    segment_id = segment_id_of(segment)
    asked = asked_of(request, as_of, tz)
    question = Question(
        segment_id, asked.at, asked.is_live, trend_days=trend_days, zone=asked.zone, zone_name=asked.zone_name
    )
    async with analytics_of(request, is_live=True) as store:  # memberships know their past, whatever the instant
        await read_segment(PostgresSegments(store.connection), segment_id)
        data = await flows(PostgresFlows(store), question)
    return answer(data, f"{data['inflow']} joined, {data['outflow']} left")


@router.get(
    "/{segment}/cohorts", response_model=Answer[CohortsData], responses={429: {}}, summary="Retention by cohorts"
)
async def segment_cohorts(
    request: Request,
    _: Reader,
    segment: SegmentPath,
    kind: Annotated[
        Kind, Query(description="purchase: members by their first order; membership: customers by their first join")
    ] = Kind.PURCHASE,
    as_of: AsOf = None,
    months: Months = MONTHS,
    tz: Zone = None,
) -> Response:
    """Answers, of those who began in a month, how many bought in each month after, or were members at its end."""
    return await _cohorts(request, kind, segment_id_of(segment), as_of, months, tz)


@router.get("/cohorts", response_model=Answer[CohortsData], responses={429: {}}, summary="Retention of all customers")
async def business_cohorts(
    request: Request, _: Reader, as_of: AsOf = None, months: Months = MONTHS, tz: Zone = None
) -> Response:
    """Answers, of those who ordered first in a month, how many bought in each month after."""
    return await _cohorts(request, Kind.PURCHASE, None, as_of, months, tz)


async def _cohorts(
    request: Request, kind: Kind, segment_id: UUID | None, as_of: str | None, months: int, tz: str | None
) -> Response:
    asked = asked_of(request, as_of, tz)
    question = CohortQuestion(kind, segment_id, asked.at, asked.is_live, months, asked.zone, asked.zone_name)
    async with analytics_of(request, is_live=asked.is_live) as store:
        if segment_id is not None:
            await read_segment(PostgresSegments(store.connection), segment_id)
        data = await cohorts(PostgresCohorts(store.connection), question)
    return answer(data, f"{len(data['cohorts'])} cohorts")
