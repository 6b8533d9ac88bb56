"""Sound databases, in which a test may then change something by hand."""

from __future__ import annotations

import pytest

from service.adapters.postgres.database import Database
from tests.facts import Service
from tests.integration.verify.language import Shop, sound_shop
from tests.integration.verify.plain import sound_service


@pytest.fixture
async def service(database: Database) -> Service:
    """A service with definitions, events and all timers fired."""
    return await sound_service(database)


@pytest.fixture
async def shop(database: Database) -> Shop:
    """Segments of every kind, events, pins and timers fired; `stranger` is known by a pin alone."""
    return await sound_shop(database)
