"""The roles as processes, for tests of what they do together."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from service.stack.group import Servers
from tests import shop
from tests.world import World, world


@pytest.fixture
def made(session_servers: Servers, database_url: str) -> Iterator[World]:
    """Roles on topics of this test's own."""
    with world(session_servers.kafka_bootstrap, database_url, shop.CLOCK) as running:
        yield running
