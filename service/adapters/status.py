"""What is busy, in one look: for `wait-idle`, `status` and readiness."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

from service.adapters.campaign_work import CampaignWork, look_at_campaigns
from service.adapters.kafka.offsets import OffsetReader
from service.adapters.postgres import counters, workers
from service.adapters.postgres.database import Database
from service.clock import Clock
from service.settings import Settings

OUTBOX: Final = """
SELECT count(*), COALESCE(sum(records), 0), COALESCE(extract(epoch FROM now() - min(created_at)), 0) FROM outbox
"""
CHANGES: Final = """
SELECT COALESCE(sum(changes), 0), COALESCE(extract(epoch FROM now() - min(recorded_at)), 0) FROM membership_changes
"""
DEAD_LETTERS: Final = "SELECT reason, count(*) FROM dead_letters GROUP BY reason ORDER BY reason"
DUE: Final = "SELECT count(*) FROM profiles WHERE next_due_at <= $1"
#: Customers with more orders or activities than a profile keeps.
OVER_LIMIT: Final = "SELECT count(*) FROM profiles WHERE is_over_limit"
SEGMENTS: Final = """
SELECT id, segment_name, customer_count, version, backfill_state, backfill_done, backfill_total, status
FROM customer_segments WHERE NOT is_deleted OR backfill_state = 'running' ORDER BY created_at, id
"""
ROLE_NAMES: Final = tuple(f"segments-{role}" for role in ("serve", "consume", "relay", "timers", "dispatch"))
ROLES: Final = """
SELECT replace(application_name, 'segments-', ''), count(DISTINCT client_port) FROM pg_stat_activity
WHERE application_name = ANY($1::text[]) AND datname = current_database()
GROUP BY 1 ORDER BY 1
"""


@dataclass(frozen=True)
class Status:
    """The shape of `status --json` (CONTRACT section 8)."""

    lag: dict[str, dict[str, int]]
    outbox: dict[str, float]
    membership_changes: dict[str, float]
    hanging: int
    dead_letters: dict[str, int]
    due_timers: int
    timers_overtook: int
    customers_set_aside: int
    over_limit: int
    events_per_second: float
    segments: list[dict[str, Any]]
    roles: dict[str, dict[str, int]]
    campaigns: CampaignWork

    def busy(self) -> list[str]:
        """What is not idle yet, a phrase each."""
        found = []
        lag = sum(count for partitions in self.lag.values() for count in partitions.values())
        if lag:
            found.append(f"{lag} records of input not applied")
        running = [one["name"] for one in self.segments if one["backfill"]["state"] == "running"]
        if running:
            found.append(f"backfill of {', '.join(running)}")
        if self.due_timers:
            found.append(f"{self.due_timers} due timers")
        if self.outbox["pending"]:
            found.append(f"{self.outbox['pending']:.0f} outbox rows")
        if self.membership_changes["waiting"]:
            found.append(f"{self.membership_changes['waiting']:.0f} membership changes not merged")
        if self.hanging:
            found.append(f"{self.hanging} published records that cannot be read yet")
        return found + self.campaigns.busy()

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


async def look(settings: Settings, database: Database, reader: OffsetReader, clock: Clock) -> Status:
    """One look at everything.

    The order matters: what input leaves behind is looked at after the input itself, so that nothing can slip
    through between two questions.
    """
    committed = await reader.committed(settings.consumer_group)
    ends = await reader.ends()
    lag: dict[str, dict[str, int]] = {topic: {} for topic in settings.input_topics}
    for (topic, partition), end in sorted(ends.items()):
        lag[topic][str(partition)] = max(0, end - committed[topic, partition])
    limit = clock() - settings.grace_ms * 1_000
    campaigns = await look_at_campaigns(settings, database, reader, clock())
    async with database.session() as connection:
        segments = [_segment(row) for row in await connection.fetch(SEGMENTS)]
        due = await connection.fetchval(DUE, limit)
        overtook = await connection.fetchval(counters.VALUE, counters.TIMERS_OVERTOOK) or 0
        aside = await connection.fetchval(counters.VALUE, counters.CUSTOMERS_SET_ASIDE) or 0
        over = await connection.fetchval(OVER_LIMIT)
        pace = await workers.present_pace(connection)
        rows, records, oldest = await connection.fetchrow(OUTBOX)
        waiting, since = await connection.fetchrow(CHANGES)
        letters = {row[0]: row[1] for row in await connection.fetch(DEAD_LETTERS)}
        roles = {row[0]: {"connections": row[1]} for row in await connection.fetch(ROLES, list(ROLE_NAMES))}
    # Last: rows leave the outbox before everybody can read what they became.
    topics = (settings.membership_topic, settings.dead_letter_topic, settings.messages_topic, settings.engagement_topic)
    hanging = await reader.hanging(*topics)
    outbox = {"pending": rows, "records": int(records), "oldest_seconds": round(float(oldest), 3)}
    changes = {"waiting": int(waiting), "oldest_seconds": round(float(since), 3)}
    return Status(lag, outbox, changes, hanging, letters, due, overtook, aside, over, pace, segments, roles, campaigns)


def _segment(row: Any) -> dict[str, Any]:
    segment_id, name, count, version, state, done, total, status = row
    progress = 1.0 if state != "running" or not total else round(min(1.0, done / total), 4)
    backfill = {"state": state, "progress": progress, "done": done, "total": total}
    return {
        "id": str(segment_id),
        "name": name,
        "count": count,
        "version": version,
        "status": status,
        "backfill": backfill,
    }
