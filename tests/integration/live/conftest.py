"""A server with live sockets on a topic of the test's own, and a producer that publishes as the relay does."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest
from aiokafka import AIOKafkaProducer
from fastapi import FastAPI
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from service.adapters.kafka.topics import create_topics
from service.adapters.postgres.database import Database
from service.api.app import build_app
from service.api.server import serve_api
from service.app.tokens import Permission
from service.settings import Settings, load_settings
from service.stack.group import Servers
from tests.api.support import NOW, SECRET, Broker, bearer, token

SECONDS_MAX = 20


@dataclass
class Live:
    """A server in this process, on a real port."""

    app: FastAPI
    settings: Settings
    url: str
    stop: asyncio.Event
    ended: asyncio.Task[None]

    def connect(self, query: str = "", *, permissions: Iterable[str] = (Permission.READ,), **options: Any) -> connect:
        """A client's socket, with a good token in the header unless headers are given."""
        options.setdefault("additional_headers", bearer(token(*permissions)))
        return connect(self.url + query, **options)

    @property
    def is_reading(self) -> bool:
        """Whether the process reads the topic."""
        return bool(self.app.state.live.is_reading)

    def publishing(self) -> AbstractAsyncContextManager[Publisher]:
        """A producer on the topic."""
        return publishing(self.settings)


class Publisher:
    """Publishes joined/left events in transactions."""

    def __init__(self, producer: AIOKafkaProducer, topic: str) -> None:
        self._producer, self._topic = producer, topic
        self._count = 0

    async def send(self, segments: Iterable[UUID], *, name: str = "VIP", is_aborted: bool = False) -> list[str]:
        """One transaction with an event for each of these; gives their ids."""
        ids = []
        await self._producer.begin_transaction()
        for segment_id in segments:
            self._count += 1
            ids.append(f"t-{self._count}")
            await self._producer.send(self._topic, *event(segment_id, ids[-1], name))
        await (self._producer.abort_transaction() if is_aborted else self._producer.commit_transaction())
        return ids

    async def send_raw(self, value: bytes, headers: list[tuple[str, bytes]]) -> None:
        """One transaction with this record."""
        await self._producer.begin_transaction()
        await self._producer.send(self._topic, value, headers=headers)
        await self._producer.commit_transaction()


def event(segment_id: UUID, event_id: str, name: str) -> tuple[bytes, bytes, None, None, list[tuple[str, bytes]]]:
    """A record as the relay sends it (service.app.outgoing): value, key, partition, timestamp, headers."""
    data = {"customer_id": str(uuid4()), "segment_id": str(segment_id), "segment_name": name, "sequence": 1}
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", event_id.encode()),
        ("ce_source", b"/customer-segments"),
        ("ce_type", b"segment.joined"),
        ("ce_subject", data["customer_id"].encode()),
        ("ce_time", b"2024-02-29T12:00:00Z"),
        ("content-type", b"application/json"),
    ]
    return json.dumps(data).encode(), data["customer_id"].encode(), None, None, headers


@asynccontextmanager
async def publishing(settings: Settings) -> AsyncIterator[Publisher]:
    """A transactional producer."""
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka_bootstrap, transactional_id=f"live-{uuid4().hex}", max_request_size=2**24
    )
    await producer.start()
    try:
        yield Publisher(producer, settings.membership_topic)
    finally:
        await producer.stop()


@asynccontextmanager
async def serving(settings: Settings, database: Database) -> AsyncIterator[Live]:
    """The server, ended at the end of the block."""
    app = build_app(settings, database, lambda: NOW, Broker())
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    stop = asyncio.Event()
    ended = asyncio.create_task(serve_api(app, app.state.traffic, "127.0.0.1", port, stop))
    try:
        async with asyncio.timeout(SECONDS_MAX):
            while not await _listens(port):  # noqa: ASYNC110 - the server has no event for it
                await asyncio.sleep(0.02)
        yield Live(app, settings, f"ws://127.0.0.1:{port}/api/live", stop, ended)
    finally:
        stop.set()
        await asyncio.wait_for(ended, SECONDS_MAX)


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


def settings_for(kafka: str, database_url: str, **changes: Any) -> Settings:
    """Settings with topics of the test's own."""
    name = f"live{uuid4().hex[:10]}"
    topics = {kind: f"{name}-{kind}" for kind in ("orders", "customers", "membership")}
    return load_settings(
        kafka_bootstrap=kafka,
        database_url=database_url,
        jwt_secret=SECRET,
        partitions=3,
        dead_letter_topic=f"{name}-dead",
        **{**{f"{kind}_topic": topic for kind, topic in topics.items()}, **changes},
    )


@pytest.fixture
async def live(session_servers: Servers, database_url: str, database: Database) -> AsyncIterator[Live]:
    """A server on topics of this test's own."""
    settings = settings_for(session_servers.kafka_bootstrap, database_url)
    await create_topics(settings)
    async with serving(settings, database) as made:
        yield made


@pytest.fixture
async def publisher(live: Live) -> AsyncIterator[Publisher]:
    """A producer on the server's topic."""
    async with live.publishing() as made:
        yield made


async def received(client: ClientConnection, count: int) -> list[dict[str, Any]]:
    """So many events from a socket."""
    async with asyncio.timeout(SECONDS_MAX):
        return [json.loads(await client.recv()) for _ in range(count)]


async def ids_of(client: ClientConnection, count: int) -> list[str]:
    """The ids of so many events, sorted: partitions come in any order."""
    return sorted([one["id"] for one in await received(client, count)], key=lambda one: int(one.removeprefix("t-")))


async def until(condition: Any) -> None:
    """Waits until this is true."""
    async with asyncio.timeout(SECONDS_MAX):
        while not condition():  # noqa: ASYNC110 - the server has no event for it
            await asyncio.sleep(0.02)


async def refused(live: Live, query: str = "", **options: Any) -> tuple[int, dict[str, Any]]:
    """The status and body that a socket is refused with before the upgrade."""
    with pytest.raises(InvalidStatus) as error:
        await live.connect(query, **options)
    response = error.value.response
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["x-request-id"]
    return response.status_code, json.loads(response.body)


async def goodbye(client: ClientConnection) -> tuple[int, str]:
    """Code and sentence of the end of a socket, whatever still came before."""
    async with asyncio.timeout(SECONDS_MAX):
        with contextlib.suppress(ConnectionClosed):
            while True:
                await client.recv()
    assert client.close_code is not None
    return client.close_code, client.close_reason or ""
