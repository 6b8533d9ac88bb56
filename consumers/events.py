"""The consume role: one batch subscriber on both input topics; each batch is one transaction (consumers/apply.py)."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Sequence
from typing import Final

from consumers.apply import Applier
from consumers.batch_size import BatchSize
from consumers.connection import member_id
from consumers.desk import Desk
from consumers.member import GroupMember, Places, Raw, Reading, Work
from service.adapters.kafka.cluster import cluster_id
from service.app.ingest import Record
from service.app.ports import Offset
from service.bootstrap import Runtime
from service.crash import crash_point

WAIT_MS: Final = 20


class EventConsumer(Work):
    """One worker."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._desk = Desk(runtime)
        self._size = BatchSize(runtime.settings.batch_events_max)

    async def run(self, stop: asyncio.Event) -> None:
        """Consumes until `stop` is set; the batch in flight is finished. A broker that is away is waited for."""
        # A batch makes many objects and few cycles: the collector's walks cost a tenth of it. The applier collects.
        gc.collect()
        gc.freeze()
        gc.disable()
        while not stop.is_set():
            await self._desk.until_free(stop)
            await self._session(stop)

    async def _session(self, stop: asyncio.Event) -> None:
        """From joining the group to leaving it, when the role stops or the workers are to step aside."""
        leave = asyncio.Event()
        self._applier = Applier(self._runtime, leave)
        settings = self._runtime.settings
        reading = Reading(
            settings.input_topics, settings.consumer_group, member_id(settings), settings.batch_events_max, WAIT_MS
        )
        calling = asyncio.create_task(self._desk.until_called(stop, leave))
        try:
            await GroupMember(settings, reading, self, leave).run()
        finally:
            calling.cancel()

    async def connect(self) -> None:
        """Offsets are those of this cluster."""
        self._runtime.batches.cluster = await cluster_id(self._runtime.settings)

    async def apply(self, records: Sequence[Raw]) -> None:
        """In portions of bounded size."""
        chunk: list[Record] = []
        size = 0
        for one in records:
            length = len(one.value or b"")
            if chunk and (len(chunk) >= self._size.records or size + length > self._runtime.settings.batch_bytes_max):
                await self._apply(chunk)
                chunk, size = [], 0
            chunk.append(Record(one.topic, one.partition, one.offset, one.timestamp, one.key, one.value, one.headers))
            size += length
        await self._apply(chunk)

    async def _apply(self, chunk: Sequence[Record]) -> None:
        started = time.perf_counter()
        await self._applier.apply(chunk)
        self._size.applied(len(chunk), time.perf_counter() - started)

    async def pass_over(self, places: Places) -> None:
        """The frontier passes them too; without that, markers would hold timers up."""
        async with self._runtime.batches.store() as store:
            await store.advance_frontier(
                Offset(place.topic, place.partition, offset) for place, offset in places.items()
            )
        crash_point("frontier-followed")

    def note(self, records: int, seconds: float) -> None:
        """For the pace that is told."""
        self._desk.note(records, seconds)
