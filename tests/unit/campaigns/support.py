"""Campaigns and instants of tests."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from service.core import instants
from service.core.campaigns.model import Campaign, Options

CAMPAIGN = UUID("3f0c1d7e-9a52-4c1e-8f37-2b6f0a9d4e11")
SEGMENT = UUID("9c2e7d10-44aa-4f0b-8a6d-0f3b5c7d9e21")
CUSTOMER = UUID("c2a3b9f0-5d61-4b7e-9c1a-7e8d6f5a4b3c")
MESSAGE = UUID("f1d4c431-da3d-5b76-879b-acb27b5ac45e")


def campaign(options: dict[str, Any] | None = None, **fields: Any) -> Campaign:
    """A marketing e-mail, or what the fields say."""
    channel = fields.pop("channel", "email")
    return Campaign(
        id=CAMPAIGN,
        segment_id=SEGMENT,
        campaign_name="Win back",
        campaign_type=fields.pop("campaign_type", channel),
        channel=channel,
        options=Options(**(options or {})),
        **fields,
    )


def at(text: str) -> int:
    """Microseconds."""
    return instants.parse(text)
