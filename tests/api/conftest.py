"""A client on the application, with a fresh database for each test that changes anything."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from service.adapters.postgres.database import Database
from tests.api.people import People
from tests.api.support import Api, api_on_a_copy, make_api


@pytest.fixture
async def api(database: Database) -> AsyncIterator[Api]:
    """A client with every permission on an application of its own."""
    async with make_api(database) as made:
        yield made


@pytest.fixture
def people(api: Api) -> People:
    """Customers of this application."""
    return People(api)


@pytest.fixture(scope="session")
async def shared(server_url: str, template: str) -> AsyncIterator[Api]:
    """A client for tests that change nothing, on a database that all of them share."""
    async with api_on_a_copy(server_url, template) as made:
        yield made
