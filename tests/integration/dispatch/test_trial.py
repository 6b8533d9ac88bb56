"""The first messages of a campaign show whether its template fits; that is seen to whoever dies or holds it."""

from __future__ import annotations

from service.adapters.postgres.database import Database
from service.core import instants
from tests.integration.dispatch.conftest import start
from tests.integration.dispatch.support import begin, campaign, now, registered, set_state, state_of, until_state
from tests.world import World, create

#: As a dispatcher leaves them that dies before it looks at what came of its messages.
UNFIT = """
INSERT INTO campaign_messages (customer_id, campaign_id, occasion, message_id, channel, category, priority, state,
    reason, occurred_at, due_at, expires_at)
SELECT gen_random_uuid(), $1, 'once', gen_random_uuid(), 'sms', 'marketing', 50, 'failed', 'render_error',
    now(), now(), now() + interval '1 day'
FROM generate_series(1, $2)
"""
WHY = "SELECT reason FROM campaign_state_changes WHERE campaign_id = $1 AND to_state = 'paused'"


async def test_seen_by_whoever_comes_after(shop: World, database: Database) -> None:
    """More than 10 of the first 200 could not be rendered, and nobody has paused it; once is enough."""
    segment_id = (await create(database, {"all": {}}, instants.to_text(now())))["all"]
    made = await begin(database, campaign(segment_id))
    async with database.session() as connection:
        await connection.execute(UNFIT, made, 200)
    start(shop)
    shop.publish([registered("ann")])
    await until_state(database, made, "paused")

    await set_state(database, made, "active")
    shop.kill("dispatch")
    shop.start("dispatch")
    shop.publish([registered("bob")])
    shop.wait_idle()
    assert await state_of(database, made) == ("active", None)
    async with database.session() as connection:
        assert [row[0] for row in await connection.fetch(WHY, made)] == ["render_errors"]
