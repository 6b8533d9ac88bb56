"""The dispatch role reads what became of messages: one transaction a batch, offsets committed after it."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import structlog

from consumers.connection import member_id
from consumers.member import Raw, Reading, Work, consume
from consumers.persist import persist
from service.adapters.kafka.cluster import cluster_id
from service.adapters.postgres.campaigns.engagement import PostgresEngagement
from service.app import metrics
from service.app.engagement.apply import Applied, Rules, apply_batch, sweep
from service.app.engagement.consent import Topics
from service.app.ingest import Record, dead_letter
from service.bootstrap import Runtime, campaign_key
from service.core.campaigns.secrets import Purpose
from service.core.events.decode import Rejected
from service.crash import crash_point
from service.logs import detail_of

log = structlog.get_logger()

RECORDS_MAX: Final = 2_000
WAIT_MS: Final = 50
#: Of the group's name, after that of the service.
GROUP: Final = "engagement"
#: How often it is asked whether messages have come that events wait for.
SWEEP_SECONDS: Final = 1.0
SWEEP_MAX: Final = 500
#: The kind of what could not be read, or is of no known message.
UNKNOWN: Final = "unknown"


class EngagementConsumer(Work):
    """One member of the group `<consumer_group>-engagement`."""

    def __init__(self, runtime: Runtime) -> None:
        """Reads nothing yet.

        Raises:
            SettingsError: there is no secret to hide addresses with.
        """
        settings = runtime.settings
        self._runtime = runtime
        self._address_key = campaign_key(settings, Purpose.ADDRESSES)
        self._rules = Rules(Topics(settings.customers_topic, settings.engagement_topic), settings.event_bytes_max)
        self._stop = asyncio.Event()
        self._cluster = ""

    async def run(self, stop: asyncio.Event) -> None:
        """Reads until `stop` is set; events whose message was not known are looked at again meanwhile.

        Raises:
            Exception: a batch failed in a way that nobody foresaw; nothing is committed past it.
        """
        self._stop = stop
        settings = self._runtime.settings
        group = f"{settings.consumer_group}-{GROUP}"
        reading = Reading((settings.engagement_topic,), group, member_id(settings, GROUP), RECORDS_MAX, WAIT_MS)
        sweeping = asyncio.create_task(self._sweep_often(stop))
        try:
            await consume(settings, reading, self, stop)
        finally:
            sweeping.cancel()

    async def connect(self) -> None:
        """Learns which cluster it reads."""
        self._cluster = await cluster_id(self._runtime.settings)

    async def apply(self, records: Sequence[Raw]) -> None:
        """Returns when all of them are applied, known, parked or set aside."""
        read = [
            Record(one.topic, one.partition, one.offset, one.timestamp, one.key, one.value, one.headers)
            for one in records
        ]
        await persist(read, self._once, self._refuse, self._stop)

    async def _once(self, records: Sequence[Record]) -> None:
        async with self._store() as store:
            applied = await apply_batch(store, records, self._rules, self._runtime.clock())
            crash_point("engagement-written")
        crash_point("engagement-committed")
        self._tell(applied)

    async def _refuse(self, record: Record, error: Exception) -> None:
        """Sets one record aside that cannot be applied, whatever is done."""
        place = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
        log.error("record cannot be applied", **place, error=type(error).__name__, detail=detail_of(error))
        why = Rejected("not_applicable", f"The event could not be applied ({type(error).__name__}).")
        applied = Applied()
        async with self._store() as store:
            applied.letters = await store.write_letters([dead_letter(record, why)])
        self._tell(applied)

    @asynccontextmanager
    async def _store(self) -> AsyncIterator[PostgresEngagement]:
        settings = self._runtime.settings
        async with self._runtime.database.batch() as connection:
            yield PostgresEngagement(connection, self._address_key, settings.dead_letter_topic, self._cluster)

    async def _sweep_often(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), SWEEP_SECONDS)
                return
            try:
                while await self.sweep() >= SWEEP_MAX:
                    pass
            except Exception as error:  # the next look tries again
                log.warning("parked events not looked at", error=type(error).__name__, detail=detail_of(error))

    async def sweep(self) -> int:
        """Looks at events that waited for their message, once; how many were done with."""
        async with self._store() as store:
            applied = await sweep(store, self._rules, self._runtime.clock(), SWEEP_MAX)
        self._tell(applied)
        return len(applied.fresh) + len(applied.letters) + applied.duplicates

    def _tell(self, applied: Applied) -> None:
        tally = self._runtime.tally
        found: Counter[tuple[str, ...]] = Counter((one.kind, "applied") for one in applied.fresh)
        found[UNKNOWN, "duplicate"] += applied.duplicates
        found[UNKNOWN, "ignored"] += applied.ignored
        found[UNKNOWN, "parked"] += applied.parked
        found[UNKNOWN, "dead"] += len(applied.letters)
        tally.count_all(metrics.ENGAGEMENT, +found)
        tally.count_all(metrics.LETTERS, Counter((letter.topic, letter.reason) for letter in applied.letters))
