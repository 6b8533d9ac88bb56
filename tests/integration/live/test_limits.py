"""What a live socket may cost, and how it ends."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest
from websockets.exceptions import InvalidStatus

from service.adapters.postgres.database import Database
from service.api import live as live_route
from service.api.server import DRAIN_SECONDS_MAX
from service.app import live as hub
from tests.integration.live.conftest import (
    SECONDS_MAX,
    Live,
    Publisher,
    goodbye,
    ids_of,
    refused,
    serving,
    settings_for,
    until,
)

A = UUID(int=1)


class TestLimits:
    """What is bounded."""

    async def test_slow_reader(self, live: Live, publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
        """Who does not read is closed with 1013 and a sentence; who reads beside it gets everything."""
        monkeypatch.setattr(hub, "WAITING_MAX", 400)
        monkeypatch.setattr(hub, "PATIENCE_SECONDS", 0.05)
        name = "x" * 20_000
        async with live.connect(max_queue=1) as slow, live.connect() as fast:
            reading = asyncio.create_task(ids_of(fast, 2_000))
            for _ in range(20):
                await publisher.send([A] * 100, name=name)
            assert len(await reading) == 2_000
            code, said = await goodbye(slow)

        assert (code, "slowly" in said) == (1013, True)

    async def test_stalled_reader(self, live: Live, publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
        """Who reads nothing for a while is closed with 1013, too, long before too much waits."""
        monkeypatch.setattr(live_route, "SEND_SECONDS_MAX", 0.5)
        async with live.connect(max_queue=1) as stalled:
            await publisher.send([A] * 600, name="x" * 20_000)
            await asyncio.sleep(2)
            code, said = await goodbye(stalled)

        assert (code, "slowly" in said) == (1013, True)

    async def test_who_never_reads(self, live: Live, publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
        """Who does not even take the goodbye is forgotten all the same, and the reading stops."""
        monkeypatch.setattr(hub, "WAITING_MAX", 400)
        monkeypatch.setattr(hub, "PATIENCE_SECONDS", 0.05)
        monkeypatch.setattr(live_route, "CLOSE_SECONDS_MAX", 0.2)
        client = await live.connect(max_queue=1)
        client.transport.pause_reading()
        for _ in range(20):
            await publisher.send([A] * 100, name="x" * 20_000)
        await until(lambda: not live.is_reading)
        client.transport.abort()

    async def test_sockets(self, live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
        """Too many sockets are a 429 with Retry-After; when one goes there is room again."""
        monkeypatch.setattr(hub, "LISTENERS_MAX", 2)
        async with live.connect():
            async with live.connect():
                assert (await refused(live))[0] == 429
            async with asyncio.timeout(SECONDS_MAX):
                while True:
                    try:
                        await (await live.connect()).close()
                        break
                    except InvalidStatus:
                        await asyncio.sleep(0.05)

    async def test_writing(self, live: Live, publisher: Publisher) -> None:
        """A word now and then is ignored; a long one, or very many, end the socket."""
        async with live.connect() as long:
            await long.send("x" * 2_000)
            assert (await goodbye(long))[0] == 1009
        async with live.connect() as many:
            for _ in range(10):
                await many.send("ping")
            await publisher.send([A])
            assert await ids_of(many, 1) == ["t-1"]
            for _ in range(100):
                await many.send("ping")
            assert (await goodbye(many))[0] == 1008

    async def test_pings(self, live: Live) -> None:
        """Pings of the client are answered."""
        async with live.connect() as client:
            assert await asyncio.wait_for(await client.ping(), SECONDS_MAX) >= 0


class TestEnd:
    """How it ends."""

    async def test_drain(self, live: Live) -> None:
        """When the process is told to end, sockets are closed with 1012 and nothing keeps it."""
        async with live.connect() as client, live.connect() as other:
            live.stop.set()
            found = {(await goodbye(client))[0], (await goodbye(other))[0]}
        # Before the end would come in any case.
        await asyncio.wait_for(live.ended, 0.9 * DRAIN_SECONDS_MAX)

        assert found == {1012}
        assert not live.is_reading

    async def test_no_broker(self, database: Database, database_url: str) -> None:
        """Without a broker the socket is refused with 503, and the next one tries again."""
        async with serving(settings_for("127.0.0.1:1", database_url), database) as live:
            assert (await refused(live))[0] == 503
            assert (await refused(live))[0] == 503

    async def test_no_topic(self, live: Live, database: Database, database_url: str) -> None:
        """Without the topic too, and it is not created by looking."""
        settings = settings_for(str(live.settings.kafka_bootstrap), database_url)
        async with serving(settings, database) as other:
            assert (await refused(other))[0] == 503
            assert (await refused(other))[0] == 503

    async def test_the_tail_fails(self, live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where the topic cannot be read any more, sockets end with a sentence, and the next one starts anew."""
        async with live.connect() as client:

            async def failing(*_: object) -> None:
                raise OSError

            monkeypatch.setattr("service.adapters.kafka.tail._take_new_partitions", failing)
            code, said = await goodbye(client)
        monkeypatch.undo()
        async with live.connect():
            pass

        assert (code, "topic" in said) == (1013, True)

    async def test_an_unforeseen_error(self, live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
        """An error that nobody foresaw is a 500 before the upgrade and 1011 after it, and never a traceback."""

        async def broken(*_: object) -> None:
            raise RuntimeError("secret")

        monkeypatch.setattr(live_route, "_serve", broken)
        async with live.connect() as client:
            assert (await goodbye(client))[0] == 1011
        monkeypatch.setattr(live_route, "_segments", broken)

        status, body = await refused(live)
        assert (status, "secret" in str(body)) == (500, False)
