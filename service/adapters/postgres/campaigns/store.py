"""Campaigns in PostgreSQL: the statements of app.campaigns.campaigns.CampaignStore, and lists of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from service.adapters.postgres.campaign_tables import campaign_state_changes, customer_segment_campaigns
from service.adapters.postgres.campaigns import turns
from service.adapters.postgres.campaigns.rows import SELECTED, campaign_of, options_json
from service.adapters.postgres.campaigns.schedule import CANCEL_MESSAGES
from service.app.campaigns.campaigns import CampaignQuery, StateChange
from service.core.campaigns.model import SAID, Campaign
from service.core.campaigns.states import State

_campaigns: Final = customer_segment_campaigns.c
#: Waiting, sending, listening or standing still: with the words of campaigns_live_idx, so that it is used.
_LIVE: Final = text("state IN ('scheduled', 'sending', 'active', 'paused') AND NOT is_deleted")

_COUNT_WAITING: Final = text("""
SELECT count(*) FROM campaign_messages WHERE campaign_id = :campaign_id AND state IN ('pending', 'deferred')
""")
_COUNTS: Final = text("""
SELECT campaign_id, state, count(*) AS messages
FROM campaign_messages WHERE campaign_id = ANY(CAST(:campaign_ids AS uuid[])) GROUP BY campaign_id, state
""")


class PostgresCampaigns:
    """The statements of one transaction. Lock order: catalogue, campaign, messages, customers by id."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def get(self, campaign_id: UUID) -> Campaign | None:
        """See CampaignStore."""
        return await self._one(_of(campaign_id))

    async def lock(self, campaign_id: UUID) -> Campaign | None:
        """See CampaignStore."""
        await self._connection.exec_driver_sql(turns.CHANGE, (campaign_id,))
        return await self._one(_of(campaign_id).with_for_update(key_share=True))

    async def insert(self, campaign: Campaign) -> None:
        """See CampaignStore."""
        values = {name: getattr(campaign, name) for name in ("id", "segment_id", "state", "created_by", *SAID)}
        values["options"] = options_json(campaign.options)
        await self._connection.execute(sa.insert(customer_segment_campaigns).values(**values))

    async def update(self, campaign: Campaign) -> Campaign:
        """See CampaignStore."""
        values: dict[str, Any] = {name: getattr(campaign, name) for name in SAID}
        values["options"] = options_json(campaign.options)
        found = await self._connection.execute(_changing().where(_campaigns.id == campaign.id).values(**values))
        return campaign_of(found.mappings().one())

    async def change_state(self, change: StateChange) -> Campaign | None:
        """See CampaignStore."""
        values: dict[str, Any] = {"state": change.after, **change.values}
        if change.after is State.FAILED:
            values["failure_reason"] = change.reason
        step = _changing().where(_campaigns.id == change.campaign_id, _campaigns.state == change.before)
        stepped = await self._connection.execute(step.where(~_campaigns.is_deleted).values(**values))
        found = stepped.mappings().one_or_none()
        if found is None:
            return None
        await self._connection.execute(
            sa.insert(campaign_state_changes).values(
                campaign_id=change.campaign_id,
                from_state=change.before,
                to_state=change.after,
                reason=change.reason,
                changed_by=change.by,
            )
        )
        return campaign_of(found)

    async def delete(self, campaign_id: UUID) -> None:
        """See CampaignStore."""
        await self._connection.execute(_changing().where(_campaigns.id == campaign_id).values(is_deleted=True))

    async def cancel_messages(self, campaign_id: UUID) -> int:
        """See CampaignStore."""
        waiting = (await self._connection.execute(_COUNT_WAITING, {"campaign_id": campaign_id})).scalar_one()
        if waiting:
            await self._connection.exec_driver_sql(CANCEL_MESSAGES, (campaign_id,))
        return int(waiting)

    async def live_of_segment(self, segment_id: UUID) -> Sequence[Campaign]:
        """See CampaignStore."""
        wanted = sa.select(*SELECTED).where(_campaigns.segment_id == segment_id, _LIVE)
        found = await self._connection.execute(wanted.order_by(_campaigns.created_at, _campaigns.id))
        return [campaign_of(row) for row in found.mappings()]

    async def in_states(self, states: Collection[State]) -> Sequence[Campaign]:
        """All campaigns in these states, each one of scheduled, sending, active, paused; first those due first."""
        wanted = sa.select(*SELECTED).where(_LIVE, _campaigns.state.in_(states))
        found = await self._connection.execute(wanted.order_by(_campaigns.scheduled_at, _campaigns.id))
        return [campaign_of(row) for row in found.mappings()]

    async def page(self, query: CampaignQuery) -> tuple[Sequence[Campaign], int]:
        """One page of a segment's campaigns, the newest first, and how many there are in all."""
        wanted = [_campaigns.segment_id == query.segment_id, ~_campaigns.is_deleted]
        if query.states is not None:
            wanted.append(_campaigns.state.in_(query.states))
        if query.campaign_type is not None:
            wanted.append(_campaigns.campaign_type == query.campaign_type)
        listed = sa.select(*SELECTED).where(*wanted).order_by(_campaigns.created_at.desc(), _campaigns.id.desc())
        found = await self._connection.execute(listed.limit(query.limit).offset((query.page - 1) * query.limit))
        counted = sa.select(sa.func.count()).select_from(customer_segment_campaigns).where(*wanted)
        total = (await self._connection.execute(counted)).scalar_one()
        return [campaign_of(row) for row in found.mappings()], total

    async def counts(self, campaign_ids: Collection[UUID]) -> dict[UUID, dict[str, int]]:
        """See CampaignStore."""
        found: dict[UUID, dict[str, int]] = {one: {} for one in campaign_ids}
        if found:
            for row in await self._connection.execute(_COUNTS, {"campaign_ids": list(found)}):
                found[row.campaign_id][row.state] = row.messages
        return found

    async def _one(self, statement: sa.Select[Any]) -> Campaign | None:
        found = (await self._connection.execute(statement)).mappings().one_or_none()
        return None if found is None else campaign_of(found)


def _of(campaign_id: UUID) -> sa.Select[Any]:
    return sa.select(*SELECTED).where(_campaigns.id == campaign_id, ~_campaigns.is_deleted)


def _changing() -> Any:
    """An update under the next revision that returns the row."""
    return (
        sa.update(customer_segment_campaigns)
        .values(revision=_campaigns.revision + 1, updated_at=sa.func.now())
        .returning(*SELECTED)
    )
