"""Doors with a broker behind them, and without one."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from service.adapters.kafka.topics import create_topics
from service.adapters.postgres.database import Database
from service.stack.group import Servers
from tests.api.events.support import Door, door_settings, open_door


@pytest.fixture
async def door(database: Database, session_servers: Servers) -> AsyncIterator[Door]:
    """The application on topics of this test's own."""
    settings = door_settings(session_servers.kafka_bootstrap)
    await create_topics(settings)
    async with open_door(database, settings) as made:
        yield made


@pytest.fixture
async def lonely(database: Database) -> AsyncIterator[Door]:
    """The application without a broker."""
    async with open_door(database, door_settings("127.0.0.1:1")) as made:
        yield made
