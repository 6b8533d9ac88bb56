"""The route that lists a campaign's messages, by pages."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from service.adapters.postgres.campaigns.recipients import count_recipients, page_of_recipients
from service.adapters.postgres.campaigns.store import PostgresCampaigns
from service.api.bodies import answer
from service.api.campaign_answers import CampaignPath, campaign_id_of
from service.api.errors import Fault, refused
from service.api.schemas import Answer
from service.api.segments import BASE, Reader
from service.api.services import services_of
from service.app.campaigns.campaigns import read_campaign
from service.app.campaigns.recipients import CursorError, cursor_after, place_of, recipient_data

router: Final = APIRouter(prefix=f"{BASE}/campaigns", tags=["campaigns"])

MessageState = Literal["pending", "deferred", "leased", "sent", "control", "suppressed", "failed", "dead", "uncertain"]


class RecipientData(BaseModel):
    """One message: a customer and an occasion."""

    message_id: UUID
    customer_id: UUID
    external_id: Annotated[str, Field(description="The customer's id as the events gave it")]
    occasion: Annotated[str, Field(examples=["once", "join:3"])]
    state: MessageState
    reason: Annotated[str | None, Field(examples=["no_consent"], description="Why it was not sent, or not yet")]
    attempts: int
    discount_code: str | None
    occurred_at: Annotated[datetime, Field(description="Of the audience, or of the join or leave")]
    due_at: datetime
    expires_at: datetime
    sent_at: datetime | None
    delivered_at: datetime | None
    bounced_at: datetime | None
    opened_at: Annotated[datetime | None, Field(description="By a person; a machine's do not count")]
    clicked_at: datetime | None
    unsubscribed_at: datetime | None
    complained_at: datetime | None


class RecipientPage(BaseModel):
    """One page of a campaign's messages."""

    recipients: list[RecipientData]
    next_cursor: Annotated[str | None, Field(description="For the next page; null after the last")]
    total: Annotated[int, Field(description="In all pages; with ?state, of that state")]


@router.get("/{campaign}/recipients", response_model=Answer[RecipientPage], summary="List a campaign's recipients")
async def recipients(
    request: Request,
    _: Reader,
    campaign: CampaignPath,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
    cursor: Annotated[str | None, Query(max_length=200, description="next_cursor of the page before")] = None,
    state: MessageState | None = None,
) -> Response:
    """Lists who gets the campaign, who does not and why, and what became of each message."""
    campaign_id = campaign_id_of(campaign)
    try:
        after = None if cursor is None else place_of(campaign_id, cursor)
    except CursorError as error:
        raise refused([Fault("cursor", str(error), "invalid_cursor")]) from None
    async with services_of(request).database.snapshot() as connection:
        await read_campaign(PostgresCampaigns(connection), campaign_id)
        found = await page_of_recipients(connection, campaign_id, state, after, limit + 1)
        total = await count_recipients(connection, campaign_id, state)
    shown = found[:limit]
    following = cursor_after(campaign_id, shown[-1]) if len(found) > limit else None
    data = {"recipients": [recipient_data(one) for one in shown], "next_cursor": following, "total": total}
    return answer(data, f"{total} messages")
