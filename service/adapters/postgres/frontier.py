"""How far input is applied, and what waits for time."""

from __future__ import annotations

from typing import Any, Final

IS_DUE: Final = "SELECT EXISTS (SELECT FROM profiles WHERE next_due_at <= $1)"
APPLIED: Final = "SELECT topic, partition, next_offset FROM input_frontier WHERE cluster = $1"


async def is_due(connection: Any, limit: int) -> bool:
    """Whether any customer's next edge has come at this instant (microseconds)."""
    return bool(await connection.fetchval(IS_DUE, limit))


async def applied(connection: Any, cluster: str) -> dict[tuple[str, int], int]:
    """The next offset that is not applied yet, by input partition of this Kafka cluster."""
    return {(row[0], row[1]): row[2] for row in await connection.fetch(APPLIED, cluster)}
