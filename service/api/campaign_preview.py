"""The route that shows what a campaign would say and to how many, before anything is sent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator
from sqlalchemy.ext.asyncio import AsyncConnection

from service.adapters.postgres.campaigns.people import people_of
from service.adapters.postgres.campaigns.reach import reach_of
from service.adapters.postgres.campaigns.store import PostgresCampaigns
from service.adapters.postgres.limited import limited_snapshot
from service.adapters.postgres.segments import PostgresSegments
from service.api.bodies import answer, body_docs, read_body_if_any
from service.api.campaign_answers import CampaignPath, campaign_id_of
from service.api.campaign_rules import CampaignRules, rules_of
from service.api.errors import Fault, etag, refused
from service.api.questions import questions_of
from service.api.schemas import Answer, FaultData
from service.api.segments import BASE, Reader
from service.api.services import services_of
from service.app.campaigns.campaigns import CampaignRefused, read_campaign
from service.app.campaigns.checks import check_whole, compiled
from service.app.campaigns.preview import SAMPLE_DEFAULT, SAMPLE_MAX, Reach, rendered_for
from service.app.campaigns.preview_tokens import LASTS, make_token
from service.app.dispatch.model import Person
from service.app.tokens import Permission
from service.core import instants
from service.core.campaigns.faults import Fault as CampaignFault
from service.core.campaigns.model import Campaign
from service.core.campaigns.secrets import Purpose
from service.core.campaigns.validate import warnings
from service.core.identity import customer_uuid

router: Final = APIRouter(prefix=f"{BASE}/campaigns", tags=["campaigns"])

_EXAMPLES: Final = {"some members": {"sample": 5}, "one customer": {"customer_id": "C-1001"}}
#: Stands in messages that are only looked at, and leads nowhere.
_NOWHERE: Final = "https://example.com"


class PreviewBody(BaseModel):
    """For whom to render it: one customer, or the first members by id."""

    model_config = ConfigDict(extra="forbid")

    customer_id: Annotated[
        str | None, Field(min_length=1, max_length=128, description="As the events give it, or as UUID")
    ] = None
    sample: Annotated[int, Field(ge=0, le=SAMPLE_MAX, strict=True)] = SAMPLE_DEFAULT

    @model_validator(mode="after")
    def _one_of_them(self) -> PreviewBody:
        if self.customer_id is not None and "sample" in self.model_fields_set:
            msg = "has customer_id and sample; give one of them"
            raise ValueError(msg)
        return self


class PreviewedData(BaseModel):
    """What one customer would get. Without customers:read_pii names and e-mails are masked."""

    customer_id: UUID
    external_id: str
    subject: str | None
    title: str | None
    text: str | None
    html: str | None
    sms_segments: Annotated[int | None, Field(description="In how many parts an SMS is sent, and charged")]
    error: Annotated[str | None, Field(description="Why it cannot be rendered for this customer")]


class AudienceData(BaseModel):
    """The segment's members now, by what would become of their message."""

    size: int
    eligible: Annotated[int, Field(description="Quiet hours and caps may still hold their message back")]
    control: int
    suppressed: Annotated[dict[str, int], Field(examples=[{"no_address": 3, "no_consent": 12}])]


class CampaignPreviewData(BaseModel):
    """What a campaign would say, and to how many."""

    customers: list[PreviewedData]
    audience: AudienceData
    warnings: Annotated[list[FaultData], Field(description="What may be meant so, and probably is not")]
    faults: Annotated[list[FaultData], Field(description="What it cannot be scheduled with")]
    revision: int
    preview_token: Annotated[str | None, Field(description="Lets this revision go to many")]
    preview_token_expires_at: datetime | None


@router.post(
    "/{campaign}/preview",
    response_model=Answer[CampaignPreviewData],
    responses={429: {}},
    summary="Preview a campaign",
    openapi_extra=body_docs(PreviewBody, _EXAMPLES, is_required=False),
)
async def preview(request: Request, identity: Reader, campaign: CampaignPath) -> Response:
    """Renders the campaign for some customers and counts whom it would reach. Nothing is stored or sent."""
    campaign_id = campaign_id_of(campaign)
    body = await read_body_if_any(request, PreviewBody) or PreviewBody()
    services, rules, questions = services_of(request), rules_of(request), questions_of(request)
    limit = questions.preview_seconds_max
    async with (
        questions.turn(),
        limited_snapshot(services.database, limit, "SEGMENTS_PREVIEW_SECONDS_MAX") as connection,
    ):
        found = await read_campaign(PostgresCampaigns(connection), campaign_id)
        template = await asyncio.to_thread(compiled, rules.templates, found)
        people = await _people(connection, found, body)
        names = await PostgresSegments(connection).names([found.segment_id])
        reach = await reach_of(connection, found, rules.key(Purpose.ADDRESSES))
    shown = await asyncio.to_thread(
        rendered_for,
        people,
        template,
        found,
        names.get(found.segment_id, ""),
        unsubscribe_url=f"{rules.public_url or _NOWHERE}/u/preview",
        can_read_pii=identity.can(Permission.READ_PII),
    )
    faults = await asyncio.to_thread(_faults, rules, found, services.clock())
    data = {
        "customers": shown,
        "audience": reach._asdict(),
        "warnings": [one._asdict() for one in (*warnings(found), *_lacking(rules, found))],
        "faults": [one._asdict() for one in faults],
        "revision": found.revision,
        **_token(rules, found),
    }
    return answer(data, _said(reach), headers={"etag": etag(found.revision)})


async def _people(connection: AsyncConnection, campaign: Campaign, body: PreviewBody) -> Sequence[Person]:
    """Whom to render it for.

    Raises:
        ApiError: invalid, there is no such customer.
    """
    if body.customer_id is None:
        ids = await PostgresSegments(connection).member_ids(campaign.segment_id, body.sample)
        return await people_of(connection, ids, campaign.segment_id)
    found = await people_of(connection, [customer_uuid(body.customer_id)], campaign.segment_id)
    if found[0].external_id is None:
        raise refused([Fault("customer_id", "names no customer that there is", "unknown_customer")])
    return found


def _faults(rules: CampaignRules, campaign: Campaign, now: int) -> Sequence[CampaignFault]:
    """What stands in the way of the campaign as it is, but for a time that is given when it is scheduled."""
    try:
        check_whole(campaign, now, rules.templates)
    except CampaignRefused as error:
        return error.faults
    return ()


def _lacking(rules: CampaignRules, campaign: Campaign) -> Sequence[CampaignFault]:
    """What the settings lack for this campaign's messages to leave."""
    if campaign.channel != "email" or not campaign.is_marketing or rules.public_url is not None:
        return ()
    return (CampaignFault("channel", "needs SEGMENTS_PUBLIC_URL, for e-mail must say where to unsubscribe", "no_url"),)


def _token(rules: CampaignRules, campaign: Campaign) -> dict[str, str | None]:
    key = rules.key(Purpose.PREVIEWS)
    if key is None:
        return {"preview_token": None, "preview_token_expires_at": None}
    now = time.time_ns() // 1_000
    token = make_token(key, campaign.id, campaign.revision, now)
    return {"preview_token": token, "preview_token_expires_at": instants.to_text(now + LASTS)}


def _said(reach: Reach) -> str:
    return f"{reach.eligible} of {reach.size} members would get it"
