"""Readiness in detail: lines for people, consumers that are missing, and the way to the end."""

from __future__ import annotations

import asyncio
import signal
import time

import httpx2
import pytest
from aiokafka.errors import KafkaConnectionError

from service.adapters.postgres.database import Database
from service.api.app import build_app
from service.settings import load_settings
from service.stack.group import Servers
from tests.api.support import BASE, NOW, SECRET, Api, Broker, add_many
from tests.api.test_serve import SECONDS_MAX, serving
from tests.world import world


class TestVerbose:
    """/readyz?verbose."""

    async def test_all_is_well(self, api: Api) -> None:
        """A line for each check, and 200."""
        for query in ("?verbose", "?verbose=1"):
            response = await api.client.get(f"/readyz{query}")

            assert response.status_code == 200
            assert response.headers["content-type"].startswith("text/plain")
            assert response.text == "[+]database ok\n[+]schema ok\n[+]broker ok\nreadyz check passed\n"

    async def test_parts_are_missing(self, api: Api) -> None:
        """What does not do has a line with its sentence, and the status is 503."""
        api.broker.error = KafkaConnectionError("secret-host:9092")
        await api.run("UPDATE alembic_version SET version_num = '0001'")
        response = await api.client.get("/readyz?verbose")

        assert response.status_code == 503
        assert response.text.startswith("[+]database ok\n[-]schema failed: is at 0001 and must be at ")
        assert "run `segments migrate`\n[-]broker failed: does not answer (KafkaConnectionError)\n" in response.text
        assert response.text.endswith("readyz check failed\n")
        assert "secret-host" not in response.text


async def test_a_crowd_is_one_question(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks while others do gets their answer; who comes later has everything looked at again."""
    asked = 0

    async def slowly() -> None:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0.2)

    monkeypatch.setattr(type(api.broker), "__call__", lambda _: slowly())
    responses = await asyncio.gather(*(api.client.get("/readyz") for _ in range(20)))

    assert {one.status_code for one in responses} == {200}
    assert asked == 1
    await api.client.get("/readyz")
    assert asked == 2


class TestAssignment:
    """Who owns the input."""

    async def test_consumers_come_and_go(self, session_servers: Servers, database_url: str, database: Database) -> None:
        """Partitions without a consumer are told as degraded; the API stays ready."""
        with world(session_servers.kafka_bootstrap, database_url, "wall") as made:
            names = {name.removeprefix("SEGMENTS_").lower(): value for name, value in made.env.items()}
            settings = load_settings(
                jwt_secret=SECRET,
                kafka_bootstrap=made.kafka,
                orders_topic=made.orders,
                customers_topic=made.customers,
                consumer_group=names["consumer_group"],
            )
            made.wait_idle()  # a broker that has just begun knows no coordinator yet
            app = build_app(settings, database, lambda: NOW, Broker())
            transport = httpx2.ASGITransport(app=app)
            async with httpx2.AsyncClient(transport=transport, base_url="http://api.test") as client:
                before, lines = await client.get("/readyz"), await client.get("/readyz?verbose")
                made.start("consume")
                async with asyncio.timeout(SECONDS_MAX):
                    while (await client.get("/readyz")).json()["data"]["checks"]["assignment"] != "ok":  # noqa: ASYNC110
                        await asyncio.sleep(0.2)
                after = await client.get("/metrics")
                await app.state.broker.close()

        sentence = "6 of 6 input partitions have no consumer; see that `segments consume` runs"
        assert (before.status_code, lines.status_code) == (200, 200)
        assert before.json()["data"]["checks"]["assignment"] == "degraded"
        assert before.json()["data"]["degraded"] == {"assignment": sentence}
        assert f"[!]assignment degraded: {sentence}\nreadyz check passed\n" in lines.text
        assert "segmentation_unassigned_partitions 0.0" in after.text
        assert f'segmentation_consumer_lag{{partition="2",topic="{made.orders}"}} 0.0' in after.text
        assert 'segmentation_up{part="broker"} 1.0' in after.text


class TestStopping:
    """SIGTERM."""

    async def test_stopping_is_not_ready(self, api: Api) -> None:
        """Who is told to stop says so, and every answer is its connection's last; /livez stays."""
        await api.app.state.traffic.drain(0.1)
        response, alive = await api.client.get("/readyz"), await api.client.get("/livez")
        lines = await api.client.get("/readyz?verbose")

        assert response.status_code == 503
        assert [fault["path"] for fault in response.json()["errors"]] == ["shutdown"]
        assert "[-]shutdown failed" in lines.text
        assert (alive.status_code, alive.headers["connection"]) == (200, "close")

    async def test_a_slow_export_ends_while_others_are_sent_away(self, database: Database, database_url: str) -> None:
        """The export is whole; meanwhile /readyz is 503, kept connections are closed, and then the exit code is 0."""
        async with serving(database_url) as (process, client):
            segment = (await client.post(BASE, json={"segment_name": "x", "criteria": {}})).json()["data"]["id"]
            await add_many(database, segment, 60_000)
            address = f"{BASE}/{segment}/export?include_customer_details=true"
            assert "connection" not in (await client.get("/readyz")).headers
            async with client.stream("GET", address, headers={"accept-encoding": "identity"}) as response:
                parts = response.aiter_text()
                received = await anext(parts)
                process.send_signal(signal.SIGTERM)
                await asyncio.sleep(0.5)
                # A connection from before, and a new one.
                old = await client.get("/readyz?verbose")
                async with httpx2.AsyncClient(base_url=client.base_url) as other:
                    new, late = await other.get("/readyz"), await other.get("/livez")
                assert process.returncode is None
                started = time.monotonic()
                received += "".join([part async for part in parts])
            code = await asyncio.wait_for(process.wait(), SECONDS_MAX)

        assert received.count("\n") == 60_001
        assert "[-]shutdown failed: the process has been told to stop" in old.text
        assert (old.status_code, new.status_code, late.status_code) == (503, 503, 200)
        for one in (old, new, late):
            assert one.headers["connection"] == "close"
        assert code == 0
        assert time.monotonic() - started < 10

    async def test_who_never_reads_is_waited_for_so_long(self, database: Database, database_url: str) -> None:
        """An export that nobody reads on holds the end up for the limit, and not for ever."""
        async with serving(database_url) as (process, client):
            segment = (await client.post(BASE, json={"segment_name": "x", "criteria": {}})).json()["data"]["id"]
            await add_many(database, segment, 200_000)
            address = f"{BASE}/{segment}/export?include_customer_details=true"
            async with client.stream("GET", address, headers={"accept-encoding": "identity"}) as response:
                parts = response.aiter_raw()  # kept: without it the connection would be closed
                await anext(parts)
                started = time.monotonic()
                process.send_signal(signal.SIGTERM)
                assert await asyncio.wait_for(process.wait(), SECONDS_MAX) == 0
                taken = time.monotonic() - started

        assert 8 < taken < 16
