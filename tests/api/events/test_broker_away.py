"""Events over HTTP while the broker is away, hangs, or lacks the topics."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
from dataclasses import replace
from typing import Any

from service.adapters.kafka.lasting import LastingPublisher
from service.adapters.kafka.topics import create_topics
from service.adapters.postgres.database import Database
from service.api.events import Intake
from service.stack.group import Servers
from service.stack.ports import free_port
from tests.api.events.support import Door, door_settings, event, open_door
from tests.soak.proxy import Link

#: An answer that takes longer never comes.
HANGS_SECONDS = 60


class TestBrokerAway:
    """What happens without Kafka."""

    async def test_503(self, lonely: Door) -> None:
        """The application starts all the same; events are answered by 503 with retry-after, at once."""
        async with asyncio.timeout(HANGS_SECONDS):
            response = await lonely.post([event(1)])

        assert response.status_code == 503
        assert int(response.headers["retry-after"]) > 0

    async def test_comes_back(self, door: Door) -> None:
        """A broker that hangs is a 503 within the time; afterwards requests are served, and nothing is lost."""
        host, _, port = str(door.settings.kafka_bootstrap).partition(":")
        assert host in ("127.0.0.1", "localhost")
        link = Link("kafka", free_port(), int(port))
        await link.start()
        away = door.settings.model_copy(update={"kafka_bootstrap": f"127.0.0.1:{link.port}"})
        intake: Intake = door.app.state.intake
        publisher = LastingPublisher(away, seconds_max=1.0)
        door.app.state.intake = replace(intake, publisher=publisher)
        try:
            with link.stalled():
                async with asyncio.timeout(HANGS_SECONDS):
                    assert (await door.post([event(1)])).status_code == 503
            assert await self.until_served(door, event(2))
        finally:
            door.app.state.intake = intake
            await publisher.close()
            await link.close()
        assert "e2" in {json.loads(one.value)["id"] for one in await door.records()}

    async def test_hangs_with_connections(self, database: Database, own_kafka: Servers) -> None:
        """A broker that stands still is a 503 within the time; what it was sent by then arrives once, and in order."""
        (pid,) = own_kafka.pids()["kafka"]
        settings = door_settings(own_kafka.kafka_bootstrap)
        await create_topics(settings)
        async with open_door(database, settings) as door:
            door.app.state.intake = replace(
                door.app.state.intake, publisher=LastingPublisher(settings, seconds_max=1.5)
            )
            assert (await door.post([event(1)])).status_code == 202
            os.kill(pid, signal.SIGSTOP)
            try:
                async with asyncio.timeout(HANGS_SECONDS):
                    assert (await door.post([event(2)])).status_code == 503
            finally:
                os.kill(pid, signal.SIGCONT)
            assert await self.until_served(door, event(3))
            found = [json.loads(one.value)["id"] for one in await door.records()]
        assert list(dict.fromkeys(found)) in (["e1", "e2", "e3"], ["e1", "e3"])
        assert found.count("e1") == found.count("e3") == 1

    async def until_served(self, door: Door, one: dict[str, Any]) -> bool:
        """Whether the event is accepted within 20 s."""
        for _ in range(20):
            if (await door.post([one])).status_code == 202:
                return True
            await asyncio.sleep(0.5)
        return False

    async def test_no_topics(self, database: Database, session_servers: Servers) -> None:
        """Topics that do not exist are a 503 and not made by the way."""
        settings = door_settings(session_servers.kafka_bootstrap, orders_topic=f"none-{secrets.token_hex(6)}")
        async with open_door(database, settings) as made:
            response = await made.post([event(1)])

        assert response.status_code == 503
