"""The dispatch role reads joined and left: those that campaigns listen for become messages, each exactly once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog

from consumers.connection import member_id
from consumers.member import Raw, Reading, Work, consume
from consumers.persist import persist
from service.adapters.postgres.campaigns.triggers import insert_messages, latest_occurred, listening
from service.app import metrics
from service.app.dispatch.changes import Change, Unreadable, read_change
from service.app.dispatch.triggers import messages_of, needs_gap
from service.bootstrap import Runtime
from service.crash import crash_point

log = structlog.get_logger()

RECORDS_MAX: Final = 5_000
WAIT_MS: Final = 50
#: Of each group's name, after that of the service.
GROUP: Final = "dispatch"


class MembershipConsumer(Work):
    """One member of the group `<consumer_group>-dispatch`."""

    def __init__(self, runtime: Runtime, wake: asyncio.Event) -> None:
        self._runtime, self._wake = runtime, wake
        self._stop = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Reads until `stop` is set; who decides about messages is woken when there are new ones."""
        self._stop = stop
        settings = self._runtime.settings
        group = f"{settings.consumer_group}-{GROUP}"
        reading = Reading((settings.membership_topic,), group, member_id(settings, GROUP), RECORDS_MAX, WAIT_MS)
        await consume(settings, reading, self, stop)

    async def apply(self, records: Sequence[Raw]) -> None:
        """Decodes each record on its own; one transaction for what they fire."""
        changes = [change for one in records if (change := self._read(one)) is not None]
        if changes:
            await persist(changes, self._fire, self._refuse, self._stop)

    def _read(self, record: Raw) -> Change | None:
        try:
            return read_change(record.value, record.headers)
        except Unreadable as error:
            place = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
            log.warning("record of the membership topic left out", **place, why=str(error))
            self._runtime.tally.count(metrics.TRIGGERS, "unreadable")
            return None

    async def _fire(self, changes: Sequence[Change]) -> None:
        async with self._runtime.database.batch() as connection:
            campaigns = await listening(connection, {one.segment_id for one in changes})
            if not campaigns:
                return
            pairs = {
                (change.customer_id, one.id)
                for one in campaigns
                if needs_gap(one)
                for change in changes
                if change.segment_id == one.segment_id
            }
            latest = await latest_occurred(connection, pairs) if pairs else {}
            messages = messages_of(changes, campaigns, latest)
            new = await insert_messages(connection, messages) if messages else 0
            crash_point("triggers-written")
        crash_point("triggers-committed")
        self._runtime.tally.count(metrics.TRIGGERS, "fired", by=new)
        if new:
            self._wake.set()

    async def _refuse(self, change: Change, error: Exception) -> None:
        log.error("join or leave cannot be applied", segment_id=str(change.segment_id), error=type(error).__name__)
        self._runtime.tally.count(metrics.TRIGGERS, "unreadable")
