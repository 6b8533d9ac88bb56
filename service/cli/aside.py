"""Consumers that step aside while a command moves their group's offsets."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from uuid import uuid4

from service.adapters.kafka.groups import count_members
from service.adapters.postgres.database import Database
from service.adapters.postgres.pauses import EXPIRY_SECONDS, PauseTaken, paused
from service.cli.run import CommandError
from service.settings import Settings

#: A batch in flight may take so long, and a static member is gone only when its session has run out.
ASIDE_SECONDS_MAX: Final = 60
LOOK_SECONDS: Final = 0.3


def owner_of(command: str) -> str:
    """How a pause names this process."""
    return f"{command} of process {os.getpid()} on {socket.gethostname()} ({uuid4().hex[:8]})"


@asynccontextmanager
async def consumers_aside(settings: Settings, database: Database, owner: str) -> AsyncIterator[None]:
    """Within the block the group has no members.

    Raises:
        CommandError: somebody else has paused the consumers, or they do not leave.
    """
    try:
        async with paused(database, owner):
            await _until_left(settings)
            yield
    except PauseTaken as error:
        msg = f"The consumers are paused by {error}; try again when it is done, or in {EXPIRY_SECONDS} s."
        raise CommandError(msg) from None


async def _until_left(settings: Settings) -> None:
    deadline = time.monotonic() + ASIDE_SECONDS_MAX
    while members := await count_members(settings):
        if time.monotonic() > deadline:
            msg = (
                f"{members} members have not left group {settings.consumer_group} within {ASIDE_SECONDS_MAX} s;"
                " nothing was changed. Stop all consume processes, and try again."
            )
            raise CommandError(msg)
        await asyncio.sleep(LOOK_SECONDS)
