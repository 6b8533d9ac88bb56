"""The outbox as the relay sees it."""

from __future__ import annotations

import contextlib
from typing import Any, Final
from uuid import UUID

#: Advisory lock of the active relay; belongs to its session.
RELAY_LOCK: Final = 7_300_003

#: Oldest rows first. Rows of one customer are written under that customer's lock, so their ids ascend with time.
#: At most $1 rows, and no more once there are $2 bytes or $3 records; sizes are known without reading the payloads.
OLDEST: Final = """
SELECT id, payload FROM (
    SELECT id, payload, sum(octet_length(payload)) OVER one - octet_length(payload) AS bytes_before,
        sum(records) OVER one - records AS records_before
    FROM (SELECT id, payload, records FROM outbox ORDER BY id LIMIT $1) o
    WINDOW one AS (ORDER BY id)
) o
WHERE bytes_before < $2 AND records_before < $3
ORDER BY id
"""

#: Deletes what was sent, and counts segments on by what those rows say.
DELETE: Final = """
WITH gone AS (DELETE FROM outbox WHERE id = ANY($1::bigint[]) RETURNING counts),
     growth AS (
         SELECT one.key::uuid AS segment_id, sum(one.value::bigint) AS members
         FROM gone, jsonb_each_text(gone.counts) AS one GROUP BY one.key
     )
UPDATE customer_segments s
SET customer_count = customer_count + growth.members, last_updated = now()
FROM growth WHERE s.id = growth.segment_id
"""


async def try_lead(connection: Any) -> bool:
    """Whether this session is the active relay now."""
    return bool(await connection.fetchval("SELECT pg_try_advisory_lock($1)", RELAY_LOCK))


async def stop_leading(connection: Any) -> None:
    """Lets another relay lead; a broken session has let go already."""
    with contextlib.suppress(Exception):
        await connection.execute("SELECT pg_advisory_unlock($1)", RELAY_LOCK)


async def instance_id(connection: Any) -> UUID:
    """Names this database, so that a marker of another one is never taken for its own."""
    found: UUID = await connection.fetchval("SELECT instance_id FROM catalogue")
    return found


async def oldest(connection: Any, rows_max: int, bytes_max: int, records_max: int) -> list[tuple[int, bytes]]:
    """The oldest rows, as many as fit; always at least one where there is any."""
    return [(row[0], row[1]) for row in await connection.fetch(OLDEST, rows_max, bytes_max, records_max)]


async def delete(connection: Any, ids: list[int]) -> None:
    """Forgets rows that were sent."""
    if ids:
        await connection.execute(DELETE, ids)
