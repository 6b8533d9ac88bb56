"""Applies one batch of records for good: retries what passes, isolates what does not, commits once."""

from __future__ import annotations

import asyncio
import gc
import random
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import structlog
from asyncpg import UniqueViolationError

from consumers.counting import count_batch
from consumers.failures import Verdict, verdict_of
from consumers.spans import batch_span
from service.app import metrics
from service.app.batch import Outcome
from service.app.ingest import Decoded, Record, dead_letter, decode_batch, ingest
from service.app.ports import Offset
from service.bootstrap import Runtime
from service.core.events.decode import Rejected
from service.crash import crash_point

log = structlog.get_logger()

PAUSE_SECONDS_MIN: Final = 0.1
PAUSE_SECONDS_MAX: Final = 1.0
#: Another worker's row in the way is known when the batch comes again; one that stays in the way is looked into.
CONFLICTS_MAX: Final = 5
OUTBOX_PAUSE_SECONDS: Final = 0.2
#: Batches that wait to be published, or to be merged into memberships: whichever are more, both being bounded.
OUTBOX_ROWS: Final = """
SELECT GREATEST((SELECT count(*) FROM (SELECT FROM outbox LIMIT $1) o),
                (SELECT count(*) FROM (SELECT FROM membership_changes LIMIT $1) w))
"""
BATCHES_A_COLLECTION: Final = 100


class Abandoned(Exception):
    """The role stops while a batch waits for the outside; nothing of it is applied, and it comes again."""


class Applier:
    """Applies batches one after another; the database alone says what was applied before."""

    def __init__(self, runtime: Runtime, stop: asyncio.Event) -> None:
        self._runtime = runtime
        self._stop = stop
        self._batches = 0

    async def apply(self, records: Sequence[Record]) -> None:
        """Returns when every record is applied, known or a dead letter; waits as long as that takes.

        Raises:
            Abandoned: the role stops before the outside answers.
        """
        await self._wait_for_outbox()
        pause = PAUSE_SECONDS_MIN
        conflicts = 0
        while True:
            try:
                await self._once(records)
            except Exception as error:  # every failure has a verdict
                conflicts += isinstance(error, UniqueViolationError)
                verdict = Verdict.ISOLATE if conflicts > CONFLICTS_MAX else verdict_of(error)
                self._runtime.tally.count(metrics.RETRIES, verdict.name.lower())
                if verdict is Verdict.ISOLATE:
                    await self._isolate(records, error)
                    return
                log.warning("batch will be tried again", error=type(error).__name__, seconds=round(pause, 2))
                await self._pause(pause * random.uniform(0.8, 1.2))  # noqa: S311 - spreads retries, no secret
                pause = min(pause * 2, PAUSE_SECONDS_MAX)
            else:
                return

    async def _once(self, records: Sequence[Record]) -> None:
        runtime = self._runtime
        started = time.perf_counter()
        now = runtime.clock()
        await self._commit(decode_batch(records, runtime.rules, now), now, started)

    async def _commit(self, decoded: Decoded, now: int, started: float) -> None:
        crash_point("records-decoded")
        runtime = self._runtime
        with batch_span(decoded, runtime.settings.consumer_group) as span:
            async with runtime.batches.store() as store:
                outcome = await ingest(store, decoded, now, time.time_ns() // 1_000)
            span.note(
                segmentation__duplicates=outcome.duplicates,
                segmentation__transitions=len(outcome.transitions),
                segmentation__dead_letters=len(outcome.letters),
            )
        crash_point("batch-committed")
        self._collect_garbage()
        self._tell(decoded, outcome, time.perf_counter() - started)

    def _tell(self, decoded: Decoded, outcome: Outcome, seconds: float) -> None:
        """Figures of a batch that is applied; a fault in here must not make anybody try it again."""
        try:
            count_batch(self._runtime.tally, decoded, outcome, self._runtime.clock(), seconds)
        except Exception as error:
            log.warning("batch not counted", error=type(error).__name__)
        log.debug(
            "batch applied",
            events=len(decoded.places),
            duplicates=outcome.duplicates,
            customers=outcome.customers,
            transitions=len(outcome.transitions),
            dead_letters=len(decoded.letters),
            seconds=round(seconds, 3),
        )

    def _collect_garbage(self) -> None:
        """Between batches, now and then: the role switches the collector off, for a batch makes few cycles."""
        self._batches += 1
        if self._batches % BATCHES_A_COLLECTION == 0:
            gc.collect()

    async def _isolate(self, records: Sequence[Record], error: Exception) -> None:
        """Halves the batch until the one record that cannot be applied stands alone, and sets that one aside."""
        if len(records) > 1:
            middle = len(records) // 2
            await self.apply(records[:middle])
            await self.apply(records[middle:])
            return
        record = records[0]
        place = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
        # Where, but not what: a database's message may quote the row, and a row holds personal data.
        frames = traceback.extract_tb(error.__traceback__)[-3:]
        where = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames]
        log.error("record cannot be applied", **place, error=type(error).__name__, where=where)
        why = Rejected("not_applicable", f"The event could not be applied ({type(error).__name__}).")
        place_after = Offset(record.topic, record.partition, record.offset + 1)
        await self._commit_letter(Decoded({}, {}, [dead_letter(record, why)], [place_after]))

    async def _commit_letter(self, decoded: Decoded) -> None:
        pause = PAUSE_SECONDS_MIN
        while True:
            try:
                await self._commit(decoded, self._runtime.clock(), time.perf_counter())
            except Exception as error:
                if verdict_of(error) is not Verdict.RETRY:
                    raise
                await self._pause(pause)
                pause = min(pause * 2, PAUSE_SECONDS_MAX)
            else:
                return

    async def _wait_for_outbox(self) -> None:
        """Back-pressure: while the relay is far behind, input waits in Kafka rather than in the database."""
        limit = self._runtime.settings.outbox_rows_max
        while True:
            try:
                async with self._runtime.database.session() as connection:
                    rows = await connection.fetchval(OUTBOX_ROWS, limit)
            except Exception as error:
                if verdict_of(error) is not Verdict.RETRY:
                    raise
                return  # the batch itself waits for the database
            if rows < limit:
                return
            log.warning("outbox is full; waiting for the relay", rows=rows)
            await self._pause(OUTBOX_PAUSE_SECONDS)

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stop.wait(), seconds)
        except TimeoutError:
            return
        raise Abandoned
