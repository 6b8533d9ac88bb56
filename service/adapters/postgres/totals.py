"""What all roles have counted, summed up in one small table, so that it outlives them."""

from __future__ import annotations

import json
from typing import Any, Final

from service.app.metrics import Values

#: In one order, so that roles which tell at the same time wait for each other and never in a circle.
ADD: Final = """
INSERT INTO metric_totals AS t (name, labels, value)
SELECT name, labels, value FROM unnest($1::text[], $2::text[], $3::float8[]) AS one (name, labels, value)
ORDER BY name COLLATE "C", labels COLLATE "C"
ON CONFLICT (name, labels) DO UPDATE SET value = t.value + EXCLUDED.value
"""
ALL: Final = "SELECT name, labels, value FROM metric_totals"


async def add(connection: Any, sums: Values) -> None:
    """Adds to the totals; one statement, all or nothing."""
    if sums:
        names = [name for name, _ in sums]
        labels = [json.dumps(labels) for _, labels in sums]
        await connection.execute(ADD, names, labels, [float(value) for value in sums.values()])


async def read(connection: Any) -> Values:
    """All totals."""
    return {(name, tuple(json.loads(labels))): value for name, labels, value in await connection.fetch(ALL)}
