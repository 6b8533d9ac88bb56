"""Routes that let a campaign's messages leave, hold them back, or end it."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Response

from service.adapters.postgres.campaigns.store import PostgresCampaigns
from service.adapters.postgres.segments import PostgresSegments
from service.api.auth import Requires
from service.api.bodies import body_docs, read_body_if_any
from service.api.campaign_answers import CampaignPath, answer_changed, campaign_id_of
from service.api.campaign_bodies import ScheduleBody, SendBody
from service.api.campaign_rules import check_may_send, launch_of
from service.api.campaign_schemas import CampaignData
from service.api.etags import Expected
from service.api.once import OnceRoute
from service.api.schemas import Answer
from service.api.segments import BASE, author_of
from service.api.services import services_of
from service.app.campaigns.actions import cancel_campaign, pause_campaign, resume_campaign
from service.app.campaigns.changes import expected_campaign
from service.app.campaigns.launch import schedule_campaign, send_campaign
from service.app.tokens import Identity, Permission

router: Final = APIRouter(prefix=f"{BASE}/campaigns", tags=["campaigns"], route_class=OnceRoute)

Sender = Annotated[Identity, Depends(Requires(Permission.SEND))]

_DONE: Final[dict[int | str, dict[str, Any]]] = {400: {}, 409: {}, 412: {}}
_TOKEN: Final = "v1.AAAAAGYAAAAhVd0mT3qXq3m0c1S8mJ4w"  # noqa: S105 - an example
_SCHEDULE_EXAMPLES: Final = {
    "at its own time": {},
    "at another": {"scheduled_at": "2030-03-01T09:00:00Z"},
    "to many": {"scheduled_at": "2030-03-01T09:00:00Z", "preview_token": _TOKEN},
}
_SEND_EXAMPLES: Final = {"to some": {}, "to many": {"preview_token": _TOKEN}}


@router.post(
    "/{campaign}/schedule",
    response_model=Answer[CampaignData],
    responses=_DONE,
    summary="Schedule a campaign",
    openapi_extra=body_docs(ScheduleBody, _SCHEDULE_EXAMPLES, is_required=False),
)
async def schedule(request: Request, identity: Sender, campaign: CampaignPath, expected: Expected) -> Response:
    """A draft goes to whoever is a member at scheduled_at. One that joins or leaves fire listens from now on."""
    campaign_id = campaign_id_of(campaign)
    body = await read_body_if_any(request, ScheduleBody) or ScheduleBody()
    async with services_of(request).database.transaction() as connection:
        store, segments = PostgresCampaigns(connection), PostgresSegments(connection)
        draft = await expected_campaign(store, campaign_id, expected)
        launch = await launch_of(request, connection, identity, draft, body.preview_token)
        await segments.note_author(author_of(identity))
        begun = await schedule_campaign(store, segments, launch, draft, body.scheduled_at)
    return await answer_changed(request, begun, "The campaign has been scheduled")


@router.post(
    "/{campaign}/send",
    response_model=Answer[CampaignData],
    responses=_DONE,
    summary="Send a campaign now",
    openapi_extra=body_docs(SendBody, _SEND_EXAMPLES, is_required=False),
)
async def send(request: Request, identity: Sender, campaign: CampaignPath, expected: Expected) -> Response:
    """A draft goes to whoever is a member now. One that joins or leaves fire listens from now on."""
    campaign_id = campaign_id_of(campaign)
    body = await read_body_if_any(request, SendBody) or SendBody()
    async with services_of(request).database.transaction() as connection:
        store, segments = PostgresCampaigns(connection), PostgresSegments(connection)
        draft = await expected_campaign(store, campaign_id, expected)
        launch = await launch_of(request, connection, identity, draft, body.preview_token)
        await segments.note_author(author_of(identity))
        begun = await send_campaign(store, segments, launch, draft)
    return await answer_changed(request, begun, "The campaign has begun")


@router.post(
    "/{campaign}/pause", response_model=Answer[CampaignData], responses=_DONE, summary="Hold a campaign's messages back"
)
async def pause(request: Request, identity: Sender, campaign: CampaignPath, expected: Expected) -> Response:
    """Nothing leaves until it is resumed. Joins and leaves still count meanwhile; their messages wait."""
    campaign_id = campaign_id_of(campaign)
    async with services_of(request).database.transaction() as connection:
        store = PostgresCampaigns(connection)
        found = await expected_campaign(store, campaign_id, expected)
        await PostgresSegments(connection).note_author(author_of(identity))
        paused = await pause_campaign(store, found, identity.sub)
    return await answer_changed(request, paused, "The campaign has been paused")


@router.post(
    "/{campaign}/resume", response_model=Answer[CampaignData], responses=_DONE, summary="Go on with a paused campaign"
)
async def resume(request: Request, identity: Sender, campaign: CampaignPath, expected: Expected) -> Response:
    """Goes on where the campaign was paused."""
    campaign_id = campaign_id_of(campaign)
    async with services_of(request).database.transaction() as connection:
        store = PostgresCampaigns(connection)
        found = await expected_campaign(store, campaign_id, expected)
        check_may_send(identity, found)
        await PostgresSegments(connection).note_author(author_of(identity))
        resumed = await resume_campaign(store, found, identity.sub)
    return await answer_changed(request, resumed, "The campaign goes on")


@router.post("/{campaign}/cancel", response_model=Answer[CampaignData], responses=_DONE, summary="End a campaign")
async def cancel(request: Request, identity: Sender, campaign: CampaignPath, expected: Expected) -> Response:
    """Ends a campaign for good: what has left has left, what waits never will."""
    campaign_id = campaign_id_of(campaign)
    async with services_of(request).database.transaction() as connection:
        store = PostgresCampaigns(connection)
        found = await expected_campaign(store, campaign_id, expected)
        await PostgresSegments(connection).note_author(author_of(identity))
        ended, waiting = await cancel_campaign(store, found, identity.sub)
    return await answer_changed(request, ended, f"The campaign has ended; {waiting} messages will not leave")
