"""Roles on topics and a database of one test's own, by the wall clock."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from service.stack.group import Servers
from tests.world import World, world

pytest.register_assert_rewrite("tests.integration.dispatch.support")


@pytest.fixture
def shop(session_servers: Servers, database_url: str) -> Iterator[World]:
    """A world in which nothing runs yet."""
    with world(session_servers.kafka_bootstrap, database_url, "wall") as running:
        yield running


def start(shop: World, dispatchers: int = 1) -> None:
    """All roles but the API."""
    shop.start_all()
    for slot in range(dispatchers):
        shop.start("dispatch", slot)
