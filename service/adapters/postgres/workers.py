"""How fast workers apply records, as each measured it last while it had any."""

from __future__ import annotations

from typing import Any, Final

#: Workers without news for longer are gone or idle; their pace tells little.
AGE_SECONDS_MAX: Final = 3_600

TELL: Final = """
INSERT INTO workers (member, records_per_second, mean_per_second) VALUES ($1, $2, $3)
ON CONFLICT (member) DO UPDATE SET
    records_per_second = EXCLUDED.records_per_second, mean_per_second = EXCLUDED.mean_per_second, at = now()
"""
FORGET: Final = "DELETE FROM workers WHERE at < now() - make_interval(secs => $1)"
PACE: Final = """
SELECT sum(records_per_second) FROM workers WHERE at >= now() - make_interval(secs => $1)
"""


MEAN: Final = "SELECT sum(mean_per_second) FROM workers WHERE at >= now() - make_interval(secs => $1)"
#: A worker that tells nothing for longer applies nothing.
NEWS_SECONDS_MAX: Final = 10


async def tell_pace(connection: Any, member: str, records_per_second: float, mean_per_second: float) -> None:
    """Notes how fast this worker is while it works, and with its pauses; forgets those of long ago."""
    await connection.execute(TELL, member, records_per_second, mean_per_second)
    await connection.execute(FORGET, AGE_SECONDS_MAX)


async def present_pace(connection: Any) -> float:
    """Records a second that all workers together apply at present."""
    return round(await connection.fetchval(MEAN, NEWS_SECONDS_MAX) or 0.0, 1)


async def pace(connection: Any) -> float | None:
    """Records a second of all workers together; None where none has had any of late."""
    found: float | None = await connection.fetchval(PACE, AGE_SECONDS_MAX)
    return found
