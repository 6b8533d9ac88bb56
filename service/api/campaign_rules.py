"""What the routes of campaigns go by beside the database, and how they answer."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from fastapi import Request
from sqlalchemy.ext.asyncio import AsyncConnection

from service.adapters.liquid import LiquidTemplates
from service.adapters.postgres.campaigns.triggers import lock_activations
from service.adapters.postgres.members import count_members
from service.api.errors import ApiError
from service.api.services import services_of
from service.app.campaigns.launch import Confirmation, Launch
from service.app.campaigns.preview_tokens import is_valid
from service.app.campaigns.templates import Templates
from service.app.tokens import Identity, Permission
from service.core.campaigns.model import Campaign
from service.core.campaigns.secrets import Purpose, derived_key
from service.settings import Settings

_ALSO: Final = "The token lacks the permission {}, which {} needs; ask for one that carries it"


@dataclass(frozen=True)
class CampaignRules:
    """The settings of campaigns, as the API uses them.

    Attributes:
        unconfirmed_max: to more members than so many nothing is sent unseen.
        secret: all keys of campaigns are made from it; None where there is none.
        public_url: of this API, as links in messages have it.
    """

    unconfirmed_max: int
    secret: str | None
    public_url: str | None
    templates: Templates

    @classmethod
    def of(cls, settings: Settings) -> CampaignRules:
        """As the settings say."""
        secret = settings.campaign_secret or settings.jwt_secret
        plain = None if secret is None else secret.get_secret_value()
        return cls(settings.confirm_recipients_above, plain, settings.public_url, LiquidTemplates())

    def key(self, purpose: Purpose) -> bytes | None:
        """The key for a purpose; None without a secret."""
        return None if self.secret is None else derived_key(self.secret, purpose)


def rules_of(request: Request) -> CampaignRules:
    """The rules of the application that this request came to."""
    rules = request.app.state.campaigns
    assert isinstance(rules, CampaignRules)  # noqa: S101 - build_app put it there
    return rules


def check_may_send(identity: Identity, campaign: Campaign) -> None:
    """Whoever lets messages leave needs campaigns:send, for transactional ones another permission as well.

    Raises:
        ApiError: forbidden.
    """
    needed = [(Permission.SEND, "sending")]
    if not campaign.is_marketing:
        needed.append((Permission.SEND_TRANSACTIONAL, "a transactional campaign"))
    for permission, what in needed:
        if not identity.can(permission):
            raise ApiError("forbidden", _ALSO.format(permission, what))


async def launch_of(
    request: Request, connection: AsyncConnection, identity: Identity, campaign: Campaign, token: str | None
) -> Launch:
    """What beginning this campaign goes by, for this caller.

    Raises:
        ApiError: forbidden.
    """
    check_may_send(identity, campaign)
    rules = rules_of(request)
    members = await count_members(connection, campaign.segment_id)
    key = rules.key(Purpose.PREVIEWS)
    now = time.time_ns() // 1_000
    is_seen = token is not None and key is not None and is_valid(key, token, campaign.id, campaign.revision, now)
    confirmation = Confirmation(members, rules.unconfirmed_max, is_seen)
    if campaign.is_triggered:
        await lock_activations(connection)
    return Launch(services_of(request).clock(), datetime.now(UTC), identity.sub, rules.templates, confirmation)
