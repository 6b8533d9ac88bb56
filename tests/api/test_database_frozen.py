"""A database that takes connections and says nothing: every route answers within bounds, and all is well afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from service.adapters.postgres.database import Database
from service.adapters.postgres.migrate import migrate
from service.stack.artifacts import cache_dir
from service.stack.ports import free_port
from service.stack.postgres import EmbeddedPostgres
from tests.api.support import BASE
from tests.api.test_serve import serving

#: What the setting says here, and what an answer may take with it.
SILENCE_SECONDS, ANSWER_SECONDS_MAX = 3.0, 7.0
READY_SECONDS_MAX = 4.0
SEGMENT = str(uuid4())
BODY = {"segment_name": "x", "criteria": {"total_orders": {"operator": "gte", "value": 1}}}
#: Every way of asking the database that routes have.
REQUESTS: list[tuple[str, str, dict[str, Any]]] = [
    ("GET", "", {}),
    ("POST", "", {"json": BODY}),
    ("POST", "", {"json": BODY, "headers": {"idempotency-key": "k-1"}}),
    ("GET", f"/{SEGMENT}", {}),
    ("GET", f"/{SEGMENT}/customers", {}),
    ("POST", f"/{SEGMENT}/customers", {"json": {"customer_ids": ["C-1"]}}),
    ("DELETE", f"/{SEGMENT}/pins", {}),
    ("GET", f"/{SEGMENT}/export", {}),
    ("GET", f"/{SEGMENT}/export?format=xlsx", {}),
    ("POST", f"/{SEGMENT}/import", {"content": b"C-1\n"}),
    ("GET", f"/{SEGMENT}/analytics", {}),
    ("GET", f"/{SEGMENT}/history?change=left", {}),
    ("POST", f"/{SEGMENT}/refresh", {}),
    ("POST", "/preview", {"json": {"criteria": BODY["criteria"]}}),
    ("GET", "/customers/C-1", {}),
    ("GET", "/dead-letters", {}),
    ("GET", f"/{SEGMENT}/campaigns", {}),
]


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[EmbeddedPostgres]:
    """A server of this module's own, which it may freeze."""
    with tempfile.TemporaryDirectory(prefix="segments-frozen-") as folder:
        path = Path(folder)
        path.chmod(0o755)
        server = EmbeddedPostgres(path / "postgres", free_port(), "secret", cache_dir(path), fsync=False)
        server.install()
        server.start()
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def frozen(server: EmbeddedPostgres) -> Iterator[None]:
    """The postmaster and all its children stand still; the kernel goes on to take connections and bytes."""
    assert server.pid is not None
    pids = [server.pid, *children_of(server.pid)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):  # its client has gone
                os.kill(pid, signal.SIGCONT)


def children_of(pid: int) -> list[int]:
    """The processes whose parent this is."""
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@asynccontextmanager
async def served(server: EmbeddedPostgres) -> AsyncIterator[httpx2.AsyncClient]:
    """The API on that server, with warm connections."""
    database = Database.connect(server.address, role="tests", pool_size=1)
    await migrate(database.engine)
    await database.close()
    async with serving(server.address, SEGMENTS_DATABASE_SILENCE_SECONDS_MAX=str(SILENCE_SECONDS)) as (_, client):
        client.timeout = 60
        await asyncio.gather(*(client.get(BASE) for _ in range(20)))
        yield client


async def timed(client: httpx2.AsyncClient, method: str, path: str, **options: Any) -> tuple[httpx2.Response, float]:
    """An answer and the seconds it took."""
    started = time.monotonic()
    response = await client.request(method, path, **options)
    return response, time.monotonic() - started


async def settled(client: httpx2.AsyncClient, seconds_max: float = 10) -> None:
    """Waits until the list is answered again."""
    async with asyncio.timeout(seconds_max):
        while (await client.get(BASE)).status_code != 200:  # noqa: ASYNC110 - it is another process
            await asyncio.sleep(0.1)


