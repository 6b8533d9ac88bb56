"""How fast workers apply records, as each measured it last while it had any."""

from __future__ import annotations

from typing import Any, Final

#: Workers without news for longer are gone or idle; their pace tells little.
AGE_SECONDS_MAX: Final = 3_600

TELL: Final = """
INSERT INTO workers (member, records_per_second) VALUES ($1, $2)
ON CONFLICT (member) DO UPDATE SET records_per_second = EXCLUDED.records_per_second, at = now()
"""
FORGET: Final = "DELETE FROM workers WHERE at < now() - make_interval(secs => $1)"
PACE: Final = """
SELECT sum(records_per_second) FROM workers WHERE at >= now() - make_interval(secs => $1)
"""


async def tell_pace(connection: Any, member: str, records_per_second: float) -> None:
    """Notes how fast this worker is, and forgets those of long ago."""
    await connection.execute(TELL, member, records_per_second)
    await connection.execute(FORGET, AGE_SECONDS_MAX)


async def pace(connection: Any) -> float | None:
    """Records a second of all workers together; None where none has had any of late."""
    found: float | None = await connection.fetchval(PACE, AGE_SECONDS_MAX)
    return found
