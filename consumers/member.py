"""A member of a consumer group: raw batches of records, one after another, offsets committed after the work.

Own parser, raw bytes, manual acknowledgement: FastStream's defaults acknowledge first and lose a whole batch over one
bad header (docs/decisions/0002-faststream-raw-batches.md). Offsets are committed explicitly, per partition, after the
database's commit, and mean nothing to correctness: the database says what was applied.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaMessage
from faststream.kafka.message import KafkaAckableMessage

from consumers.apply import Abandoned
from consumers.connection import make_broker
from consumers.progress import Drain, Progress
from service.crash import crash_point
from service.settings import Settings

log = structlog.get_logger()

SESSION_MS: Final = 6_000
HEARTBEAT_MS: Final = 1_000
REBALANCE_MS: Final = 60_000
#: A batch may wait for a database that is away for as long as that takes.
POLL_MS_MAX: Final = 24 * 3_600_000
FETCH_BYTES_MAX: Final = 52_428_800
PARTITION_BYTES_MAX: Final = 8_388_608
IDLE_SECONDS: Final = 0.2
PAUSE_SECONDS_MAX: Final = 1.0

Raw: TypeAlias = ConsumerRecord  # of whatever key and value
Places = Mapping[TopicPartition, int]


@dataclass(frozen=True)
class Reading:
    """What a member reads.

    Attributes:
        topics: all with equally many partitions, where a key's records are to meet in one member.
        member_id: static, so that who is started again gets the same partitions at once; None for a passing one.
        records_max: of a batch.
        wait_ms: how long the client, and the broker for it, wait for the first record of a batch. The client has one
            fetch under way to a broker; one that asks for idle partitions only holds up the others for so long.
    """

    topics: Sequence[str]
    group: str
    member_id: str | None
    records_max: int
    wait_ms: int


class Work(Protocol):
    """What is done with the records; all but `apply` may be left as it is."""

    async def connect(self) -> None:
        """Before each try to join the group; may fail like the broker does."""
        return

    @abstractmethod
    async def apply(self, records: Sequence[Raw]) -> None:
        """Returns when all of them are applied for good.

        Raises:
            Abandoned: the role stops before that; they come again.
            Exception: anything else ends the role, and they come again.
        """

    async def pass_over(self, places: Places) -> None:
        """Before the offsets pass transaction markers and aborted records, which are never handed out."""
        return

    def note(self, records: int, seconds: float) -> None:
        """So many records took so long."""
        return


class GroupMember:
    """One member; lives from joining the group to leaving it."""

    def __init__(self, settings: Settings, reading: Reading, work: Work, leave: asyncio.Event) -> None:
        self._settings, self._reading, self._work, self._leave = settings, reading, work, leave
        self._progress = Progress()
        self._crash: Exception | None = None

    async def run(self) -> None:
        """Consumes until `leave` is set; the batch in flight is finished. A broker that is away is waited for.

        Raises:
            Exception: what `apply` raised; nothing is committed past that batch.
        """
        if not await self._start():
            return
        self._watch_getmany()
        following = asyncio.create_task(self._follow_position())
        try:
            await self._leave.wait()
        finally:
            following.cancel()
            self._leave_group()
            await self._broker.stop()
        if self._crash is not None:
            raise self._crash

    def _leave_group(self) -> None:
        """Has the others take over at once.

        A static member is kept a place until its session has run out, which is for those who die: with it aiokafka
        0.14 tells the group nothing when it stops.
        """
        consumer: Any = self._subscriber.consumer
        coordinator = getattr(consumer, "_coordinator", None)
        if coordinator is not None:
            coordinator._group_instance_id = None  # noqa: SLF001 - there is no other way to say it

    async def _start(self) -> bool:
        """False where `leave` came first."""
        pause = IDLE_SECONDS
        while not self._leave.is_set():
            self._subscribe()
            try:
                await self._work.connect()
                await self._broker.start()
            except (KafkaError, OSError) as error:
                log.warning("broker does not answer", error=type(error).__name__, seconds=pause)
                with contextlib.suppress(Exception):
                    await self._broker.stop()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._leave.wait(), pause)
                pause = min(pause * 2, PAUSE_SECONDS_MAX)
            else:
                return True
        return False

    def _subscribe(self) -> None:
        reading = self._reading
        self._broker = make_broker(self._settings)
        self._subscriber = self._broker.subscriber(
            *reading.topics,
            batch=True,
            max_records=reading.records_max,
            batch_timeout_ms=reading.wait_ms,
            group_id=reading.group,
            group_instance_id=reading.member_id,
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
            fetch_max_wait_ms=reading.wait_ms,
            fetch_max_bytes=FETCH_BYTES_MAX,
            max_partition_fetch_bytes=PARTITION_BYTES_MAX,
        )
        self._subscriber(self._handle)

    async def _parse(self, records: tuple[Raw, ...]) -> KafkaAckableMessage:
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
        if self._leave.is_set():
            return  # not applied and not committed: an abandoned batch before it must not be passed over
        progress = self._progress
        progress.idle.clear()
        started = time.perf_counter()
        try:
            crash_point("records-read")
            records = message.raw_message
            await self._work.apply(records)
            ends = {TopicPartition(one.topic, one.partition): one.offset + 1 for one in records}
            progress.applied.update(ends)
            await self._commit_offsets(ends)
            self._work.note(len(records), time.perf_counter() - started)
            crash_point("offsets-committed")
            message.committed = True  # type: ignore[assignment]
        except Abandoned:
            log.info("batch abandoned: the role stops while the outside is away")
        except Exception as error:
            # Nothing may be committed past this batch: the role ends, is started again, and reads it anew.
            self._crash = error
            self._leave.set()
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
        """Takes the offsets past transaction markers and aborted records, which are never handed out."""
        while True:
            await asyncio.sleep(IDLE_SECONDS)
            try:
                await self._settle()
            except Exception as error:  # the next look tries again
                log.debug("position not followed", error=type(error).__name__)

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
        await self._work.pass_over(ahead)
        for place, offset in ahead.items():
            if self._progress.is_settled(place):
                self._progress.handed[place] = self._progress.applied[place] = offset
        await self._commit_offsets(ahead)


async def consume(settings: Settings, reading: Reading, work: Work, stop: asyncio.Event) -> None:
    """Reads until `stop` is set, in one session.

    Raises:
        Exception: what `apply` raised; nothing is committed past that batch.
    """
    leave = asyncio.Event()

    async def until_stopped() -> None:
        await stop.wait()
        leave.set()

    waiting = asyncio.create_task(until_stopped())
    try:
        await GroupMember(settings, reading, work, leave).run()
    finally:
        waiting.cancel()
