"""What a worker was handed of its partitions and what of it is applied; nothing goes to another worker half done."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Final

import structlog
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener

from service.crash import crash_point

log = structlog.get_logger()

DRAIN_SECONDS_MAX: Final = 40


class Progress:
    """What was handed out to this worker and what of it is applied."""

    def __init__(self) -> None:
        self.handed: dict[TopicPartition, int] = {}
        self.applied: dict[TopicPartition, int] = {}
        self.is_moving = False  # between a revocation and the next assignment positions mean nothing
        self.idle = asyncio.Event()
        self.idle.set()

    def hand(self, batches: dict[TopicPartition, list[ConsumerRecord[Any, Any]]]) -> None:
        """Notes records in the same step of the loop in which the client moved its position past them."""
        for place, records in batches.items():
            if records:
                self.handed[place] = records[-1].offset + 1

    def is_settled(self, place: TopicPartition) -> bool:
        """Whether nothing of the partition is in flight."""
        return self.handed.get(place) == self.applied.get(place)

    def forget(self) -> None:
        """After a rebalance positions start from what is committed."""
        self.handed.clear()
        self.applied.clear()


class Drain(ConsumerRebalanceListener):  # type: ignore[misc]
    """Lets the batch in flight finish before its partitions go to another worker."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    async def on_partitions_revoked(self, revoked: Any) -> None:
        """Waits for the batch in flight."""
        self._progress.is_moving = True
        crash_point("partitions-revoked")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._progress.idle.wait(), DRAIN_SECONDS_MAX)
        self._progress.forget()

    async def on_partitions_assigned(self, assigned: Any) -> None:
        """Positions mean something again."""
        self._progress.is_moving = False
        log.info("partitions assigned", partitions=sorted(f"{one.topic}/{one.partition}" for one in assigned))
