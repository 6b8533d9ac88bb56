"""Campaigns as they go out over HTTP, as OpenAPI shows them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from service.api.campaign_bodies import CampaignType, Channel
from service.api.campaign_values import shown_amount, shown_instant, shown_span
from service.api.schemas import Money
from service.app.campaigns.performance import Counts
from service.core.campaigns.model import Campaign, FrequencyCap, Options, QuietHours
from service.core.campaigns.states import STATUS, State

StateName = Literal["draft", "scheduled", "sending", "active", "paused", "sent", "cancelled", "failed"]
StatusName = Literal["draft", "scheduled", "sent", "cancelled"]


class CampaignData(BaseModel):
    """A campaign."""

    id: UUID
    segment_id: UUID
    campaign_name: str
    campaign_type: CampaignType
    channel: Channel
    category: Literal["marketing", "transactional"]
    subject: str | None
    title: str | None
    content: str | None
    discount_code: str | None
    code_generator: dict[str, str] | None
    discount_type: Literal["percentage", "fixed"] | None
    discount_amount: Money | None
    trigger: Literal["once", "on_joined", "on_left"]
    scheduled_at: datetime | None
    started_at: Annotated[datetime | None, Field(description="When its audience was taken, or it began to listen")]
    sent_at: Annotated[datetime | None, Field(description="When the last of it was settled")]
    status: Annotated[StatusName, Field(description="One of the four that there are for everybody")]
    state: Annotated[StateName, Field(description="Exactly where it is")]
    failure_reason: str | None
    recipients_count: Annotated[int, Field(description="Messages that were sent, or may have been")]
    opened_count: Annotated[int, Field(description="Of these, opened by people; machines do not count")]
    clicked_count: int
    converted_count: Annotated[int, Field(description="Recipients with an order that is credited to the campaign")]
    messages: Annotated[dict[str, int], Field(description="All messages, by their state")]
    reentry: Literal["first_only", "every_time"]
    min_gap: dict[str, int]
    delay: dict[str, int]
    fire_on: list[str]
    include_existing: bool
    recheck_membership: bool | None
    expires_at: datetime | None
    expires_after: dict[str, int]
    max_lateness: dict[str, int]
    holdout_percent: int
    priority: int
    quiet_hours: dict[str, str] | Literal[False] | None
    frequency_caps: list[dict[str, Any]] | None
    on_uncertain: Literal["hold", "resend"] | None
    tracking: bool
    cost_per_message: str
    fixed_cost: Money
    gross_margin: str
    revision: Annotated[int, Field(description="As in the ETag")]
    created_by: str
    created_at: datetime
    updated_at: datetime
    is_deleted: bool


class CampaignPage(BaseModel):
    """One page of a segment's campaigns, the newest first."""

    campaigns: list[CampaignData]
    total: int
    page: int
    limit: int


def campaign_data(campaign: Campaign, counts: Counts, messages: Mapping[str, int]) -> dict[str, Any]:
    """A campaign as the API shows it (CampaignData)."""
    return {
        "id": str(campaign.id),
        "segment_id": str(campaign.segment_id),
        "campaign_name": campaign.campaign_name,
        "campaign_type": campaign.campaign_type,
        "channel": campaign.channel,
        "category": campaign.category,
        "subject": campaign.subject,
        "title": campaign.options.title,
        "content": campaign.content,
        "discount_code": campaign.discount_code,
        "discount_type": campaign.discount_type,
        "discount_amount": shown_amount(campaign.discount_amount),
        "trigger": campaign.trigger,
        "scheduled_at": shown_instant(campaign.scheduled_at),
        "started_at": shown_instant(campaign.started_at),
        "sent_at": shown_instant(campaign.sent_at),
        "status": STATUS[State(campaign.state)],
        "state": campaign.state,
        "failure_reason": campaign.failure_reason,
        "recipients_count": counts.recipients,
        "opened_count": counts.opened,
        "clicked_count": counts.clicked,
        "converted_count": counts.converted,
        "messages": dict(sorted(messages.items())),
        **_options_data(campaign.options),
        "revision": campaign.revision,
        "created_by": campaign.created_by,
        "created_at": campaign.created_at,
        "updated_at": campaign.updated_at,
        "is_deleted": campaign.is_deleted,
    }


def _options_data(options: Options) -> dict[str, Any]:
    hours, caps = options.quiet_hours, options.frequency_caps
    return {
        "code_generator": None if options.code_generator is None else {"prefix": options.code_generator.prefix},
        "reentry": options.reentry,
        "min_gap": shown_span(options.min_gap_seconds),
        "delay": shown_span(options.delay_seconds),
        "fire_on": list(options.fire_on),
        "include_existing": options.include_existing,
        "recheck_membership": options.recheck_membership,
        "expires_at": shown_instant(options.expires_at),
        "expires_after": shown_span(options.expires_after_seconds),
        "max_lateness": shown_span(options.lateness_seconds_max),
        "holdout_percent": options.holdout_percent,
        "priority": options.priority,
        "quiet_hours": {"start": hours.start, "end": hours.end} if isinstance(hours, QuietHours) else hours,
        "frequency_caps": None if caps is None else [_cap_data(one) for one in caps],
        "on_uncertain": options.on_uncertain,
        "tracking": options.is_tracked,
        "cost_per_message": shown_amount(options.cost_per_message),
        "fixed_cost": shown_amount(options.fixed_cost),
        "gross_margin": shown_amount(options.gross_margin),
    }


def _cap_data(cap: FrequencyCap) -> dict[str, Any]:
    return {"max": cap.max, "per": shown_span(cap.per_seconds), "channel": cap.channel}
