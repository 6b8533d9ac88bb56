"""Applies some records for good: waits for what passes by itself, and finds the one record that cannot be applied."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

import structlog

from consumers.apply import Abandoned
from consumers.failures import Verdict, verdict_of
from service.logs import detail_of

log = structlog.get_logger()

PAUSE_SECONDS_MIN: Final = 0.1
PAUSE_SECONDS_MAX: Final = 1.0

One = TypeVar("One")


async def persist(
    records: Sequence[One],
    once: Callable[[Sequence[One]], Awaitable[None]],
    refuse: Callable[[One, Exception], Awaitable[None]],
    stop: asyncio.Event,
) -> None:
    """Returns when `once` has taken all of them, in order, but for those that it cannot take even alone.

    Args:
        records: what to apply.
        once: one transaction; may be called again with the same.
        refuse: told of each record that cannot be applied.
        stop: ends the waiting.

    Raises:
        Abandoned: told to stop while the outside is away.
    """
    pause = PAUSE_SECONDS_MIN
    while True:
        try:
            await once(records)
        except Exception as error:  # every failure has a verdict
            if verdict_of(error) is Verdict.ISOLATE:
                failure = error
                break
            log.warning("batch will be tried again", error=type(error).__name__, detail=detail_of(error))
            await _pause(stop, pause * random.uniform(0.8, 1.2))  # noqa: S311 - spreads retries, no secret
            pause = min(pause * 2, PAUSE_SECONDS_MAX)
        else:
            return
    if len(records) == 1:
        await refuse(records[0], failure)
        return
    middle = len(records) // 2
    await persist(records[:middle], once, refuse, stop)
    await persist(records[middle:], once, refuse, stop)


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return
    raise Abandoned
