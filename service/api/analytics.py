"""The route of a segment's analytics."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from service.adapters.postgres.segments import PostgresSegments
from service.api.asking import TREND_DAYS_DEFAULT, AsOf, TrendDays, Zone, analytics_of, asked_of
from service.api.bodies import answer
from service.api.schemas import Answer, Money
from service.api.segments import BASE, Reader, SegmentPath, segment_id_of
from service.api.services import services_of
from service.app.analytics import (
    ACTIVE_DAYS,
    DAYS_MAX,
    WINDOW_DAYS,
    Question,
    analytics,
    analytics_data,
    warnings_of,
)
from service.app.segments import read_segment
from service.core import instants

router: Final = APIRouter(prefix=BASE, tags=["analytics"])

Percent = Annotated[float, Field(description="2 decimals", examples=[33.33])]
Ratio = Annotated[float, Field(description="4 decimals", examples=[1.25])]


class CountData(BaseModel):
    """Members at the end of a local day."""

    date: date
    count: int


class AmountData(BaseModel):
    """Revenue of a local day."""

    date: date
    amount: Money


class WarningData(BaseModel):
    """What the reader of figures should know."""

    code: Literal["backfill_running", "behind"]
    message: str


class AnalyticsData(BaseModel):
    """Figures of a segment's members; docs/analytics.md says how each is computed."""

    total_customers: int
    active_customers: Annotated[int, Field(description="With an order within active_days")]
    growth_rate: Percent
    total_revenue: Annotated[Money, Field(description="Of the members, all the way back, net of refunds")]
    average_revenue_per_customer: Money
    revenue_contribution: Annotated[Percent, Field(description="Of the whole business, guests included")]
    average_order_frequency: Annotated[Ratio, Field(description="Orders a member in 365 days")]
    customer_lifetime_value: Money
    retention_rate: Annotated[Percent, Field(description="Of the members at the start of the window")]
    campaigns_sent: Annotated[int, Field(description="Sent by as_of; rates are means over those that reached anybody")]
    average_open_rate: Percent
    average_click_rate: Percent
    average_conversion_rate: Percent
    customer_growth_trend: list[CountData]
    revenue_trend: list[AmountData]
    growth_absolute: int
    growth_base: Annotated[int, Field(description="Members at the start of the window")]
    average_order_value: Money
    orders_per_buyer: Ratio
    clv_method: Literal["historic"]
    historic_clv: Money
    predicted_clv: Annotated[Money | None, Field(description="null: not predicted")]
    retention_base: int
    purchase_retention_rate: Annotated[Percent, Field(description="Buyers of the window before who bought again")]
    purchase_retention_base: int
    population: Literal["current", "at_time"]
    as_of: datetime
    window_days: int
    timezone: str
    currency: str
    data_through: Annotated[datetime, Field(description="Memberships are complete up to here")]
    computed_at: datetime
    warnings: list[WarningData]


@router.get("/{segment}/analytics", response_model=Answer[AnalyticsData], responses={429: {}}, summary="Analytics")
async def segment_analytics(
    request: Request,
    _: Reader,
    segment: SegmentPath,
    as_of: AsOf = None,
    window_days: Annotated[int, Query(ge=1, le=DAYS_MAX, description="Of growth and retention")] = WINDOW_DAYS,
    trend_days: TrendDays = TREND_DAYS_DEFAULT,
    active_days: Annotated[int, Query(ge=1, le=DAYS_MAX, description="Of active_customers")] = ACTIVE_DAYS,
    tz: Zone = None,
    population: Annotated[
        Literal["current", "at_time"],
        Query(description="at_time: revenue counts where its customer was a member at that instant; slower"),
    ] = "current",
) -> Response:
    """Answers size, growth, revenue, orders and retention of a segment, with trends by day, at one instant.

    A ratio over nothing is 0; the denominator stands beside it.
    """
    segment_id = segment_id_of(segment)
    asked = asked_of(request, as_of, tz)
    is_live = asked.is_live and population == "current"
    question = Question(
        segment_id,
        asked.at,
        is_live,
        window_days,
        trend_days,
        active_days,
        asked.zone,
        asked.zone_name,
        is_at_time=population == "at_time",
    )
    async with services_of(request).database.snapshot() as connection:  # who is missing need not wait for a turn
        await read_segment(PostgresSegments(connection), segment_id)
    async with analytics_of(request, is_live=is_live) as store:
        segments = PostgresSegments(store.connection)
        found = await read_segment(segments, segment_id)
        data_through = min(await segments.complete_to(asked.at), asked.at)
        figures = analytics_data(await analytics(store, question))
    data = {
        **figures,
        "currency": request.app.state.settings.currency,
        "data_through": instants.to_text(data_through),
        "computed_at": instants.to_text(services_of(request).clock()),
        "warnings": warnings_of(found, asked.at, data_through),
    }
    return answer(data, f"{figures['total_customers']} customers")
