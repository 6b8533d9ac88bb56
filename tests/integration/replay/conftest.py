"""A shop with garbage among its events, applied and published."""

from __future__ import annotations

import pytest

from service.adapters.postgres.database import Database
from tests import shop
from tests.integration.replay.support import GARBAGE, Told, tell
from tests.world import World, create


@pytest.fixture
async def told(made: World, database: Database) -> Told:
    """Events on both topics and some garbage, applied by two workers, and what came of it; the roles run on."""
    ids = await create(database, shop.SEGMENTS, shop.CLOCK)
    made.start_all(workers=2)
    events = shop.events(customers=40, count=300, seed=11)
    made.publish(events)
    made.run("publish", "-", "--topic", made.orders, data=GARBAGE)
    made.wait_idle()
    return await tell(made, database, ids, events)
