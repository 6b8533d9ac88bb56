"""The live socket beside the other roles, as a process, and through a restart of the broker."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from typing import Any
from uuid import uuid4

import pytest
from fastapi import APIRouter, FastAPI, WebSocket
from websockets.asyncio.client import connect

from service.adapters.kafka.topics import create_topics
from service.adapters.postgres.database import Database
from service.api.auth import RouteWithoutPermission, check_routes
from service.app.tokens import Permission
from service.settings import load_settings
from service.stack.group import Servers
from tests import shop
from tests.api.support import SECRET, token
from tests.api.test_serve import serving as process_serving
from tests.integration.live.conftest import SECONDS_MAX, ids_of, publishing, received, serving, settings_for
from tests.world import World, create


class TestProduct:
    """With all roles."""

    async def test_a_transition_arrives(self, made: World, database: Database) -> None:
        """An event that makes somebody a member comes out of the socket as it was published to the topic."""
        segment = (await create(database, {"Buyers": {"total_orders": {"operator": "gte", "value": 1}}}, shop.CLOCK))[
            "Buyers"
        ]
        settings = load_settings(
            kafka_bootstrap=made.kafka,
            database_url=made.database_url,
            membership_topic=made.membership,
            jwt_secret=SECRET,
        )
        made.start_all()
        async with serving(settings, database) as live, live.connect(f"?segment={segment}") as client:
            await asyncio.to_thread(made.publish, [order("C-1"), order("C-2")])
            found = sorted(await received(client, 2), key=lambda one: one["data"]["external_id"])
            await asyncio.to_thread(made.wait_idle)
        published = sorted(made.changes(), key=lambda one: one.external_id)

        assert [one["id"] for one in found] == [one.event_id for one in published]
        assert [one["data"]["external_id"] for one in found] == ["C-1", "C-2"]
        first = found[0]
        assert (first["type"], first["subject"]) == ("segment.joined", published[0].customer_id)
        assert first["data"]["segment_name"] == "Buyers"
        assert first["data"]["reason"] == "event"
        assert first["time"] == first["data"]["effective_at"]


def order(customer: str) -> dict[str, Any]:
    """An order of this customer."""
    data = {"order_id": f"o-{customer}", "customer_id": customer, "currency": "USD", "total": 10}
    envelope = {"specversion": "1.0", "source": "/test", "id": f"e-{customer}", "type": "order.placed"}
    return {**envelope, "time": shop.CLOCK, "data": data}


class TestProcess:
    """`segments serve`."""

    async def test_log_and_end(self, session_servers: Servers, database_url: str) -> None:
        """The process says in its log that there was a socket and not with which token; SIGTERM ends both."""
        settings = settings_for(session_servers.kafka_bootstrap, database_url)
        await create_topics(settings)
        changes = {"KAFKA_BOOTSTRAP": settings.kafka_bootstrap, "MEMBERSHIP_TOPIC": settings.membership_topic}
        secret = token(Permission.READ)
        named = {f"SEGMENTS_{name}": str(value) for name, value in changes.items()}
        async with process_serving(database_url, **named) as (process, client):
            url = f"ws://127.0.0.1:{client.base_url.port}/api/live?token="
            with pytest.raises(Exception, match="401"):
                await connect(f"{url}{secret}x")
            async with connect(url + secret) as socket, publishing(settings) as publisher:
                await publisher.send([uuid4()])
                assert await ids_of(socket, 1) == ["t-1"]
                process.send_signal(signal.SIGTERM)
                out, err = await asyncio.wait_for(process.communicate(), SECONDS_MAX)
                await socket.wait_closed()

        log = (out + err).decode()
        lines = [json.loads(line) for line in log.splitlines() if '"socket"' in line]
        assert process.returncode == 0, log
        assert socket.close_code == 1012
        assert [(one["route"], one["status"]) for one in lines] == [("/api/live", 401), ("/api/live", 101)]
        for part in secret.split("."):
            assert part not in log
        assert "Traceback" not in log


class TestBroker:
    """The broker goes and comes back."""

    async def test_restart(self, own_kafka: Servers, database: Database, database_url: str) -> None:
        """A socket outlives its broker: what is published after the restart comes, once, and nothing hangs."""
        settings = settings_for(own_kafka.kafka_bootstrap, database_url)
        await create_topics(settings)
        async with serving(settings, database) as live, live.connect() as client:
            async with live.publishing() as publisher:
                await publisher.send([uuid4()])
                assert await ids_of(client, 1) == ["t-1"]
            (pid,) = own_kafka.pids()["kafka"]
            os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(2)
            await asyncio.to_thread(own_kafka.ensure_one_running, "kafka")
            async with live.publishing() as publisher:
                await publisher.send([uuid4(), uuid4()])
            assert await ids_of(client, 2) == ["t-1", "t-2"]
            os.kill(own_kafka.pids()["kafka"][0], signal.SIGKILL)
            started = time.monotonic()
            await client.close()
        assert time.monotonic() - started < SECONDS_MAX


class TestDenyByDefault:
    """Sockets are routes."""

    def test_a_socket_without_permission_stops_the_start(self) -> None:
        """A socket that declares nothing is refused when the application is made."""
        router = APIRouter()

        @router.websocket("/open")
        async def open_to_all(websocket: WebSocket) -> None:
            await websocket.accept()

        app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
        app.include_router(router)
        with pytest.raises(RouteWithoutPermission, match="/open"):
            check_routes(app)
