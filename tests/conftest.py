"""Real servers for the whole session, brought up here; a fresh database and fresh topics for each test."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import text

from service.adapters.postgres.database import Database
from service.adapters.postgres.migrate import migrate
from service.settings import load_settings
from service.stack.group import Servers
from service.stack.servers import start_servers
from tests.servers import test_servers


@pytest.fixture(scope="session")
def session_servers() -> Iterator[Servers]:
    """Kafka and PostgreSQL; those that the environment names, else started here."""
    with test_servers(fsync=False) as servers:
        yield servers


@pytest.fixture
def own_kafka(database_url: str) -> Iterator[Servers]:
    """A broker of this test's own, which it may freeze and kill."""
    names = ("SEGMENTS_KAFKA_BOOTSTRAP", "SEGMENTS_STACK")
    before = {name: os.environ.pop(name) for name in names if name in os.environ}
    os.environ["SEGMENTS_STACK"] = "embedded"
    try:
        with tempfile.TemporaryDirectory(prefix="segments-broker-") as folder:
            servers = start_servers(load_settings(database_url=database_url), Path(folder))
            try:
                yield servers
            finally:
                servers.stop(discard=True)
    finally:
        del os.environ["SEGMENTS_STACK"]
        os.environ.update(before)


@pytest.fixture(scope="session")
def server_url(session_servers: Servers) -> str:
    """The URL of a PostgreSQL in which tests make databases of their own."""
    return session_servers.database_url


async def _execute(url: str, statement: str) -> None:
    database = Database.connect(url, role="tests", pool_size=1)
    async with database.engine.connect() as connection:
        autocommit = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await autocommit.execute(text(statement))
    await database.close()


def _sibling(url: str, name: str) -> str:
    return f"{url.rsplit('/', 1)[0]}/{name}"


@pytest.fixture(scope="session")
async def template(server_url: str) -> AsyncIterator[str]:
    """The name of a database with the schema and nothing else."""
    name = f"template_{uuid4().hex}"
    await _execute(server_url, f"CREATE DATABASE {name}")
    made = Database.connect(_sibling(server_url, name), role="tests", pool_size=1)
    await migrate(made.engine)
    await made.close()
    yield name
    await _execute(server_url, f"DROP DATABASE {name} WITH (FORCE)")


@asynccontextmanager
async def database_copy(server_url: str, template: str) -> AsyncIterator[str]:
    """The URL of a fresh database, dropped at the end."""
    name = f"test_{uuid4().hex}"
    await _execute(server_url, f"CREATE DATABASE {name} TEMPLATE {template}")
    yield _sibling(server_url, name)
    await _execute(server_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def database_url(server_url: str, template: str) -> AsyncIterator[str]:
    """A database of this test's own."""
    async with database_copy(server_url, template) as url:
        yield url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A pool on this test's database."""
    made = Database.connect(database_url, role="tests", pool_size=8)
    yield made
    await made.close()
