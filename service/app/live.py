"""Joins and leaves as they happen: read once for a process, handed to all who listen, bounded at every listener.

Kafka is the buffer. Who has more waiting than a listener may have is waited for a little while, which loses nobody
anything, and is then let go.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from enum import Enum
from typing import Final, NamedTuple
from uuid import UUID

import structlog

#: How many may listen to one process.
LISTENERS_MAX: Final = 1_000
#: What waits for one listener at most.
WAITING_MAX: Final = 5_000
WAITING_BYTES_MAX: Final = 8_388_608
#: How long all others are kept waiting for one who has not taken half of that.
PATIENCE_SECONDS: Final = 0.5
#: How long the start of the tail may take.
START_SECONDS_MAX: Final = 15

_log = structlog.get_logger(__name__)


class LiveChange(NamedTuple):
    """A join or a leave that has just been published; `text` is the event as a listener gets it."""

    segment_id: UUID
    text: str


Tail = AsyncIterator[Sequence[LiveChange]]
#: Opens the membership topic at its end; what is committed after that comes out, some at a time.
OpenTail = Callable[[], AbstractAsyncContextManager[Tail]]


class TooManyListeners(Exception):
    """LISTENERS_MAX listen already."""


class TailAway(Exception):
    """The membership topic cannot be read at present."""


class Ending(Enum):
    """Why a listener gets nothing any more."""

    SLOW = "You read too slowly; connect again and read on, or ask for fewer segments"
    LOST = "The membership topic cannot be read at present; connect again in a few seconds"


class Listener:
    """One who listens to some segments, or (None) to all."""

    def __init__(self, segments: frozenset[UUID] | None) -> None:
        self._segments = segments
        self._waiting: deque[str] = deque()
        self._bytes = 0
        self._filled, self._drained = asyncio.Event(), asyncio.Event()
        self._drained.set()
        self.ending: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()

    def wants(self, segment_id: UUID) -> bool:
        """Whether this listener asked for the segment."""
        return self._segments is None or segment_id in self._segments

    def offer(self, text: str) -> None:
        """Adds to what waits; ends the listener where that is too much."""
        if self.ending.done():
            return
        if len(self._waiting) >= WAITING_MAX or self._bytes + len(text) > WAITING_BYTES_MAX:
            self.end(Ending.SLOW)
            return
        self._waiting.append(text)
        self._bytes += len(text)
        self._filled.set()
        if 2 * len(self._waiting) > WAITING_MAX or 2 * self._bytes > WAITING_BYTES_MAX:
            self._drained.clear()

    async def take(self) -> str:
        """The next event; waits for it."""
        await self._filled.wait()
        text = self._waiting.popleft()
        self._bytes -= len(text)
        if not self._waiting:
            self._filled.clear()
        if 2 * len(self._waiting) <= WAITING_MAX and 2 * self._bytes <= WAITING_BYTES_MAX:
            self._drained.set()
        return text

    async def drained(self) -> None:
        """Waits until there is room again, or the listener has ended."""
        if not self.ending.done():
            await self._drained.wait()

    @property
    def is_behind(self) -> bool:
        """Whether more than half of what may wait does."""
        return not self._drained.is_set() and not self.ending.done()

    def end(self, ending: Ending) -> None:
        """Nothing more comes."""
        if not self.ending.done():
            self.ending.set_result(ending)
        self._drained.set()


class Hub:
    """All listeners of a process. The topic is read while there is one, by one consumer for all of them."""

    def __init__(self, open_tail: OpenTail) -> None:
        self._open_tail = open_tail
        self._present = 0  # all who are in `listening`, those who still wait for the start included
        self._listeners: set[Listener] = set()
        self._lock = asyncio.Lock()
        self._feeding: asyncio.Task[None] | None = None

    @property
    def is_reading(self) -> bool:
        """Whether the topic is being read."""
        return self._feeding is not None and not self._feeding.done()

    @asynccontextmanager
    async def listening(self, segments: frozenset[UUID] | None) -> AsyncIterator[Listener]:
        """A listener who gets everything that is committed after this; gone at the end of the block.

        Raises:
            TooManyListeners: there is no room.
            TailAway: the topic cannot be read.
        """
        if self._present >= LISTENERS_MAX:
            raise TooManyListeners
        self._present += 1
        listener = Listener(segments)
        try:
            await self._join(listener)
            yield listener
        finally:
            self._present -= 1
            self._listeners.discard(listener)
            listener.end(Ending.LOST)
            await self._stop_if_alone()

    async def _join(self, listener: Listener) -> None:
        async with self._lock:
            if not self.is_reading:
                self._feeding = await self._start()
            self._listeners.add(listener)

    async def _start(self) -> asyncio.Task[None]:
        stack = AsyncExitStack()
        try:
            async with asyncio.timeout(START_SECONDS_MAX):
                tail = await stack.enter_async_context(self._open_tail())
        except TimeoutError:
            msg = "the broker did not answer in time"
            raise TailAway(msg) from None
        return asyncio.create_task(self._feed(stack, tail))

    async def _stop_if_alone(self) -> None:
        async with self._lock:
            feeding = self._feeding
            if self._present or feeding is None:
                return
            self._feeding = None
            feeding.cancel()
            await asyncio.wait((feeding,))

    async def _feed(self, stack: AsyncExitStack, tail: Tail) -> None:
        try:
            async with stack:
                async for changes in tail:
                    await self._make_room()
                    self._hand_out(changes)
                    await asyncio.sleep(0)
        except Exception as error:
            _log.warning("the membership topic is lost to live sockets", error=type(error).__name__)
        finally:
            for listener in self._listeners:
                listener.end(Ending.LOST)

    async def _make_room(self) -> None:
        behind = [asyncio.ensure_future(one.drained()) for one in self._listeners if one.is_behind]
        if behind:
            _, waiting = await asyncio.wait(behind, timeout=PATIENCE_SECONDS)
            for one in waiting:
                one.cancel()

    def _hand_out(self, changes: Iterable[LiveChange]) -> None:
        for change in changes:
            for listener in self._listeners:
                if listener.wants(change.segment_id):
                    listener.offer(change.text)
