"""The proxy's faults are what they are called; a fault that does nothing would let the soak pass for nothing."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import pytest

from service.stack.ports import free_port
from tests.soak.proxy import HOST, Link


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(1_000):
            writer.write(data)
    writer.close()


@pytest.fixture
async def link() -> AsyncIterator[Link]:
    """A link to an echo."""
    server = await asyncio.start_server(_echo, HOST, 0)
    made = Link("echo", free_port(), server.sockets[0].getsockname()[1])
    await made.start()
    yield made
    await made.close()
    server.close()


async def _say(link: Link) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection(HOST, link.port)
    writer.write(b"first")
    assert await asyncio.wait_for(reader.readexactly(5), 5) == b"first"
    return reader, writer


class TestLink:
    """Each fault, and its end."""

    async def test_everything_passes_in_order(self, link: Link) -> None:
        """Without a fault a megabyte comes back as it went."""
        reader, writer = await _say(link)
        sent = b"".join(number.to_bytes(4, "big") for number in range(250_000))
        writer.write(sent)

        assert await asyncio.wait_for(reader.readexactly(len(sent)), 10) == sent
        writer.close()

    async def test_reset(self, link: Link) -> None:
        """Connections end with an error; the next one is served."""
        reader, _ = await _say(link)
        assert link.reset() == 2

        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(1), 5)
        _, writer = await _say(link)
        writer.close()

    async def test_stall(self, link: Link) -> None:
        """Nothing passes on connections old and new, and all of it afterwards."""
        reader, writer = await _say(link)
        with link.stalled():
            writer.write(b"more")
            late, other = await asyncio.open_connection(HOST, link.port)
            other.write(b"new")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(1), 0.3)

        assert await asyncio.wait_for(reader.readexactly(4), 5) == b"more"
        assert await asyncio.wait_for(late.readexactly(3), 5) == b"new"
        writer.close()
        other.close()

    async def test_latency(self, link: Link) -> None:
        """Each direction takes the time longer, and throughput stays."""
        reader, writer = await _say(link)
        with link.delayed(0.2):
            since = time.monotonic()
            writer.write(b"x" * 1_000_000)
            await asyncio.wait_for(reader.readexactly(1_000_000), 10)
            seconds = time.monotonic() - since

        assert 0.4 <= seconds < 3
        writer.close()

    async def test_a_target_that_is_away(self) -> None:
        """Whoever calls is told at once that the server does not answer."""
        made = Link("nobody", free_port(), free_port())
        await made.start()
        reader, _ = await asyncio.open_connection(HOST, made.port)

        with contextlib.suppress(ConnectionResetError):
            assert await asyncio.wait_for(reader.read(1), 5) == b""
        await made.close()
