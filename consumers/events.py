"""The consume role: one FastStream batch subscriber on both input topics.

Own parser, raw bytes, manual acknowledgement: FastStream's defaults acknowledge first and lose a whole batch over one
bad header (docs/decisions/0002-faststream-raw-batches.md). Offsets are committed explicitly, per partition, after the
database's commit, and mean nothing to correctness: the facts say what was applied.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaMessage
from faststream.kafka.message import KafkaAckableMessage

from consumers.apply import Abandoned, Applier
from consumers.connection import make_broker, member_id
from consumers.desk import Desk
from consumers.progress import Drain, Progress
from service.adapters.kafka.cluster import cluster_id
from service.app.ingest import Record
from service.app.ports import Offset
from service.bootstrap import Runtime
from service.crash import crash_point

log = structlog.get_logger()

SESSION_MS: Final = 6_000
HEARTBEAT_MS: Final = 1_000
REBALANCE_MS: Final = 60_000
#: A batch may wait for a database that is away for as long as that takes.
POLL_MS_MAX: Final = 24 * 3_600_000
FETCH_BYTES_MAX: Final = 52_428_800
PARTITION_BYTES_MAX: Final = 8_388_608
BATCH_WAIT_MS: Final = 20
#: The client has one fetch under way to a broker; one that asks for idle partitions only would hold up the others for
#: as long as the broker may wait for data (500 ms by default).
FETCH_WAIT_MS: Final = 20
IDLE_SECONDS: Final = 0.2
PAUSE_SECONDS_MAX: Final = 1.0


class EventConsumer:
    """One worker."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._progress = Progress()
        self._desk = Desk(runtime)
        self._crash: Exception | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Consumes until `stop` is set; the batch in flight is finished. A broker that is away is waited for."""
        # A batch makes many objects and few cycles: the collector's walks cost a tenth of it. The applier collects.
        gc.collect()
        gc.freeze()
        gc.disable()
        while not stop.is_set():
            await self._desk.until_free(stop)
            await self._session(stop)
            if self._crash is not None:
                raise self._crash

    async def _session(self, stop: asyncio.Event) -> None:
        """From joining the group to leaving it, when the role stops or the workers are to step aside."""
        leave = self._stop = asyncio.Event()
        self._applier = Applier(self._runtime, leave)
        self._progress = Progress()
        calling = asyncio.create_task(self._desk.until_called(stop, leave))
        try:
            if not await self._start(leave):
                return
            self._watch_getmany()
            following = asyncio.create_task(self._follow_position())
            try:
                await leave.wait()
            finally:
                following.cancel()
                self._leave_group()
                await self._broker.stop()
        finally:
            calling.cancel()

    def _leave_group(self) -> None:
        """Has the others take over at once.

        A static member is kept a place until its session has run out, which is for those who die: with it aiokafka
        0.14 tells the group nothing when it stops.
        """
        consumer: Any = self._subscriber.consumer
        coordinator = getattr(consumer, "_coordinator", None)
        if coordinator is not None:
            coordinator._group_instance_id = None  # noqa: SLF001 - there is no other way to say it

    async def _start(self, stop: asyncio.Event) -> bool:
        """False where `stop` came first."""
        pause = IDLE_SECONDS
        while not stop.is_set():
            self._subscribe()
            try:
                self._runtime.batches.cluster = await cluster_id(self._runtime.settings)
                await self._broker.start()
            except (KafkaError, OSError) as error:
                log.warning("broker does not answer", error=type(error).__name__, seconds=pause)
                with contextlib.suppress(Exception):
                    await self._broker.stop()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), pause)
                pause = min(pause * 2, PAUSE_SECONDS_MAX)
            else:
                return True
        return False

    def _subscribe(self) -> None:
        settings = self._runtime.settings
        self._broker = make_broker(settings)
        self._subscriber = self._broker.subscriber(
            *settings.input_topics,
            batch=True,
            max_records=settings.batch_events_max,
            batch_timeout_ms=BATCH_WAIT_MS,
            group_id=settings.consumer_group,
            group_instance_id=member_id(settings),
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            ack_policy=AckPolicy.MANUAL,
            no_reply=True,
            parser=self._parse,
            decoder=self._decode,
            listener=Drain(self._progress),
            partition_assignment_strategy=(RangePartitionAssignor,),
            session_timeout_ms=SESSION_MS,
            heartbeat_interval_ms=HEARTBEAT_MS,
            rebalance_timeout_ms=REBALANCE_MS,
            max_poll_interval_ms=POLL_MS_MAX,
            fetch_max_wait_ms=FETCH_WAIT_MS,
            fetch_max_bytes=FETCH_BYTES_MAX,
            max_partition_fetch_bytes=PARTITION_BYTES_MAX,
        )
        self._subscriber(self._handle)

    async def _parse(self, records: tuple[ConsumerRecord[Any, Any], ...]) -> KafkaAckableMessage:
        first = records[0]
        return KafkaAckableMessage(
            body=b"",
            headers={},
            batch_headers=[],
            raw_message=records,
            content_type=None,
            message_id=f"{first.topic}-{first.partition}-{first.offset}",
            correlation_id=None,
            reply_to="",
            path={},
            consumer=self._consumer,
        )

    async def _decode(self, message: Any) -> Any:
        return message.raw_message

    @property
    def _consumer(self) -> AIOKafkaConsumer:
        consumer = self._subscriber.consumer
        assert consumer is not None  # noqa: S101 - it runs
        return consumer

    def _watch_getmany(self) -> None:
        """Notes what the client hands out, without a gap in which its position is ahead of our knowledge."""
        consumer = self._consumer
        getmany = consumer.getmany

        async def watched(*partitions: TopicPartition, **options: Any) -> Any:
            try:
                batches = await getmany(*partitions, **options)
            except Exception:
                # Positions may have moved past records that were never handed out: back to where we know.
                for place, offset in self._progress.handed.items():
                    if place in consumer.assignment():
                        consumer.seek(place, offset)
                raise
            self._progress.hand(batches)
            return batches

        consumer.getmany = watched

    async def _handle(self, body: Any, message: KafkaMessage) -> None:
        if self._stop.is_set():
            return  # not applied and not committed: an abandoned batch before it must not be passed over
        progress = self._progress
        progress.idle.clear()
        started = time.perf_counter()
        try:
            crash_point("records-read")
            records = message.raw_message
            ends: dict[TopicPartition, int] = {}
            chunk: list[Record] = []
            size = 0
            for one in records:
                length = len(one.value or b"")
                if chunk and size + length > self._runtime.settings.batch_bytes_max:
                    await self._applier.apply(chunk)
                    chunk, size = [], 0
                chunk.append(
                    Record(one.topic, one.partition, one.offset, one.timestamp, one.key, one.value, one.headers)
                )
                size += length
                ends[TopicPartition(one.topic, one.partition)] = one.offset + 1
            await self._applier.apply(chunk)
            progress.applied.update(ends)
            await self._commit_offsets(ends)
            self._desk.note(len(records), time.perf_counter() - started)
            crash_point("offsets-committed")
            message.committed = True  # type: ignore[assignment]
        except Abandoned:
            log.info("batch abandoned: the role stops while the outside is away")
        except Exception as error:
            # Nothing may be committed past this batch: the role ends, is started again, and reads it anew.
            self._crash = error
            self._stop.set()
        finally:
            progress.idle.set()

    async def _commit_offsets(self, ends: dict[TopicPartition, int]) -> None:
        """Step 8. A commit that fails costs a repeat that changes nothing."""
        try:
            await self._consumer.commit(ends)
        except (CommitFailedError, IllegalStateError) as error:
            log.info("offsets not committed: the partitions went to another worker", error=type(error).__name__)
        except KafkaError as error:
            log.warning("offsets not committed", error=type(error).__name__)

    async def _follow_position(self) -> None:
        """Takes the frontier past transaction markers and aborted records, which are never handed out."""
        while True:
            await asyncio.sleep(IDLE_SECONDS)
            try:
                await self._settle()
            except Exception as error:  # the next look tries again; without it markers would hold timers up
                log.debug("frontier not advanced", error=type(error).__name__)

    async def _settle(self) -> None:
        ahead: dict[TopicPartition, int] = {}
        for place in self._consumer.assignment():
            position = await self._consumer.position(place)
            # No await between here and the end of the test: nothing can be handed out in between.
            if self._progress.is_moving:
                return
            if self._progress.is_settled(place) and position > self._progress.applied.get(place, -1):
                ahead[place] = position
        if not ahead:
            return
        async with self._runtime.batches.store() as store:
            await store.advance_frontier(
                Offset(place.topic, place.partition, offset) for place, offset in ahead.items()
            )
        crash_point("frontier-followed")
        for place, offset in ahead.items():
            if self._progress.is_settled(place):
                self._progress.handed[place] = self._progress.applied[place] = offset
        await self._commit_offsets(ahead)
