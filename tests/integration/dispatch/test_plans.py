"""Every statement that the dispatcher repeats goes through an index of the messages, whatever is known about them."""

from __future__ import annotations

from uuid import uuid4

import pytest

from service.adapters import campaign_work
from service.adapters.postgres.campaigns import attempts, messages, recalls, schedule, triggers
from service.adapters.postgres.campaigns import engagement_sql as engagement
from service.adapters.postgres.database import Database
from tests.integration.dispatch.support import begin, campaign
from tests.integration.test_hot_plans import hot, used

__all__ = ["hot"]

KEY = "campaign_messages_pkey"
MESSAGE = "campaign_messages_message_id_idx"
CAMPAIGN = "campaign_messages_campaign_idx"
WAITING = "campaign_messages_waiting_idx"
LEASED = "campaign_messages_leased_idx"
#: Statement -> the indexes of the messages that it may use. Two begin with the customer or end with
#: it, who has few.
LOOK_UPS = {
    "claim": (messages.CLAIM, {WAITING}),
    "sent": (messages.SENT, {KEY}),
    "settle": (messages.SETTLE, {MESSAGE}),
    "rendered": (messages.RENDERED, {CAMPAIGN}),
    "latest": (triggers.LATEST, {KEY, CAMPAIGN}),
    "mark": (attempts.MARK, {MESSAGE}),
    "finish": (attempts.FINISH, {MESSAGE}),
    "renew": (attempts.RENEW, {MESSAGE}),
    "lapsed": (attempts.LAPSED, {LEASED}),
    "take_back": (attempts.TAKE_BACK, {MESSAGE}),
    "standing": (schedule.STANDING, {WAITING, LEASED}),
    "cancel": (schedule.CANCEL_MESSAGES, {WAITING, MESSAGE}),
    "left_behind": (schedule.LEFT_BEHIND, {WAITING}),
    "recall": (recalls.RECALL, {CAMPAIGN, MESSAGE}),
    "work": (campaign_work.WORK, {WAITING, LEASED}),
    "lock_messages": (engagement.LOCK_MESSAGES, {MESSAGE}),
    "write_minima": (engagement.WRITE_MINIMA, {KEY, CAMPAIGN}),
    "write_states": (engagement.WRITE_STATES, {KEY, CAMPAIGN}),
}
MANY = """
INSERT INTO campaign_messages (customer_id, campaign_id, occasion, message_id, channel, category, priority, state,
    occurred_at, due_at, expires_at)
SELECT gen_random_uuid(), $1, 'once', gen_random_uuid(), 'sms', 'marketing', 50,
    CASE WHEN n % 100 = 0 THEN 'pending' ELSE 'sent' END, now(), now(), now() + interval '1 day'
FROM generate_series(1, $2) n
"""


@pytest.mark.parametrize("state", ["empty", "filled", "analyzed"])
async def test_look_ups_use_their_index(database: Database, hot: Database, state: str) -> None:
    """On tables of which nothing is known yet, and with one large campaign and several small ones."""
    if state != "empty":
        for count in (20_000, 500, 20):
            campaign_id = await begin(database, campaign(str(uuid4())))
            async with database.session() as connection:
                await connection.execute(MANY, campaign_id, count)
    if state == "analyzed":
        async with database.session() as connection:
            await connection.execute("ANALYZE")
    wrong = {}
    for name, (statement, allowed) in LOOK_UPS.items():
        found = {one for one in await used(hot, statement) if "campaign_messages" in one}
        if found - allowed or not found:
            wrong[name] = found
    assert wrong == {}
