"""Campaigns that have not ended: what is due of each, and the steps that the dispatcher makes of itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, NamedTuple
from uuid import UUID

from service.adapters.postgres.campaigns import turns
from service.adapters.postgres.campaigns.rows import CAMPAIGN_COLUMNS, CampaignUnknown, campaign_of, known
from service.core.campaigns.model import Campaign
from service.core.campaigns.states import State
from service.core.instants import to_datetime

#: Who changed a state, in its history.
DISPATCH: Final = "dispatch"

#: In the order of campaign_messages_waiting_idx: else the planner may look through all messages of the campaign.
FIRST_WAITING: Final = """
    SELECT m.due_at FROM campaign_messages m WHERE m.campaign_id = c.id AND m.state IN ('pending', 'deferred')
    ORDER BY m.due_at LIMIT 1
"""
_DUE: Final = """
    SELECT m.due_at FROM campaign_messages m WHERE m.campaign_id = c.id AND m.state IN ('pending', 'deferred')
        AND m.due_at <= $1 AND (m.retry_at IS NULL OR m.retry_at <= clock_timestamp())
    ORDER BY m.due_at LIMIT 1
"""
#: Campaigns with messages on their way, all at once: they are few, whatever has been sent.
LEASED_CAMPAIGNS: Final = "ARRAY(SELECT DISTINCT campaign_id FROM campaign_messages WHERE state = 'leased')"
IS_UNSETTLED: Final = f"(({FIRST_WAITING}) IS NOT NULL OR c.id = ANY({LEASED_CAMPAIGNS}))"
#: $1 is the service's clock.
STANDING: Final = f"""
SELECT {CAMPAIGN_COLUMNS}, audience_taken_at,
    NOT EXISTS (SELECT FROM customer_segments s
                WHERE s.id = c.segment_id AND NOT s.is_deleted AND s.status <> 'archived') AS is_segment_gone,
    EXISTS (SELECT FROM customer_segments s WHERE s.id = c.segment_id AND s.backfill_state = 'running') AS is_filling,
    ({_DUE}) IS NOT NULL AS has_due, {IS_UNSETTLED} AS has_unsettled
FROM customer_segment_campaigns c
WHERE state IN ('scheduled', 'sending', 'active', 'paused') AND NOT is_deleted
ORDER BY COALESCE((options ->> 'priority')::integer, 50) DESC, scheduled_at, id
"""  # noqa: S608 - built from constants
#: Passed over where somebody else is at it.
LOCK: Final = f"""
SELECT {CAMPAIGN_COLUMNS}, audience_taken_at FROM customer_segment_campaigns
WHERE id = $1 AND state = $2 AND NOT is_deleted FOR NO KEY UPDATE SKIP LOCKED
"""  # noqa: S608 - built from constants
HAS_UNSETTLED: Final = f"SELECT {IS_UNSETTLED} FROM (SELECT $1::uuid AS id) c"  # noqa: S608 - as above
STEP: Final = """
UPDATE customer_segment_campaigns SET
    state = $3, failure_reason = COALESCE($4, failure_reason), started_at = COALESCE($5, started_at),
    audience_taken_at = COALESCE($6, audience_taken_at), sent_at = COALESCE($7, sent_at),
    revision = revision + 1, updated_at = now()