async def test_every_route_answers(own_postgres: EmbeddedPostgres) -> None:
    """All at once, more than there are connections: 503 with Retry-After in time; then at once; then all is well."""
    async with served(own_postgres) as client:
        with frozen(own_postgres):
            first = await asyncio.gather(*(timed(client, way, BASE + path, **more) for way, path, more in REQUESTS * 2))
            again = await asyncio.gather(*(timed(client, way, BASE + path, **more) for way, path, more in REQUESTS))
        await settled(client)
        # More than there are connections, so that one that was left behind broken would show.
        after = await asyncio.gather(*(client.get(BASE) for _ in range(40)))
        created = await client.post(BASE, json=BODY)

    for (way, path, _), (response, seconds) in zip(REQUESTS * 3, [*first, *again], strict=True):
        assert response.status_code == 503, (way, path, response.text)
        assert int(response.headers["retry-after"]) > 0
        assert response.headers["content-type"] == "application/problem+json"
        assert seconds < ANSWER_SECONDS_MAX, (way, path)
    assert max(seconds for _, seconds in again) < 2
    assert {one.status_code for one in after} == {200}
    assert created.status_code == 201


async def test_health(own_postgres: EmbeddedPostgres) -> None:
    """/livez stays 200 and quick, /readyz says 503 within its own bound and names the database, until it is back."""
    async with served(own_postgres) as client:
        with frozen(own_postgres):
            hanging = asyncio.gather(*(client.get(BASE) for _ in range(20)))
            for _ in range(5):
                ready, seconds = await timed(client, "GET", "/readyz")
                alive, alive_seconds = await timed(client, "GET", "/livez")
                measured, measured_seconds = await timed(client, "GET", "/metrics")

                assert ready.status_code == 503
                assert {"database", "schema"} <= {fault["path"] for fault in ready.json()["errors"]}
                assert seconds < READY_SECONDS_MAX
                assert (alive.status_code, alive_seconds < 1) == (200, True)
                assert measured.status_code == 200
                assert measured_seconds < READY_SECONDS_MAX
            assert {one.status_code for one in await hanging} == {503}
        await settled(client)
        ready = await client.get("/readyz")

    assert {fault["path"] for fault in ready.json()["errors"]} == {"broker"}


async def test_a_short_silence_loses_nothing(own_postgres: EmbeddedPostgres) -> None:
    """Requests that wait for less than the bound are answered as if nothing had been."""
    async with served(own_postgres) as client:
        with frozen(own_postgres):
            waiting = asyncio.gather(*(client.get(BASE) for _ in range(20)))
            await asyncio.sleep(0.8)
        assert {one.status_code for one in await waiting} == {200}


async def test_what_is_slow_is_not_cut(own_postgres: EmbeddedPostgres) -> None:
    """A request that waits for longer than the bound while the database lives is answered."""
    async with served(own_postgres) as client:
        blocker = Database.connect(own_postgres.address, role="tests", pool_size=1)
        async with blocker.session() as holder, holder.transaction():
            await holder.execute("LOCK TABLE customer_segments")
            waiting = asyncio.ensure_future(client.get(BASE))
            await asyncio.sleep(SILENCE_SECONDS + 2)
            assert not waiting.done()
        await blocker.close()

        assert (await waiting).status_code == 200


async def test_ends_all_the_same(own_postgres: EmbeddedPostgres) -> None:
    """SIGTERM ends the process in its time while the database stands still and requests wait for it."""
    async with serving(own_postgres.address, SEGMENTS_DATABASE_SILENCE_SECONDS_MAX=str(SILENCE_SECONDS)) as (
        process,
        client,
    ):
        client.timeout = 60
        await asyncio.gather(*(client.get(BASE) for _ in range(5)))
        with frozen(own_postgres):
            waiting = asyncio.gather(*(client.get(BASE) for _ in range(5)))
            await asyncio.sleep(0.2)
            process.send_signal(signal.SIGTERM)
            assert {one.status_code for one in await waiting} == {503}
            assert await asyncio.wait_for(process.wait(), 15) == 0
