"""Campaigns in answers: how one is named in an address, and how it is shown with what came of it."""

from __future__ import annotations

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import Path, Request, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from service.adapters.postgres.campaigns.performance import counts_of
from service.adapters.postgres.campaigns.store import PostgresCampaigns
from service.api.bodies import answer
from service.api.campaign_schemas import campaign_data
from service.api.errors import etag
from service.api.services import services_of
from service.app.campaigns.campaigns import CampaignMissing, CampaignQuery
from service.core.campaigns.model import Campaign
from service.core.identity import UUID_FORM

#: In answers about a segment; GET .../campaigns has the others, by pages.
CAMPAIGNS_SHOWN_MAX: Final = 50

CampaignPath = Annotated[str, Path(description="The campaign's id, a UUID")]


def campaign_id_of(campaign: str) -> UUID:
    """The id in an address; what is no UUID names no campaign.

    Raises:
        CampaignMissing: the text has not the form of a UUID.
    """
    if not UUID_FORM.fullmatch(campaign):
        raise CampaignMissing(f'"{campaign}"; campaigns are named by ids of the form 8-4-4-4-12')
    return UUID(campaign)


async def answer_campaign(
    connection: AsyncConnection, campaign: Campaign, message: str, status: int = 200, location: str | None = None
) -> Response:
    """The answer that shows one campaign as it is in this transaction."""
    data = (await shown_campaigns(connection, [campaign]))[0]
    headers = {"etag": etag(campaign.revision), **({} if location is None else {"location": location})}
    return answer(data, message, status, headers)


async def answer_changed(
    request: Request, campaign: Campaign, message: str, status: int = 200, location: str | None = None
) -> Response:
    """The answer that shows what a change has left; only once that is committed.

    To count what came of a large campaign takes long. Nobody waits for it under the campaign's lock, and a pause does
    not wait for it to hold.
    """
    async with services_of(request).database.snapshot() as connection:
        return await answer_campaign(connection, campaign, message, status, location)


async def campaigns_of(connection: AsyncConnection, segment_id: UUID) -> list[dict[str, Any]]:
    """The newest campaigns of a segment, as answers about the segment alone show them."""
    found, _ = await PostgresCampaigns(connection).page(CampaignQuery(segment_id, limit=CAMPAIGNS_SHOWN_MAX))
    return await shown_campaigns(connection, list(found))


async def shown_campaigns(connection: AsyncConnection, campaigns: list[Campaign]) -> list[dict[str, Any]]:
    """Campaigns with what came of each."""
    ids = [one.id for one in campaigns]
    counts = await counts_of(connection, ids)
    messages = await PostgresCampaigns(connection).counts(ids)
    return [campaign_data(one, counts[one.id], messages[one.id]) for one in campaigns]
