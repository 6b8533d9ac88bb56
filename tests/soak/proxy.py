"""A TCP proxy for one link: what passes can be reset, stalled or delayed. Knows nothing of what it carries."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

HOST = "127.0.0.1"
CHUNK_BYTES = 65_536
CHUNKS_MAX = 64


class Link:
    """One port that is forwarded to another, with whatever fault is on."""

    def __init__(self, name: str, port: int, target_port: int) -> None:
        self.name, self.port = name, port
        self._target_port = target_port
        self._latency_seconds = 0.0
        self._flows = asyncio.Event()
        self._flows.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listens; new connections wait for the target like those that are there."""
        self._server = await asyncio.start_server(self._accept, HOST, self.port)

    async def close(self) -> None:
        """Ends all connections and listens no more."""
        if self._server is not None:
            self._server.close()
        self.reset()
        for task in self._serving:
            task.cancel()

    def reset(self) -> int:
        """Ends every connection with a RST to both sides; says how many writers there were."""
        writers = tuple(self._writers)
        for writer in writers:
            _abort(writer)
        return len(writers)

    @contextmanager
    def stalled(self) -> Iterator[None]:
        """Within the block nothing passes and nothing ends: a network that drops every packet."""
        self._flows.clear()
        try:
            yield
        finally:
            self._flows.set()

    @contextmanager
    def delayed(self, seconds: float) -> Iterator[None]:
        """Within the block every byte arrives that much later, in each direction."""
        self._latency_seconds = seconds
        try:
            yield
        finally:
            self._latency_seconds = 0.0

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        self._writers.add(writer)
        onward = None
        try:
            await self._flows.wait()
            back, onward = await asyncio.open_connection(HOST, self._target_port)
            self._writers.add(onward)
            ways = [asyncio.ensure_future(self._pump(reader, onward)), asyncio.ensure_future(self._pump(back, writer))]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        except (OSError, asyncio.CancelledError):
            _abort(writer)  # nobody listens behind: the caller is refused a little later than by the server itself
        finally:
            for one in (writer, onward):
                if one is not None:
                    self._writers.discard(one)
                    one.close()
            self._serving.discard(task)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carries bytes one way until one side ends; returns when all that came was passed on."""
        loop = asyncio.get_running_loop()
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(CHUNKS_MAX)

        async def fill() -> None:
            data = b"-"
            while data:
                try:
                    data = await reader.read(CHUNK_BYTES)
                except OSError:
                    data = b""
                await under_way.put((loop.time() + self._latency_seconds, data))

        filling = asyncio.ensure_future(fill())
        try:
            while True:
                due, data = await under_way.get()
                if due > loop.time():
                    await asyncio.sleep(due - loop.time())
                await self._flows.wait()
                if not data:
                    return
                writer.write(data)
                await writer.drain()
        except OSError:
            return
        finally:
            filling.cancel()
            await asyncio.gather(filling, return_exceptions=True)


def _abort(writer: asyncio.StreamWriter) -> None:
    taken = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close sends RST
    writer.transport.abort()
