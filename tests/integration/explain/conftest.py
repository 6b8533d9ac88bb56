"""One customer's history, stored."""

from __future__ import annotations

import pytest

from service.adapters.postgres.database import Database
from tests.facts import Service
from tests.integration.explain.support import service_of_ada


@pytest.fixture
async def service(database: Database) -> Service:
    """A service with definitions and one customer's history applied, timers fired."""
    return await service_of_ada(database)
