"""What /metrics shows: asked of database and broker side by side, each within a time limit, and kept for a moment."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from service.adapters.kafka.offsets import OffsetReader
from service.adapters.kafka.watch import BrokerWatch
from service.adapters.postgres.database import Database
from service.adapters.postgres.gauges import read_gauges
from service.app import metrics
from service.app.metrics import Values
from service.clock import Clock
from service.settings import Settings

log = structlog.get_logger()

#: Prometheus waits 10 s by default.
PART_SECONDS_MAX: Final = 3.0
#: Scrapes that come closer together see the same figures.
KEPT_SECONDS: Final = 1.0


class Measures:
    """Asks the outside; never raises, and never takes longer than PART_SECONDS_MAX."""

    def __init__(self, settings: Settings, database: Database, clock: Clock, broker: BrokerWatch) -> None:
        self._settings, self._database, self._clock, self._broker = settings, database, clock, broker
        self._parts: dict[str, Callable[[], Awaitable[Values]]] = {"database": self._gauges, "broker": self._lag}
        self._asking: dict[str, asyncio.Task[Values]] = {}
        self._looking: asyncio.Task[Values] | None = None
        self._kept: Values = {}
        self._kept_at = -KEPT_SECONDS

    async def look(self) -> Values:
        """All values; of a part that does not answer only that it is away."""
        if time.monotonic() - self._kept_at < KEPT_SECONDS:
            return self._kept
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        return await asyncio.shield(self._looking)  # a scraper that hangs up takes nothing away from the others

    async def _look(self) -> Values:
        for name, ask in self._parts.items():
            if name not in self._asking or self._asking[name].done():
                self._asking[name] = asyncio.create_task(_asked(ask))
        await asyncio.wait(self._asking.values(), timeout=PART_SECONDS_MAX)
        found: Values = {}
        for name in self._parts:
            task = self._asking[name]
            is_up = task.done() and not task.cancelled() and task.exception() is None
            found[metrics.UP.name, (name,)] = float(is_up)
            if is_up:
                found |= task.result()
            elif task.done() and not task.cancelled():
                log.warning("part not measured", part=name, error=type(task.exception()).__name__)
            else:
                task.cancel()  # one that does not even end by that is not asked again meanwhile
            if task.done():
                del self._asking[name]
        self._kept, self._kept_at = found, time.monotonic()
        return found

    async def _gauges(self) -> Values:
        limit = self._clock() - self._settings.grace_ms * 1_000
        async with self._database.session() as connection:
            return await read_gauges(connection, limit)

    async def _lag(self) -> Values:
        return await self._broker.ask(self._read_lag)

    async def _read_lag(self, reader: OffsetReader) -> Values:
        group = self._settings.consumer_group
        committed, ends = await reader.committed(group), await reader.ends()
        found: Values = {
            (metrics.LAG.name, (topic, str(partition))): float(max(0, end - committed[topic, partition]))
            for (topic, partition), end in ends.items()
        }
        found[metrics.UNASSIGNED.name, ()] = float(len(ends.keys() - await reader.owned(group)))
        return found


async def _asked(ask: Callable[[], Awaitable[Values]]) -> Values:
    return await ask()
