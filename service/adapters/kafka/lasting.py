"""One idempotent producer for many requests: started by the first, anew after a fault, closed with the application."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from service.adapters.kafka.options import connection_options
from service.adapters.kafka.publisher import BatchPublisher, Headers
from service.adapters.kafka.sender import BATCH_BYTES_MAX
from service.settings import Settings

#: (topic, key, value, headers): what is sent.
Outbound = tuple[str, bytes | None, bytes, Headers]

SEND_SECONDS_MAX: Final = 10
CLOSE_SECONDS_MAX: Final = 5
#: Each holds its body until the broker has it.
SENDS_AT_ONCE_MAX: Final = 16


class BrokerAway(Exception):
    """The broker did not acknowledge everything in time. Some of it may arrive all the same."""


class LastingPublisher:
    """Sends batches of records; each call returns when the broker has acknowledged all of its own."""

    def __init__(self, settings: Settings, seconds_max: float = SEND_SECONDS_MAX) -> None:
        self._settings = settings
        self._seconds_max = seconds_max
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()
        self._gate = asyncio.Semaphore(SENDS_AT_ONCE_MAX)
        self._closing: set[asyncio.Task[None]] = set()

    async def send(self, records: Sequence[Outbound]) -> None:
        """Sends these, in order per key, with acks=all.

        Raises:
            BrokerAway: not all of it was acknowledged within the time.
            SettingsError: no broker is named.
        """
        producer = None
        try:
            async with asyncio.timeout(self._seconds_max), self._gate:
                producer = await self._started()
                publisher = BatchPublisher(producer)
                for record in records:
                    await publisher.add(*record)
                await publisher.flush()
        except TimeoutError:
            # The producer stays: what it holds goes out, in order, when the broker is back.
            raise BrokerAway from None
        except (KafkaError, OSError):
            self._drop(producer)
            raise BrokerAway from None

    async def close(self) -> None:
        """Ends the connections; what the broker has not got by then is lost, and was never acknowledged."""
        self._drop(self._producer)
        if self._closing:
            await asyncio.wait(self._closing, timeout=CLOSE_SECONDS_MAX * 2)

    async def _started(self) -> AIOKafkaProducer:
        async with self._starting:
            if self._producer is None:
                producer = AIOKafkaProducer(
                    **connection_options(self._settings),
                    enable_idempotence=True,
                    max_batch_size=BATCH_BYTES_MAX,
                    max_request_size=self._settings.event_bytes_max + 2 * BATCH_BYTES_MAX,
                    request_timeout_ms=int(self._seconds_max * 1_000),
                )
                try:
                    await producer.start()
                except BaseException:
                    self._close_later(producer)
                    raise
                self._producer = producer
            return self._producer

    def _drop(self, producer: AIOKafkaProducer | None) -> None:
        """The next call starts anew: a producer that failed may be out of step with the broker for good."""
        if producer is not None and producer is self._producer:
            self._producer = None
            self._close_later(producer)

    def _close_later(self, producer: AIOKafkaProducer) -> None:
        task = asyncio.create_task(_close(producer))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


async def _close(producer: AIOKafkaProducer) -> None:
    """Within bounds: an idempotent producer would wait for its broker for ever."""
    with contextlib.suppress(Exception):
        await asyncio.wait_for(producer.stop(), CLOSE_SECONDS_MAX)
        return
    task = producer._sender.sender_task  # noqa: SLF001 - stop() waits for it, and is done only once
    if task is not None:
        task.cancel()
    with contextlib.suppress(Exception):
        await asyncio.wait_for(producer.client.close(), CLOSE_SECONDS_MAX)
