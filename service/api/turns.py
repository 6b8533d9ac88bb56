"""Turns: of some kinds of work only so many go on at once in a process, and the others wait for a while."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from service.api.errors import ApiError

RETRY_SECONDS: Final = 60


@asynccontextmanager
async def turn(turns: asyncio.Semaphore, wait_seconds_max: float, what: str) -> AsyncIterator[None]:
    """Takes a turn for the length of the block.

    Args:
        turns: how many there are.
        wait_seconds_max: how long to wait for one.
        what: of which there are too many, in the words of the message.

    Raises:
        ApiError: too_many; others did not end in time.
    """
    try:
        await asyncio.wait_for(turns.acquire(), wait_seconds_max)
    except TimeoutError:
        message = f"Too many {what} are under way; try again in a minute"
        raise ApiError("too_many", message, headers={"retry-after": str(RETRY_SECONDS)}) from None
    try:
        yield
    finally:
        turns.release()
