"""Calls back what a cancelled campaign has asked of downstream services: they need not send it any more."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final
from uuid import UUID

import structlog

from service.adapters.postgres.campaigns import messages, recalls, schedule
from service.app.dispatch.requested import cancelled_record
from service.bootstrap import Runtime

log = structlog.get_logger()

#: Cancelled campaigns that are seen to at once.
CAMPAIGNS_MAX: Final = 20


class Recaller:
    """Each slice is one transaction with its outbox rows; a mark on the message keeps a second one from leaving.

    Args:
        runtime: of the role.
        own: channels with a transport of our own: what has left by it cannot be called back.
    """

    def __init__(self, runtime: Runtime, own: Collection[str]) -> None:
        self._runtime, self._own = runtime, own

    async def look(self) -> bool:
        """Sees to cancelled campaigns; whether there is more to do."""
        async with self._runtime.database.session() as connection:
            found = await recalls.unrecalled(connection, CAMPAIGNS_MAX)
        counts = [await self._recall(campaign_id, channel) for campaign_id, channel in found]
        return len(found) == CAMPAIGNS_MAX or schedule.SLICE in counts

    async def _recall(self, campaign_id: UUID, channel: str) -> int:
        now, topic = self._runtime.clock(), self._runtime.settings.messages_topic
        async with self._runtime.database.batch() as connection:
            start = await recalls.lock(connection, campaign_id)
            if start is None:
                return 0
            found = [] if channel in self._own else await recalls.recall(connection, campaign_id, start, now)
            await messages.write_outbox(connection, [cancelled_record(topic, campaign_id, one, now) for one in found])
            last = found[-1].customer_id if found else start
            await recalls.note_progress(connection, campaign_id, last, is_done=len(found) < schedule.SLICE)
        if found:
            log.info("messages called back", campaign_id=str(campaign_id), messages=len(found))
        return len(found)
