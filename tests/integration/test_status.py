"""`segments status`: what people look at first."""

from __future__ import annotations

import json

from service.adapters.postgres.database import Database
from service.stack.group import Servers
from tests import shop
from tests.world import create, world


async def test_what_needs_attention(session_servers: Servers, database_url: str, database: Database) -> None:
    """Status tells a backfill's progress and how many customers are beyond the limits, as JSON and as lines."""
    with world(session_servers.kafka_bootstrap, database_url, shop.CLOCK) as made:
        made.start_all()
        made.publish(shop.events(customers=8, count=60))
        made.wait_idle()
        calm, nothing = json.loads(made.run("status", "--json")), made.run("status")
        made.kill("timers")
        await create(database, {"everybody": {}}, shop.CLOCK)
        async with database.session() as connection:
            await connection.execute("UPDATE customer_segments SET backfill_done = backfill_total / 2")
            await connection.execute(
                "UPDATE profiles SET is_over_limit = customer_id < '80000000-0000-0000-0000-000000000000'"
            )
            expected = await connection.fetchval("SELECT count(*) FROM profiles WHERE is_over_limit")
        busy, lines = json.loads(made.run("status", "--json")), made.run("status")

    assert calm["over_limit"] == 0
    assert "beyond the limits" not in nothing
    assert 0 < expected < 8
    assert busy["over_limit"] == expected
    assert f"customers beyond the limits of a profile: {expected}" in lines
    (segment,) = busy["segments"]
    assert segment["backfill"] == {"state": "running", "progress": 0.5, "done": 4, "total": 8}
    assert "running 50%" in lines
