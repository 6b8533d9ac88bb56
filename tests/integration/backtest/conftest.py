"""A shop by the hot path."""

from __future__ import annotations

import pytest

from service.adapters.postgres.database import Database
from tests.facts import Service
from tests.integration.backtest.support import shop_service


@pytest.fixture
async def service(database: Database) -> Service:
    """A shop by the hot path, a customer who is erased, and one with events that arrive late."""
    return await shop_service(database)
