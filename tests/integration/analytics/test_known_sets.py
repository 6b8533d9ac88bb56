"""The data sets with known answers, through the hot path: analytics of every segment are what the oracle says."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import text

from service.adapters.postgres.database import Database
from service.core import instants
from tests.analytics_oracle import Oracle, micros
from tests.exact import DataSet, data_folder, data_sets
from tests.facts import Service
from tests.integration.analytics.support import comparable, told

#: The small ones; the others take minutes.
SETS = [one for one in data_sets() if one.startswith("edge_cases")]
_STAYS = text("""
SELECT external_id, joined_at, left_at FROM customer_segment_memberships JOIN customers USING (customer_id)
WHERE segment_id = :segment_id
""")


@pytest.mark.parametrize("name", SETS)
async def test_known_set(database: Database, name: str) -> None:
    """Members come by the hot path and by timers, and the figures from them and from the facts."""
    folder = data_folder()
    assert folder is not None
    data = DataSet(folder, name)
    lines = list(data.lines())
    happened = [json.loads(line) for line in lines]
    at = max(micros(one["time"]) for one in happened) + instants.DAY
    service = Service(database, data.currency)
    ids = await service.define(data.segments())
    await service.take(lines, at)
    await service.fire(at)
    gone = {one["data"]["customer_id"] for one in happened if one["type"] == "customer.deleted"}
    kept = [one for one in happened if one["data"].get("customer_id") not in gone]
    for segment_id in list(ids.values())[:12]:
        async with database.snapshot() as connection:
            rows = (await connection.execute(_STAYS, {"segment_id": segment_id})).all()
        stays = [
            (row[0], instants.from_datetime(row[1]), None if row[2] is None else instants.from_datetime(row[2]))
            for row in rows
        ]
        expected = Oracle(kept, stays, at).analytics("Europe/Berlin")
        for is_live in (False, True):
            found = await told(database, segment_id, at, "Europe/Berlin", is_live=is_live)
            assert comparable(found, expected) == expected
