"""Campaigns in a file of definitions: what they say and where they were, without messages.

Whatever was under way comes back as a draft: the new place does not know who has had which message, and its members are
not those of the old one. Somebody looks at it and begins it again. What had ended stays as it ended.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Final, Literal
from uuid import UUID

from msgspec import Meta, Struct

from service.core.campaigns.model import (
    SAID,
    Campaign,
    CampaignType,
    Category,
    Channel,
    Options,
    Trigger,
)
from service.core.campaigns.states import FINAL, State
from service.core.campaigns.validate import faults_of_draft

Name = Annotated[str, Meta(min_length=1, max_length=255)]
Text = Annotated[str, Meta(min_length=1, max_length=512)]
Instant = Annotated[datetime, Meta(tz=True)]
_SAID: Final = ("segment_id", *SAID, "options")


class CampaignDefinition(Struct, forbid_unknown_fields=True):
    """One campaign; `state` is that of the place it comes from."""

    id: UUID
    segment_id: UUID
    campaign_name: Name
    campaign_type: CampaignType
    channel: Channel
    category: Category
    subject: str | None
    content: str | None
    discount_code: str | None
    discount_type: Literal["percentage", "fixed"] | None
    discount_amount: Decimal | None
    trigger: Trigger
    scheduled_at: Instant | None
    options: Options
    state: Literal["draft", "scheduled", "sending", "active", "paused", "sent", "cancelled", "failed"]
    failure_reason: str | None
    started_at: Instant | None
    sent_at: Instant | None
    created_by: Text
    created_at: Instant
    updated_at: Instant

    @classmethod
    def of(cls, campaign: Campaign) -> CampaignDefinition:
        """As it is exported."""
        return cls(**{name: getattr(campaign, name) for name in cls.__struct_fields__})

    def to_campaign(self) -> Campaign:
        """As it is stored here: a draft, unless it had ended."""
        values = {name: getattr(self, name) for name in self.__struct_fields__}
        if self.state not in FINAL:
            values |= {"state": State.DRAFT, "failure_reason": None, "started_at": None, "sent_at": None}
        return Campaign(**values)

    def is_same(self, other: Campaign) -> bool:
        """Whether a stored campaign says the same, whatever became of it."""
        return all(getattr(self, name) == getattr(other, name) for name in _SAID)

    @property
    def said(self) -> str:
        """How messages name it."""
        return f'campaign "{self.campaign_name}" ({self.id})'

    def instants(self) -> Iterator[datetime]:
        """All instants in it."""
        found = (self.scheduled_at, self.started_at, self.sent_at, self.created_at, self.updated_at)
        yield from (one for one in (*found, self.options.expires_at) if one is not None)


def faults_of(campaigns: Collection[CampaignDefinition], segment_ids: Collection[UUID]) -> list[str]:
    """What is wrong with the campaigns of a file, as sentences without an end."""
    faults, known = [], set()
    for one in campaigns:
        if one.id in known:
            faults.append(f"{one.said} is in the file twice")
        known.add(one.id)
        if one.segment_id not in segment_ids:
            faults.append(f"{one.said}: there is no segment {one.segment_id} in the file")
        wrong = "; ".join(f"{fault.path} {fault.message}" for fault in faults_of_draft(one.to_campaign()))
        if wrong:
            faults.append(f"{one.said}: {wrong}")
    return faults
