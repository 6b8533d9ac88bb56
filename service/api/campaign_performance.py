"""The route of what came of a campaign."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from service.adapters.postgres.campaigns.performance import PostgresPerformance, performance_store
from service.adapters.postgres.campaigns.store import PostgresCampaigns
from service.api.analytics import Percent
from service.api.asking import AsOf, asked_of
from service.api.bodies import answer
from service.api.campaign_answers import CampaignPath, campaign_id_of
from service.api.questions import questions_of
from service.api.schemas import Answer, Money
from service.api.segments import BASE, Reader
from service.api.services import services_of
from service.app.campaigns.campaigns import read_campaign
from service.app.campaigns.performance import performance
from service.core import instants

router: Final = APIRouter(prefix=f"{BASE}/campaigns", tags=["campaigns"])


class PerformanceData(BaseModel):
    """What came of a campaign; docs/campaigns-measurement.md says how each figure is computed."""

    campaign_id: UUID
    recipients_count: Annotated[int, Field(description="Messages that were sent, or may have been")]
    opened_count: Annotated[int, Field(description="By people; directional, see the documentation")]
    clicked_count: int
    converted_count: Annotated[int, Field(description="Recipients with an order that is credited to the campaign")]
    delivery_rate: Annotated[Percent, Field(description="Of the recipients")]
    open_rate: Annotated[Percent, Field(description="Of the delivered, like the rates below")]
    click_rate: Percent
    conversion_rate: Percent
    click_to_open: Annotated[Percent, Field(description="Of the opened")]
    unsubscribe_rate: Percent
    complaint_rate: Percent
    bounce_rate: Annotated[Percent, Field(description="Of the recipients")]
    roi: Annotated[Percent, Field(description="100 * (revenue * margin - sending - fixed) / cost")]
    roi_defined: Annotated[bool, Field(description="false: nothing was spent, and roi is 0")]
    attributed_revenue: Annotated[Money, Field(description="Net of refunds and cancellations; it may fall later")]
    cost: Annotated[Money, Field(description="Sending, fixed cost and discounts")]
    discount_given: Money
    delivered: int
    opened_incl_machine: int
    unsubscribed_count: int
    complained_count: int
    bounced_count: int
    control_count: Annotated[int, Field(description="Customers who were held out")]
    attributed_orders: int
    redeemed_count: Annotated[int, Field(description="Orders with one of the campaign's codes")]
    redeemed_by_other: Annotated[int, Field(description="Orders with the code of another customer")]
    redeemed_again: Annotated[int, Field(description="Orders with a code of one use that was used before")]
    as_of: datetime
    currency: str
    computed_at: datetime


@router.get("/{campaign}/performance", response_model=Answer[PerformanceData], summary="What came of a campaign")
async def campaign_performance(request: Request, _: Reader, campaign: CampaignPath, as_of: AsOf = None) -> Response:
    """Answers deliveries, opens, clicks, orders, revenue and cost of a campaign, as known now, up to an instant.

    An order is credited to one campaign at most: the one whose code was used with it, else the last touch before it.
    """
    campaign_id = campaign_id_of(campaign)
    asked = asked_of(request, as_of)
    services = services_of(request)
    async with services.database.snapshot() as connection:  # who is missing need not wait for a turn
        await read_campaign(PostgresCampaigns(connection), campaign_id)
    questions = questions_of(request)
    seconds_max = questions.preview_seconds_max
    async with (
        questions.turn(),
        performance_store(services.database, seconds_max, "SEGMENTS_PREVIEW_SECONDS_MAX") as connection,
    ):
        found = await read_campaign(PostgresCampaigns(connection), campaign_id)
        figures = await performance(PostgresPerformance(connection), found, asked.at)
    data = {
        **figures,
        "currency": request.app.state.settings.currency,
        "computed_at": instants.to_text(services.clock()),
    }
    return answer(data, f"{figures['recipients_count']} recipients")