WHERE id = $1 AND state = $2
"""
NOTE: Final = """
INSERT INTO campaign_state_changes (campaign_id, from_state, to_state, reason, changed_by) VALUES ($1, $2, $3, $4, $5)
"""
WAS_PAUSED: Final = """
SELECT EXISTS (SELECT FROM campaign_state_changes WHERE campaign_id = $1 AND to_state = 'paused' AND reason = $2)
"""
AUDIENCE_TAKEN: Final = "UPDATE customer_segment_campaigns SET audience_taken_at = $2 WHERE id = $1"
#: So many messages at once, for a transaction that settles a million holds up everybody for a long time.
SLICE: Final = 10_000
#: Of a campaign that is over nothing is decided any more, so that what is passed over here can wait for the next slice.
CANCEL_MESSAGES: Final = f"""
UPDATE campaign_messages SET state = 'suppressed', reason = 'campaign_cancelled', retry_at = NULL
WHERE message_id = ANY(ARRAY(
    SELECT message_id FROM campaign_messages WHERE campaign_id = $1 AND state IN ('pending', 'deferred')
    LIMIT {SLICE} FOR UPDATE SKIP LOCKED
))
"""  # noqa: S608 - built from constants
#: Ended campaigns in which messages wait: the rest of what was cancelled, and what a provider asks to have again. Each
#: campaign is one look into the index of what waits, however much does.
LEFT_BEHIND: Final = f"""
SELECT {CAMPAIGN_COLUMNS} FROM customer_segment_campaigns c CROSS JOIN LATERAL ({FIRST_WAITING}) w
WHERE c.state IN ('sent', 'cancelled', 'failed') OR c.is_deleted
ORDER BY c.id LIMIT $1
"""  # noqa: S608 - built from constants


class Standing(NamedTuple):
    """A campaign that has not ended.

    Attributes:
        is_audience_taken: of once, or of those who were there when a triggered one began.
        is_segment_gone: deleted or archived.
        is_segment_filling: its members are still being found.
        has_due: messages of it could be decided now, if it is live.
        has_unsettled: messages wait or are on their way.
    """

    campaign: Campaign
    is_audience_taken: bool
    is_segment_gone: bool
    is_segment_filling: bool
    has_due: bool
    has_unsettled: bool


async def standing(connection: Any, now: int, tell: Callable[[CampaignUnknown], None]) -> list[Standing]:
    """All campaigns that have not ended, those of higher priority first; `tell` gets those that cannot be read."""
    return [
        Standing(
            campaign,
            row["audience_taken_at"] is not None,
            row["is_segment_gone"],
            row["is_filling"],
            row["has_due"],
            row["has_unsettled"],
        )
        for row, campaign in known(await connection.fetch(STANDING, to_datetime(now)), tell)
    ]


async def lock(connection: Any, campaign_id: UUID, state: str) -> tuple[Campaign, bool] | None:
    """The campaign, if it is in this state and nobody else is at it, and whether its audience has been taken."""
    row = await connection.fetchrow(LOCK, campaign_id, state)
    return None if row is None else (campaign_of(row), row["audience_taken_at"] is not None)


async def lock_in_turn(connection: Any, campaign_id: UUID, state: str) -> Campaign | None:
    """The campaign, if it is in this state: before the messages that are decided or sent after."""
    await connection.execute(turns.CHANGE, campaign_id)
    found = await lock(connection, campaign_id, state)
    return None if found is None else found[0]


async def has_unsettled(connection: Any, campaign_id: UUID) -> bool:
    """Whether messages of the campaign wait or are on their way."""
    return bool(await connection.fetchval(HAS_UNSETTLED, campaign_id))


async def step(
    connection: Any,
    campaign: Campaign,
    after: State,
    *,
    reason: str | None = None,
    values: Mapping[str, datetime] = MappingProxyType({}),
) -> None:
    """Takes one step with a locked campaign, and notes it.

    Args:
        connection: the transaction's.
        campaign: as it is.
        after: the state it gets.
        reason: why, where the states do not say it.
        values: started_at, audience_taken_at, sent_at.
    """
    failure = reason if after in (State.FAILED, State.CANCELLED) else None
    instants = (values.get("started_at"), values.get("audience_taken_at"), values.get("sent_at"))
    await connection.execute(STEP, campaign.id, campaign.state, after, failure, *instants)
    await connection.execute(NOTE, campaign.id, campaign.state, after, reason, DISPATCH)


async def note_audience(connection: Any, campaign_id: UUID, at: int) -> None:
    """Those who were there when a triggered campaign began have got their messages."""
    await connection.execute(AUDIENCE_TAKEN, campaign_id, to_datetime(at))


async def cancel_messages(connection: Any, campaign_id: UUID) -> int:
    """Of a campaign that is over, what waits never leaves: SLICE messages at most; gives how many."""
    return int((await connection.execute(CANCEL_MESSAGES, campaign_id)).rsplit(" ", 1)[1])


async def left_behind(connection: Any, campaigns_max: int, tell: Callable[[CampaignUnknown], None]) -> list[Campaign]:
    """Campaigns that have ended or were deleted though messages of theirs wait; `tell` as for `standing`."""
    return [campaign for _, campaign in known(await connection.fetch(LEFT_BEHIND, campaigns_max), tell)]


async def was_paused_for(connection: Any, campaign_id: UUID, reason: str) -> bool:
    """Whether the dispatcher has paused the campaign for this reason before."""
    return bool(await connection.fetchval(WAS_PAUSED, campaign_id, reason))
