"""One timeline at a time: deaths follow one another in it, and a failed check ends it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from service.crash import Part
from service.stack.group import Servers
from tests.conftest import database_copy

pytest.register_assert_rewrite("tests.crash.timeline", "tests.crash.campaigns", "tests.world")

from tests.crash.timeline import Timeline, make_timeline  # noqa: E402 - after its asserts are rewritten


class Timelines:
    """Keeps the timeline in use; backfills have one of their own, with many customers."""

    def __init__(self, servers: Servers, template: str) -> None:
        self._servers, self._template = servers, template
        self._open = AsyncExitStack()
        self._is_crowded = False
        self._timeline: Timeline | None = None

    async def of(self, part: Part) -> Timeline:
        """The one that the last death left sound, else a new one."""
        is_crowded = part is Part.BACKFILL
        if self._timeline is None or self._is_crowded != is_crowded or not self._timeline.is_sound:
            await self.close()
            url = await self._open.enter_async_context(database_copy(self._servers.database_url, self._template))
            made = make_timeline(self._servers.kafka_bootstrap, url)
            self._timeline, self._is_crowded = await self._open.enter_async_context(made), is_crowded
        return self._timeline

    async def close(self) -> None:
        """Ends the roles."""
        await self._open.aclose()
        self._timeline = None


@pytest.fixture(scope="session")
async def timelines(session_servers: Servers, template: str) -> AsyncIterator[Timelines]:
    """The timelines of this session."""
    found = Timelines(session_servers, template)
    yield found
    await found.close()
