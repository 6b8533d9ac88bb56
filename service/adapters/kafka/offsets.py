"""Where topics begin and end, and how far a group has come. Reads offsets and no records; joins no group."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Final, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupLoadInProgressError, UnknownTopicOrPartitionError

from service.adapters.kafka.groups import owned_partitions
from service.adapters.kafka.options import connection_options
from service.settings import Settings

Offsets = dict[tuple[str, int], int]

#: New partitions are seen after at most this long.
PARTITIONS_SECONDS_MAX: Final = 30


class OffsetReader:
    """Every call may raise KafkaError while the broker is out of reach.

    Attributes:
        cluster: the id of the broker's cluster; what offsets mean something within.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        options = connection_options(settings)
        self._admin = AIOKafkaAdminClient(**options, request_timeout_ms=10_000)
        self._consumer = AIOKafkaConsumer(
            **options, group_id=None, isolation_level="read_committed", request_timeout_ms=10_000
        )
        self._dirty = AIOKafkaConsumer(
            **options, group_id=None, isolation_level="read_uncommitted", request_timeout_ms=10_000
        )
        self._partitions: dict[str, list[TopicPartition]] = {}
        self._read_at = 0.0
        self.cluster = ""

    async def __aenter__(self) -> Self:
        try:
            await self._admin.start()
            self.cluster = (await self._admin.describe_cluster()).get("cluster_id") or ""
            await self._consumer.start()
            await self._dirty.start()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def _close(self) -> None:
        await self._dirty.stop()
        await self._consumer.stop()
        await self._admin.close()

    async def partitions(self, *topics: str) -> list[TopicPartition]:
        """The partitions of these topics.

        Raises:
            UnknownTopicOrPartitionError: a topic does not exist.
        """
        if time.monotonic() - self._read_at > PARTITIONS_SECONDS_MAX:
            self._partitions = {}
        missing = [topic for topic in topics if topic not in self._partitions]
        if missing:
            for found in await self._admin.describe_topics(missing):
                if found["error_code"]:
                    msg = f"The topic {found['topic']} does not exist; run `segments doctor`."
                    raise UnknownTopicOrPartitionError(msg)
                numbers = sorted(one["partition"] for one in found["partitions"])
                self._partitions[found["topic"]] = [TopicPartition(found["topic"], number) for number in numbers]
            self._read_at = time.monotonic()
        return [place for topic in topics for place in self._partitions[topic]]

    async def begins(self, *topics: str) -> Offsets:
        """The first offsets that are still there."""
        found = await self._consumer.beginning_offsets(await self.partitions(*topics))
        return {(place.topic, place.partition): offset for place, offset in found.items()}

    async def at_instant(self, instant_ms: int, *topics: str) -> dict[tuple[str, int], int | None]:
        """The first offset with a timestamp at or after this instant, by partition; None where there is none."""
        found = await self._consumer.offsets_for_times(dict.fromkeys(await self.partitions(*topics), instant_ms))
        return {(place.topic, place.partition): at and at.offset for place, at in found.items()}

    async def ends(self, *topics: str) -> Offsets:
        """The read_committed ends of these topics' partitions; by default of the input topics."""
        places = await self.partitions(*(topics or self._settings.input_topics))
        found = await self._consumer.end_offsets(places)
        return {(place.topic, place.partition): offset for place, offset in found.items()}

    async def hanging(self, *topics: str) -> int:
        """How many records of these topics no read_committed consumer can see yet.

        A transaction's records become visible some time after its producer was told that it is committed.
        """
        places = await self.partitions(*topics)
        visible = await self._consumer.end_offsets(places)
        written = await self._dirty.end_offsets(places)
        return sum(max(0, written[place] - visible[place]) for place in places)

    async def committed(self, group: str, *topics: str) -> Offsets:
        """What a group has committed; 0 where nothing. By default on the input topics."""
        found = await self.committed_if_any(group, *topics)
        return {place: offset or 0 for place, offset in found.items()}

    async def owned(self, group: str) -> set[tuple[str, int]]:
        """The partitions that the group's members own at present; none while it is rebalancing."""
        [answer] = await self._admin.describe_consumer_groups([group])
        return owned_partitions(answer.to_object()["groups"][0])

    async def committed_if_any(self, group: str, *topics: str) -> dict[tuple[str, int], int | None]:
        """What a group has committed; None where nothing. By default on the input topics."""
        places = await self.partitions(*(topics or self._settings.input_topics))
        found = await self._admin.list_consumer_group_offsets(group, partitions=places)
        if any(place not in found for place in places):
            msg = f"the coordinator of group {group} is still loading its offsets"
            raise GroupLoadInProgressError(msg)
        return {
            (place.topic, place.partition): None if found[place].offset < 0 else found[place].offset for place in places
        }
