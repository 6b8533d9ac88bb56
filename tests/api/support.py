"""A client on the application, and rows as batches would leave them behind."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import httpx2
from fastapi import FastAPI
from sqlalchemy import insert, select, text

from service.adapters.postgres import operation_tables, tables
from service.adapters.postgres.database import Database
from service.api.app import build_app, token_rules
from service.app.tokens import Permission
from service.settings import Settings, load_settings
from tests.conftest import database_copy

BASE = "/api/customer-segments"
SECRET = "a secret for tests, long enough for every algorithm that HMAC is used with"  # noqa: S105
#: What the clock of these tests says, in microseconds.
NOW = 1_700_000_000_000_000
BIG = {"total_spent": {"operator": "gte", "value": "500.00"}}
JOINED = datetime(2024, 2, 29, 12, tzinfo=UTC)


def settings() -> Settings:
    """Settings with a secret."""
    return load_settings(jwt_secret=SECRET)


def token(*permissions: str, sub: str = "u-1", name: str = "Ursula Main") -> str:
    """A good token."""
    return token_rules(settings()).issue(sub, name, permissions, ttl_seconds=60)


def bearer(value: str) -> dict[str, str]:
    """The header that carries a token."""
    return {"authorization": f"Bearer {value}"}


@dataclass
class Broker:
    """A broker check that a test can make fail."""

    error: Exception | None = None

    async def __call__(self) -> None:
        """Raises what the test wants."""
        if self.error:
            raise self.error


@dataclass
class Api:
    """The application and a client on it; every request carries all permissions unless headers say otherwise."""

    app: FastAPI
    client: httpx2.AsyncClient
    database: Database
    broker: Broker

    async def send(self, method: str, path: str = "", **options: Any) -> httpx2.Response:
        """One request below the base address."""
        headers = {**bearer(token(*Permission)), **options.pop("headers", {})}
        return await self.client.request(method, BASE + path, headers=headers, **options)

    async def create(self, **body: Any) -> dict[str, Any]:
        """A new segment, as the API shows it."""
        response = await self.send("POST", json={"segment_name": "Big spenders", "criteria": BIG, **body})
        assert response.status_code == 201, response.text
        return response.json()["data"]

    async def row(self, segment_id: str) -> Any:
        """The segment's row in the database."""
        return (await self.rows(select(tables.customer_segments).where(tables.customer_segments.c.id == segment_id)))[0]

    async def catalogue(self) -> tuple[int, dict[str, Any]]:
        """The catalogue's version and shape."""
        row = (await self.rows(select(tables.catalogue)))[0]
        return row.version, row.shape

    async def rows(self, statement: Any) -> Sequence[Any]:
        """What a statement finds."""
        async with self.database.transaction() as connection:
            return (await connection.execute(statement)).all()

    async def run(self, statement: str, **values: Any) -> None:
        """Runs a statement of SQL."""
        async with self.database.transaction() as connection:
            await connection.execute(text(statement), values)


@asynccontextmanager
async def make_api(database: Database) -> AsyncIterator[Api]:
    """An application under a clock that stands still."""
    broker = Broker()
    app = build_app(settings(), database, lambda: NOW, broker)
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://api.test") as client:
        yield Api(app, client, database, broker)


@asynccontextmanager
async def api_on_a_copy(server_url: str, template: str) -> AsyncIterator[Api]:
    """A client on an application with a database of its own, for tests that share it."""
    async with database_copy(server_url, template) as url:
        database = Database.connect(url, role="tests", pool_size=8)
        async with make_api(database) as made:
            yield made
        await database.close()


def profile(customer_id: UUID, **values: Any) -> dict[str, Any]:
    """A row of profiles."""
    blank = {
        "customer_id": customer_id,
        "total_orders": 0,
        "total_spent": 0,
        "first_seen_at": 0,
        "registered_at": None,
        "last_order_at": None,
        "evaluated_to": 0,
        "born": 0,
        "mark": 0,
        "shape_version": 0,
        "ordinals": b"",
        "state": b"",
    }
    return {**blank, **values}


def customer(customer_id: UUID, external_id: str, **values: Any) -> dict[str, Any]:
    """A row of customers."""
    names = ("name", "email", "phone", "customer_type", "country", "state", "city")
    return {"customer_id": customer_id, "external_id": external_id, **dict.fromkeys(names), **values}


async def add_members(
    database: Database, segment_id: str, customers: Iterable[dict[str, Any]], profiles: Iterable[dict[str, Any]] = ()
) -> None:
    """Customers who are members of the segment; who has no profile given gets a blank one."""
    people = list(customers)
    given = {one["customer_id"]: one for one in profiles}
    memberships = [
        {
            "customer_id": one["customer_id"],
            "segment_id": UUID(segment_id),
            "ordinal": 1,
            "joined_at": JOINED,
            "membership_source": "event",
            "segment_version": 1,
        }
        for one in people
    ]
    async with database.transaction() as connection:
        await connection.execute(insert(tables.customers), people)
        blank = [given.get(one["customer_id"]) or profile(one["customer_id"]) for one in people]
        await connection.execute(insert(tables.profiles), blank)
        await connection.execute(insert(tables.memberships), memberships)


async def add_many(database: Database, segment_id: str, count: int) -> None:
    """So many members with random ids, C-1 and on."""
    statements = (
        """
        INSERT INTO customers (customer_id, external_id)
        SELECT gen_random_uuid(), 'C-' || n FROM generate_series(1, :count) n
        """,
        """
        INSERT INTO profiles (customer_id, total_orders, total_spent, first_seen_at, evaluated_to, born, mark,
                              shape_version, ordinals, state)
        SELECT customer_id, 2, 4999, 0, 0, 0, 0, 0, '', '' FROM customers
        """,
        """
        INSERT INTO customer_segment_memberships (customer_id, segment_id, ordinal, joined_at, membership_source,
                                                  segment_version)
        SELECT customer_id, CAST(:segment AS uuid), 1, now(), 'event', 1 FROM customers
        """,
        "UPDATE customer_segments SET customer_count = customer_count + :count WHERE id = CAST(:segment AS uuid)",
    )
    async with database.transaction() as connection:
        for statement in statements:
            values = {"count": count, "segment": segment_id}
            names = {name: value for name, value in values.items() if f":{name}" in statement}
            await connection.execute(text(statement), names)


async def add_letter(api: Api) -> int:
    """A dead letter; gives its id."""
    values = {"reason": "invalid_data", "error": "Wrong.", "topic": "orders", "partition": 0, "offset": 0}
    added = insert(operation_tables.dead_letters).values(**values).returning(operation_tables.dead_letters.c.id)
    return (await api.rows(added))[0][0]


async def with_customers(api: Api) -> None:
    """Three customers who are there already."""
    await add_many(api.database, str(uuid4()), 3)
