"""Routes of campaigns: create, list, read, change, delete."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response

from service.adapters.postgres.campaigns.store import PostgresCampaigns
from service.adapters.postgres.segments import PostgresSegments
from service.api.bodies import answer, body_docs, read_body
from service.api.campaign_answers import CampaignPath, answer_campaign, answer_changed, campaign_id_of, shown_campaigns
from service.api.campaign_bodies import CampaignChangeBody, CampaignType, NewCampaignBody
from service.api.campaign_rules import check_may_send, launch_of
from service.api.campaign_schemas import CampaignData, CampaignPage, StateName, StatusName
from service.api.errors import ApiError, Fault, refused
from service.api.etags import Expected
from service.api.once import OnceRoute, once_id
from service.api.schemas import Answer
from service.api.segments import BASE, Creator, Deleter, Reader, SegmentPath, Updater, author_of, segment_id_of
from service.api.services import services_of
from service.app.campaigns.actions import unschedule_campaign
from service.app.campaigns.campaigns import CampaignQuery, read_campaign
from service.app.campaigns.changes import (
    create_campaign,
    delete_campaign,
    expected_campaign,
    new_campaign,
    update_campaign,
)
from service.app.campaigns.launch import schedule_campaign, send_campaign
from service.app.segments import read_segment
from service.core.campaigns.states import STATUS, State

CAMPAIGNS: Final = f"{BASE}/campaigns"

router: Final = APIRouter(prefix=BASE, tags=["campaigns"], route_class=OnceRoute)

_NEWS: Final[dict[str, Any]] = {
    "campaign_name": "Spring news",
    "campaign_type": "email",
    "subject": "{{ customer.first_name | default: 'Hello' }}, spring is here",
    "content": "<p>See what is new.</p>",
    "scheduled_at": "2030-03-01T09:00:00Z",
}
_CREATE_EXAMPLES: Final = {
    "news as a draft": _NEWS,
    "a code for each who joins": {
        "campaign_name": "Welcome back",
        "campaign_type": "discount",
        "channel": "sms",
        "content": "15% off with {{ discount.code }}",
        "discount_type": "percentage",
        "discount_amount": "15.00",
        "code_generator": {"prefix": "BACK-"},
        "trigger": "on_joined",
        "delay": {"hours": 2},
        "holdout_percent": 10,
    },
}
_CHANGE_EXAMPLES: Final = {
    "another text": {"subject": "Spring is here", "content": "<p>See what is new.</p>"},
    "back to a draft": {"status": "draft"},
}


@router.post(
    "/{segment}/campaigns",
    status_code=201,
    response_model=Answer[CampaignData],
    summary="Create a campaign",
    openapi_extra=body_docs(NewCampaignBody, _CREATE_EXAMPLES),
)
async def create(request: Request, identity: Creator, segment: SegmentPath) -> Response:
    """Creates a draft. With status scheduled or with send_now it is whole and begins with the same request."""
    segment_id = segment_id_of(segment)
    body = await read_body(request, NewCampaignBody)
    if body.send_now and (body.scheduled_at is not None or body.status == "scheduled"):
        message = "does not go with scheduled_at or status: a campaign begins now or at its time"
        raise refused([Fault("send_now", message, "value_error")])
    author = author_of(identity)
    draft = new_campaign(once_id(request), segment_id, author, body.change())
    begins = body.send_now or body.status == "scheduled"
    if begins:
        check_may_send(identity, draft)
    async with services_of(request).database.transaction() as connection:
        store, segments = PostgresCampaigns(connection), PostgresSegments(connection)
        campaign, is_new = await create_campaign(store, segments, author, draft)
        if begins and is_new:
            launch = await launch_of(request, connection, identity, campaign, None)
            if body.send_now:
                campaign = await send_campaign(store, segments, launch, campaign)
            else:
                campaign = await schedule_campaign(store, segments, launch, campaign, None)
    location = f"{CAMPAIGNS}/{campaign.id}"
    return await answer_changed(request, campaign, "The campaign has been created", 201, location)


@router.get("/{segment}/campaigns", response_model=Answer[CampaignPage], summary="List a segment's campaigns")
async def list_all(
    request: Request,
    _: Reader,
    segment: SegmentPath,
    page: Annotated[int, Query(ge=1, le=1_000_000)] = 1,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    status: StatusName | None = None,
    state: StateName | None = None,
    campaign_type: CampaignType | None = None,
) -> Response:
    """Lists the campaigns that have not been deleted, the newest first."""
    segment_id = segment_id_of(segment)
    states = [one for one in State if status in (None, STATUS[one]) and state in (None, one)]
    query = CampaignQuery(segment_id, page, limit, states, campaign_type)
    async with services_of(request).database.snapshot() as connection:
        await read_segment(PostgresSegments(connection), segment_id)
        found, total = await PostgresCampaigns(connection).page(query)
        shown = await shown_campaigns(connection, list(found))
    return answer({"campaigns": shown, "total": total, "page": page, "limit": limit}, f"{total} campaigns")


@router.get("/campaigns/{campaign}", response_model=Answer[CampaignData], summary="Read a campaign")
async def read(request: Request, _: Reader, campaign: CampaignPath) -> Response:
    """Answers one campaign with what came of it so far."""
    campaign_id = campaign_id_of(campaign)
    async with services_of(request).database.snapshot() as connection:
        found = await read_campaign(PostgresCampaigns(connection), campaign_id)
        return await answer_campaign(connection, found, "The campaign")


@router.put(
    "/campaigns/{campaign}",
    response_model=Answer[CampaignData],
    responses={400: {}, 409: {}, 412: {}},
    summary="Change a campaign",
    openapi_extra=body_docs(CampaignChangeBody, _CHANGE_EXAMPLES),
)
async def update(request: Request, identity: Updater, campaign: CampaignPath, expected: Expected) -> Response:
    """Changes what the body names and leaves the rest, as long as the campaign is a draft.

    `status` takes a scheduled campaign back (draft), or schedules a draft (scheduled); the latter needs campaigns:send.
    """
    campaign_id = campaign_id_of(campaign)
    body = await read_body(request, CampaignChangeBody)
    if not body.model_fields_set:
        raise ApiError("invalid", f"The body must name at least one of {', '.join(CampaignChangeBody.model_fields)}")
    async with services_of(request).database.transaction() as connection:
        store, segments = PostgresCampaigns(connection), PostgresSegments(connection)
        found = await expected_campaign(store, campaign_id, expected)
        wanted = body.status if "status" in body.model_fields_set else None
        is_new_status = wanted not in (None, STATUS[State(found.state)])
        await segments.note_author(author_of(identity))
        if is_new_status and wanted == "draft":
            found = await unschedule_campaign(store, found, identity.sub)
        changed = await update_campaign(store, found, body.change())
        if is_new_status and wanted == "scheduled":
            launch = await launch_of(request, connection, identity, changed, None)
            changed = await schedule_campaign(store, segments, launch, changed, None)
    return await answer_changed(request, changed, "The campaign has been changed")


@router.delete(
    "/campaigns/{campaign}",
    response_model=Answer[CampaignData],
    responses={400: {}, 409: {}, 412: {}},
    summary="Delete a campaign",
)
async def delete(request: Request, _: Deleter, campaign: CampaignPath, expected: Expected) -> Response:
    """Deletes a campaign that is not sending: nobody finds it any more. One that sends is to be cancelled first."""
    campaign_id = campaign_id_of(campaign)
    async with services_of(request).database.transaction() as connection:
        gone = await delete_campaign(PostgresCampaigns(connection), campaign_id, expected)
    return await answer_changed(request, gone, "The campaign has been deleted")
