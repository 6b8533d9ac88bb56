"""The relay role: outbox rows become Kafka records, in the order of ids, each exactly once under read_committed.

One relay is active (a session's advisory lock), others stand by. Each Kafka transaction holds the records of some rows
and a marker that names exactly those rows; then the rows are deleted. A relay that starts ends its predecessor's
transaction, reads the marker, deletes what was sent, and goes on. After any producer error it starts again like that.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaProducer

from producers.marker import encode_marker, read_marker
from producers.spans import send_span
from service.adapters.kafka.options import MESSAGE_BYTES_MAX, connection_options
from service.adapters.kafka.publisher import BatchPublisher
from service.adapters.kafka.topics import marker_topic
from service.adapters.postgres import outbox
from service.app import metrics
from service.app.changes import Changes
from service.app.outgoing import OutgoingRecord, read_outbox
from service.bootstrap import Runtime
from service.crash import crash_point
from service.logs import detail_of

log = structlog.get_logger()

POLL_SECONDS: Final = 0.01
STANDBY_SECONDS: Final = 0.5
ROWS_MAX: Final = 200
BYTES_MAX: Final = 8_388_608
#: Changes take little room there and some 600 bytes each on the topic.
RECORDS_MAX: Final = 20_000
TRANSACTION_MS_MAX: Final = 30_000
BATCH_BYTES: Final = 1_048_576
PAUSE_SECONDS_MAX: Final = 1.0


class Relay:
    """Publishes until `stop` is set; a transaction in flight is finished."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._options = connection_options(runtime.settings)
        self._marker_topic = marker_topic(runtime.settings)
        self._membership_topic = runtime.settings.membership_topic

    async def run(self, stop: asyncio.Event) -> None:
        """Takes the lead where nobody has it, publishes, and starts over after every fault."""
        pause = POLL_SECONDS
        while not stop.is_set():
            try:
                async with self._runtime.database.session() as connection:
                    if not await outbox.try_lead(connection):
                        pause = STANDBY_SECONDS
                    else:
                        pause = POLL_SECONDS
                        await self._lead(connection, stop)
            except Exception as error:  # the marker makes every fault safe to start over from
                pause = min(max(pause * 2, STANDBY_SECONDS), PAUSE_SECONDS_MAX)
                log.warning("relay starts over", error=type(error).__name__, detail=detail_of(error), seconds=pause)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), pause)

    async def _lead(self, connection: Any, stop: asyncio.Event) -> None:
        producer = AIOKafkaProducer(
            **self._options,
            transactional_id=f"{self._runtime.settings.consumer_group}-relay",
            transaction_timeout_ms=TRANSACTION_MS_MAX,
            max_batch_size=BATCH_BYTES,
            max_request_size=MESSAGE_BYTES_MAX + BATCH_BYTES,
            linger_ms=0,
        )
        try:
            await producer.start()  # ends the predecessor's transaction
            crash_point("predecessor-ended")
            instance_id = await outbox.instance_id(connection)
            sent = await read_marker(self._marker_topic, instance_id, self._options)
            crash_point("marker-read")
            await outbox.delete(connection, sent)
            crash_point("marked-rows-deleted")
            log.info("relay leads", already_sent=len(sent))
            key = str(instance_id).encode()
            while not stop.is_set():
                rows = await outbox.oldest(connection, ROWS_MAX, BYTES_MAX, RECORDS_MAX)
                if rows:
                    crash_point("rows-read")
                    held = [read_outbox(payload) for _, payload in rows]
                    with send_span(self._membership_topic, held):
                        await self._publish(producer, key, rows, held)
                    crash_point("transaction-committed")
                    self._count(held)
                    await outbox.delete(connection, [row_id for row_id, _ in rows])
                    crash_point("rows-deleted")
                else:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(stop.wait(), POLL_SECONDS)
        finally:
            await outbox.stop_leading(connection)
            await _close(producer)

    def _count(self, held: Sequence[Changes | list[OutgoingRecord]]) -> None:
        changes = [one for one in held if isinstance(one, Changes)]
        joined = sum(one.joined for one in changes)
        left = sum(map(len, changes)) - joined
        self._runtime.tally.count_all(metrics.CHANGES, {("joined",): joined, ("left",): left})

    async def _publish(
        self,
        producer: AIOKafkaProducer,
        key: bytes,
        rows: list[tuple[int, bytes]],
        held: Sequence[Changes | list[OutgoingRecord]],
    ) -> None:
        async with producer.transaction():
            crash_point("transaction-begun")
            publisher = BatchPublisher(producer)
            for one in held:
                if isinstance(one, Changes):
                    await publisher.add_changes(self._membership_topic, one)
                    continue
                for topic, record_key, value, headers in one:
                    await publisher.add(topic, record_key, value, headers)
            crash_point("records-collected")
            await publisher.add(self._marker_topic, key, encode_marker([row_id for row_id, _ in rows]), [])
            await publisher.flush()
            crash_point("transaction-written")


async def _close(producer: AIOKafkaProducer) -> None:
    with contextlib.suppress(Exception):
        await asyncio.wait_for(producer.stop(), PAUSE_SECONDS_MAX)
