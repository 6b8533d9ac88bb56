"""Attribution of much: by index, and without walking what is made on the way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import text

from service.adapters.postgres.campaigns.attribution import CREDITS, SETTINGS
from service.adapters.postgres.campaigns.performance import counts_of, performance_store
from service.adapters.postgres.database import Database
from service.core.instants import to_datetime
from tests.integration.engagement.support import END, add_campaign, rows


async def test_an_index_finds_codes(database: Database) -> None:
    """Facts that name codes are found without a look at all orders, in a table of many."""
    async with database.session() as connection:
        await connection.execute(
            """
            INSERT INTO order_facts (customer_id, order_id, event_id, kind, total, time, discount_codes)
            SELECT gen_random_uuid(), n::text, n::text, 'placed', 100, timestamptz '2026-03-02' + n * interval '1 s',
                CASE WHEN n % 500 = 0 THEN '[{"code": "X"}]'::jsonb END
            FROM generate_series(1, 50000) n;
            ANALYZE order_facts
            """
        )
    plan = await rows(database, "EXPLAIN SELECT FROM order_facts WHERE discount_codes IS NOT NULL AND time <= now()")
    assert "order_facts_codes_idx" in " ".join(row["QUERY PLAN"] for row in plan)


async def test_many_orders(database: Database) -> None:
    """Joins of what is made on the way grow with it, not with its square: before, this took minutes."""
    campaign_id = await add_campaign(database)
    async with database.session() as connection:
        await connection.execute(
            f"""
            INSERT INTO campaign_messages (customer_id, campaign_id, occasion, message_id, channel, category, priority,
                state, occurred_at, due_at, expires_at, sent_at, opened_at)
            SELECT md5('c' || n)::uuid, '{campaign_id}', 'once', md5('m' || n)::uuid, 'email', 'marketing', 50,
                'sent', t, t, t, t, t + interval '1 hour'
            FROM generate_series(1, 40000) n, (SELECT timestamptz '2026-03-02' AS t) at;
            INSERT INTO campaign_engagement (source, event_id, message_id, kind, at)
            SELECT '/p', message_id::text, message_id, 'opened', opened_at FROM campaign_messages;
            INSERT INTO order_facts (customer_id, order_id, event_id, kind, total, time, discount_codes)
            SELECT customer_id, 'o', 'e', 'placed', 100, sent_at + interval '2 days', '[{{"code": "X"}}]'
            FROM campaign_messages;
            ANALYZE
            """  # noqa: S608 - an id of our own
        )
    async with performance_store(database, 30, "TESTS") as snapshot:
        counts = await counts_of(snapshot, [campaign_id], END)
        for name, value in SETTINGS.items():
            await snapshot.execute(text("SELECT set_config(:name, :value, true)"), {"name": name, "value": value})
        values = {"campaigns": [campaign_id], "as_of": to_datetime(END)}
        plan = (await snapshot.execute(text(f"EXPLAIN (FORMAT JSON) {CREDITS}"), values)).scalar_one()
    assert counts[campaign_id].converted == 40_000
    inner = [node["Plans"][1]["Node Type"] for node in _nodes(plan[0]["Plan"]) if node["Node Type"] == "Nested Loop"]
    assert inner
    assert not {"CTE Scan", "Materialize", "Unique", "Sort", "Aggregate"} & set(inner), "walked for each row"


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A node of a plan, and all below it."""
    yield node
    for part in node.get("Plans", ()):
        yield from _nodes(part)
