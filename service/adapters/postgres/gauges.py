"""What /metrics asks the database: how much waits, and what there is."""

from __future__ import annotations

from typing import Any, Final

from service.adapters.postgres import counters, totals
from service.adapters.status import CHANGES, DUE, OUTBOX, OVER_LIMIT, ROLES
from service.app import metrics
from service.app.metrics import Metric, Values

#: Beyond so many segments, a series for each would be a burden for whoever keeps them.
SEGMENTS_MAX: Final = 1_000
#: Those of whom a connection is always expected; a missing role must show as 0.
ROLES_EXPECTED: Final = ("serve", "consume", "relay", "timers", "dispatch")

LETTERS: Final = "SELECT reason, count(*) FROM dead_letters WHERE redriven_at IS NULL GROUP BY reason"
COUNTERS: Final = "SELECT name, value, extract(epoch FROM at)::float8 FROM counters"
SEGMENTS: Final = """
SELECT status, count(*) FILTER (WHERE NOT is_deleted), count(*) FILTER (WHERE backfill_state = 'running'),
    COALESCE(sum(GREATEST(backfill_total - backfill_done, 0)) FILTER (WHERE backfill_state = 'running'), 0)
FROM customer_segments GROUP BY status
"""
MEMBERS: Final = """
SELECT id, customer_count FROM customer_segments WHERE NOT is_deleted AND status = 'active'
ORDER BY created_at, id LIMIT $1
"""
STATUSES: Final = ("active", "draft", "archived")


async def read_gauges(connection: Any, limit: int) -> Values:
    """All of it.

    Args:
        connection: the driver's own.
        limit: who is due by this instant waits for a timer, microseconds.
    """
    found = _Found()
    rows, _, oldest = await connection.fetchrow(OUTBOX)
    found.add(metrics.OUTBOX, rows)
    found.add(metrics.OUTBOX_AGE, max(0, oldest))
    changes, waited = await connection.fetchrow(CHANGES)
    found.add(metrics.CHANGES_WAITING, changes)
    found.add(metrics.CHANGES_AGE, max(0, waited))
    found.add(metrics.DUE, await connection.fetchval(DUE, limit))
    found.add(metrics.OVER_LIMIT, await connection.fetchval(OVER_LIMIT))
    for reason, count in await connection.fetch(LETTERS):
        found.add(metrics.LETTERS_KEPT, count, reason)
    _add_segments(found, await connection.fetch(SEGMENTS))
    for segment_id, count in await connection.fetch(MEMBERS, SEGMENTS_MAX):
        found.add(metrics.MEMBERS, count, str(segment_id))
    _add_counters(found, await connection.fetch(COUNTERS))
    connections = dict.fromkeys(ROLES_EXPECTED, 0)
    connections |= dict(await connection.fetch(ROLES, [f"segments-{role}" for role in ROLES_EXPECTED]))
    for role, count in connections.items():
        found.add(metrics.CONNECTIONS, count, role)
    return found.values | await totals.read(connection)


class _Found:
    def __init__(self) -> None:
        self.values: Values = {}

    def add(self, metric: Metric, value: Any, *labels: str) -> None:
        self.values[metric.name, labels] = float(value)


def _add_segments(found: _Found, rows: Any) -> None:
    counts = dict.fromkeys(STATUSES, 0)
    running = left = 0
    for status, segments, backfills, remaining in rows:
        counts[status] = segments
        running += backfills
        left += remaining
    for status, count in counts.items():
        found.add(metrics.SEGMENTS, count, status)
    found.add(metrics.BACKFILLS, running)
    found.add(metrics.BACKFILL_LEFT, left)


def _add_counters(found: _Found, rows: Any) -> None:
    """What should not happen counts from 0; a drift that nobody has looked for is missing."""
    known = {name: (value, at) for name, value, at in rows}
    found.add(metrics.OVERTOOK, known.get(counters.TIMERS_OVERTOOK, (0, 0))[0])
    found.add(metrics.SET_ASIDE, known.get(counters.CUSTOMERS_SET_ASIDE, (0, 0))[0])
    if counters.DRIFT_CUSTOMERS in known:
        customers, at = known[counters.DRIFT_CUSTOMERS]
        found.add(metrics.DRIFT, customers)
        found.add(metrics.VERIFIED, at)
