"""Events, and the application as their door into Kafka."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx2
from fastapi import FastAPI

from service.adapters.postgres.database import Database
from service.api.app import build_app
from service.app.tokens import Permission
from service.settings import Settings, load_settings
from tests.api.support import NOW, SECRET, Broker, bearer, token
from tests.topics import read_topics

PATH = "/api/events"
HMAC_SECRET = "whsec_" + b64encode(b"a secret of senders, 32 bytes at least").decode()


def event(number: int, kind: str = "order.placed", **data: Any) -> dict[str, Any]:
    """A good event."""
    order = {"order_id": f"o{number}", "currency": "USD", "total": "9.90"} if kind == "order.placed" else {}
    envelope = {"specversion": "1.0", "id": f"e{number}", "source": "/t", "type": kind, "time": "2023-11-01T00:00:00Z"}
    return {**envelope, "data": {"customer_id": "c1", **order, **data}}


@dataclass
class Door:
    """The application on topics of its own."""

    app: FastAPI
    client: httpx2.AsyncClient
    settings: Settings

    async def post(self, body: Any, **headers: str) -> httpx2.Response:
        """Sends a body with a token that may send events."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.raw(json.dumps(body).encode(), **bearer(token(Permission.WRITE_EVENTS)), **named)

    async def raw(self, body: bytes, **headers: str) -> httpx2.Response:
        """Sends bytes with these headers alone."""
        return await self.client.post(PATH, content=body, headers=headers)

    async def records(self) -> list[Any]:
        """All that lies on the input topics, in order of topic, partition and offset."""
        return await read_topics(str(self.settings.kafka_bootstrap), *self.settings.input_topics)


@asynccontextmanager
async def open_door(database: Database, settings: Settings) -> AsyncIterator[Door]:
    """An application with a client on it."""
    app = build_app(settings, database, lambda: NOW, Broker())
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://api.test") as client:
        yield Door(app, client, settings)
    await app.state.intake.publisher.close()


def door_settings(kafka: str, **changes: Any) -> Settings:
    """Settings with topics of their own."""
    name = f"t{uuid4().hex[:12]}"
    topics = {f"{one}_topic": f"{name}-{one}" for one in ("orders", "customers", "membership", "dead_letter")}
    values = {"jwt_secret": SECRET, "kafka_bootstrap": kafka, "partitions": 3, "events_hmac_secret": HMAC_SECRET}
    return load_settings(**{**values, **topics, **changes})
