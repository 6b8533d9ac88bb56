"""Campaigns for a benchmark: a segment with members, a campaign that begins, and what becomes of it."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final
from uuid import UUID, uuid4

import psutil

from benchmarks import machine, mail
from benchmarks.preview import fill
from benchmarks.stack import Run
from service.adapters.postgres.campaigns.store import PostgresCampaigns
from service.core.campaigns.model import Campaign, Options
from service.stack.servers import Servers

TICK_SECONDS: Final = 0.01
LOOK_SECONDS: Final = 0.25
SECONDS_MAX: Final = 900
SECRET: Final = "a secret of the benchmark, long enough for links"  # noqa: S105
SEGMENT: Final = UUID(int=2)
#: One segment, all are in it, and may be written to. $1 is its id.
MEMBERS: Final = (
    """INSERT INTO customer_segments (id, segment_name, segment_type, status, criteria, version, introduced, since,
    is_kept, backfill_state, created_by, customer_count)
SELECT CAST($1 AS uuid), 'Everybody', 'dynamic', 'active', '{}', 1, 1, 0, true, 'done', 'benchmark', count(*)
FROM profiles""",
    """INSERT INTO segment_versions (segment_id, version, criteria, created_by)
VALUES (CAST($1 AS uuid), 1, '{}', 'benchmark')""",
    """INSERT INTO customer_segment_memberships (customer_id, segment_id, ordinal, joined_at, membership_source,
    segment_version) SELECT customer_id, CAST($1 AS uuid), 1, now(), 'event', 1 FROM profiles""",
)
CONSENTS: Final = "UPDATE customers SET email_subscribed = true, sms_subscribed = true, phone = '+12025550123'"
BEGIN: Final = """
UPDATE customer_segment_campaigns SET activated_at = now(), started_at = CASE WHEN state = 'active' THEN now() END,
    scheduled_at = now() WHERE id = $1 RETURNING scheduled_at
"""
LOOK: Final = """
SELECT state, audience_taken_at IS NOT NULL, extract(epoch FROM clock_timestamp())
FROM customer_segment_campaigns WHERE id = $1
"""
STATES: Final = "SELECT state, count(*) FROM campaign_messages WHERE campaign_id = $1 GROUP BY state"


def run_of(servers: Servers, name: str, **extra: object) -> Run:
    """A run with what campaigns need; `extra` are settings by their names without the prefix."""
    settings = {"CAMPAIGN_SECRET": SECRET, "PUBLIC_URL": "http://shop.example", **extra}
    environment = {f"SEGMENTS_{key}": str(value) for key, value in settings.items()}
    return Run(servers, f"dispatch-{name}-{time.time_ns() // 1_000_000}", extra=environment)


async def filled_run(servers: Servers, name: str, members: int, **extra: object) -> Run:
    """The same, with so many members of SEGMENT who may be written to."""
    run = run_of(servers, name, **extra)
    await run.prepare([])
    await fill(run.database_url, {"customers": members, "orders": 1_000, "activities": 1_000})
    async with run.database() as database, database.session() as connection:
        await connection.execute("DELETE FROM customer_segments")
        for statement in MEMBERS:
            await connection.execute(statement, SEGMENT)
        await connection.execute(CONSENTS)
        await connection.execute("VACUUM (ANALYZE)")
    return run


def campaign_of(segment_id: UUID, channel: str, **said: Any) -> Campaign:
    """To everybody, at any hour, as often as it likes."""
    options = Options(quiet_hours=False, frequency_caps=())
    values = {"campaign_name": "Benchmark", "campaign_type": channel, "channel": channel, "created_by": "benchmark"}
    values |= {"trigger": "once", "state": "scheduled", "content": mail.TEXT}
    return Campaign(id=uuid4(), segment_id=segment_id, options=options, **(values | said))


async def begin(run: Run, made: Campaign) -> float:
    """Stores a campaign that is due now, or listens from now on; gives that instant, seconds since 1970."""
    async with run.database() as database:
        async with database.transaction() as connection:
            await PostgresCampaigns(connection).insert(made)
        async with database.session() as connection:
            return float((await connection.fetchval(BEGIN, made.id)).timestamp())


async def wait_until(
    run: Run, campaign_id: UUID, state: str | None, process: psutil.Process | None
) -> tuple[float, list[float]]:
    """When the campaign is in this state (None: has its audience), and the megabytes of a process until then."""
    memory = []
    async with run.database() as database, database.session() as connection, asyncio.timeout(SECONDS_MAX):
        while True:
            found, is_taken, now = await connection.fetchrow(LOOK, campaign_id)
            if process is not None:
                memory.append(process.memory_info().rss / machine.MB)
            if found == state or (state is None and is_taken):
                return float(now), memory
            await asyncio.sleep(LOOK_SECONDS if state else TICK_SECONDS)


async def states_of(run: Run, campaign_id: UUID) -> dict[str, int]:
    """Messages of a campaign by their state."""
    async with run.database() as database, database.session() as connection:
        return dict(await connection.fetch(STATES, campaign_id))
