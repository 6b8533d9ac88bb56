"""How long timers wait for input that is not applied: as long as it moves, and so many seconds more."""

from __future__ import annotations

import time
from typing import Final

from service.adapters.kafka.offsets import OffsetReader, Offsets
from service.settings import Settings

#: A replay moves the group and not the frontier, so both are looked at; the group costs a request, and is asked rarely.
GROUP_SECONDS: Final = 5.0


class Hold:
    """One wait. A long backlog or replay is no reason to fire ahead of it; a partition that stands still is."""

    def __init__(self, settings: Settings, reader: OffsetReader) -> None:
        self._settings = settings
        self._reader = reader
        self._moved_at = time.monotonic()
        self._asked_at = self._moved_at
        self._seen: Offsets = {}
        self._committed: Offsets = {}

    async def is_over(self, waiting: Offsets) -> bool:
        """Whether nothing of what is waited for has moved for TIMER_HOLD_SECONDS_MAX.

        Args:
            waiting: the frontier of the partitions that are not applied yet.

        Raises:
            KafkaError: the broker is out of reach.
        """
        if waiting != self._seen:
            self._seen, self._moved_at = waiting, time.monotonic()
        if time.monotonic() - self._asked_at > GROUP_SECONDS:
            self._asked_at = time.monotonic()
            found = await self._reader.committed(self._settings.consumer_group)
            committed = {place: found[place] for place in waiting}
            if self._committed and committed != self._committed:
                self._moved_at = time.monotonic()
            self._committed = committed
        return time.monotonic() - self._moved_at > self._settings.timer_hold_seconds_max
