"""The demo's events into the input topics, once for each data folder.

`<data-dir>/demo.json` remembers the day that the times were moved to and how many events the broker has acknowledged.
So a second start repeats nothing: it goes on where the first one stopped, with the same ids and the same bytes. A
crash between an acknowledgement and the note of it costs a few repeats, which change nothing. To see the data end
today again, begin with a new data folder.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from itertools import islice
from pathlib import Path
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from producers.demo.data import DemoEvent, Journey
from service.adapters.kafka.options import MESSAGE_BYTES_MAX, connection_options
from service.adapters.kafka.publisher import BatchPublisher
from service.settings import Settings
from service.stack.state import write_private

FILE: Final = "demo.json"
#: Small enough that the view, which shares the thread, gets its turn several times a second.
EVENTS_A_FLUSH: Final = 1_000
SAVE_SECONDS: Final = 1.0
CLOSE_SECONDS_MAX: Final = 2.0
HEADERS: Final = [("content-type", b"application/cloudevents+json")]


@dataclass
class Progress:
    """How far the demo has come on one data folder."""

    path: Path
    last_day: date
    published: int = 0

    @classmethod
    def read(cls, data_dir: Path) -> Progress | None:
        """What an earlier start has noted; None the first time."""
        path = data_dir / FILE
        try:
            noted = json.loads(path.read_text())
            return cls(path, date.fromisoformat(noted["last_day"]), max(0, int(noted["published"])))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    @classmethod
    def begin(cls, data_dir: Path, last_day: date) -> Progress:
        """Notes the day before the first event leaves, so that every later start moves times alike."""
        progress = cls(data_dir / FILE, last_day)
        progress.save()
        return progress

    def save(self) -> None:
        """Replaces the note."""
        write_private(self.path, json.dumps({"last_day": self.last_day.isoformat(), "published": self.published}))


async def stream(
    settings: Settings, journey: Journey, progress: Progress, tell: Callable[[int], None], stop: threading.Event
) -> None:
    """Publishes what is left, in order of time, as fast as the broker takes it.

    Args:
        settings: the broker and the topics.
        journey: the data set.
        progress: where to go on; kept up to date.
        tell: gets the number of events acknowledged so far.
        stop: ends it early.

    Raises:
        KafkaError: the broker does not take them.
    """
    producer = AIOKafkaProducer(
        **connection_options(settings),
        enable_idempotence=True,
        max_batch_size=1_048_576,
        max_request_size=MESSAGE_BYTES_MAX + 1_048_576,
    )
    await producer.start()
    try:
        publisher = BatchPublisher(producer)
        events = islice(journey.events(progress.last_day), progress.published, None)
        saved = time.monotonic()
        while not stop.is_set() and (chunk := list(islice(events, EVENTS_A_FLUSH))):
            await _publish(publisher, settings, chunk)
            progress.published += len(chunk)
            tell(progress.published)
            if time.monotonic() - saved >= SAVE_SECONDS:
                progress.save()
                saved = time.monotonic()
    finally:
        progress.save()
        with contextlib.suppress(KafkaError, TimeoutError):
            await asyncio.wait_for(producer.stop(), CLOSE_SECONDS_MAX)


async def _publish(publisher: BatchPublisher, settings: Settings, chunk: list[DemoEvent]) -> None:
    for event in chunk:
        topic = settings.customers_topic if event.is_customer else settings.orders_topic
        await publisher.add(topic, event.key, event.value, HEADERS)
    await publisher.flush()
