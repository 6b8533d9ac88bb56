"""A producer that outlives brokers: what was not acknowledged is sent again, which events with ids may be."""

from __future__ import annotations

import asyncio
import contextlib
import time
from asyncio import Future
from functools import partial
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

HEADERS = [("content-type", b"application/cloudevents+json")]
DOUBT_SECONDS = 20
STOP_SECONDS_MAX = 3


class Sender:
    """Sends in order; on doubt sends all that is unacknowledged again, in order, by a new producer."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._producer: Any = None
        self._waiting: dict[int, tuple[float, str, bytes, bytes]] = {}
        self._sent = 0
        self._age = 0
        self._is_broken = False
        self.renewed = 0
        self.repeated = 0

    @property
    def waiting(self) -> int:
        """How many records are not acknowledged yet."""
        return len(self._waiting)

    async def start(self) -> None:
        """Connects, however long that takes."""
        while True:
            # idempotent: within one producer's life the broker keeps the order and drops its repeats
            self._producer = AIOKafkaProducer(bootstrap_servers=self._bootstrap, enable_idempotence=True)
            try:
                await self._producer.start()
            except (KafkaError, OSError):
                await self._end()
                await asyncio.sleep(0.1)
            else:
                return

    async def send(self, topic: str, key: bytes, value: bytes) -> None:
        """Hands one record on; it is certain once `waiting` has fallen to 0."""
        self._sent += 1
        self._waiting[self._sent] = (time.monotonic(), topic, key, value)
        await self._give(self._sent)

    async def mend(self) -> None:
        """To be called often: after a failure, or where an answer is long due, starts over with a new producer."""
        oldest = next(iter(self._waiting.values()), None)
        while self._is_broken or (oldest is not None and time.monotonic() - oldest[0] > DOUBT_SECONDS):
            self._is_broken = False
            self._age += 1
            self.renewed += 1
            await self._end()
            await self.start()
            now = time.monotonic()
            for number, (_, *record) in tuple(self._waiting.items()):
                self._waiting[number] = (now, record[0], record[1], record[2])
                self.repeated += 1
                await self._give(number)
            oldest = None

    async def close(self) -> None:
        """Waits until everything is acknowledged."""
        while self._waiting:
            await self.mend()
            await asyncio.sleep(0.02)
        await self._end()

    async def _give(self, number: int) -> None:
        _, topic, key, value = self._waiting[number]
        try:
            future = await self._producer.send(topic, value, key=key, headers=HEADERS)
        except (KafkaError, OSError):
            self._is_broken = True
        else:
            future.add_done_callback(partial(self._done, number, self._age))

    def _done(self, number: int, age: int, future: Future[Any]) -> None:
        if not future.cancelled() and future.exception() is None:
            self._waiting.pop(number, None)
        elif age == self._age:
            self._is_broken = True

    async def _end(self) -> None:
        with contextlib.suppress(Exception):
            await asyncio.wait_for(self._producer.stop(), STOP_SECONDS_MAX)
