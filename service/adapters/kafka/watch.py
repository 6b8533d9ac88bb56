"""One reader of offsets for many short questions, such as a scrape's: opened by the first, anew after a fault."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TypeVar

from service.adapters.kafka.offsets import OffsetReader
from service.settings import Settings

Answer = TypeVar("Answer")


class BrokerWatch:
    """Answers one question at a time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._reader: OffsetReader | None = None
        self._turn = asyncio.Lock()

    async def ask(self, question: Callable[[OffsetReader], Awaitable[Answer]]) -> Answer:
        """The answer to a question.

        Raises:
            KafkaError: the broker is out of reach.
            SettingsError: none is named.
        """
        async with self._turn:
            if self._reader is None:
                self._reader = await OffsetReader(self._settings).__aenter__()
            try:
                return await question(self._reader)
            except BaseException:
                await self._drop()
                raise

    async def close(self) -> None:
        """Ends the connections."""
        async with self._turn:
            await self._drop()

    async def _drop(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            with contextlib.suppress(Exception):
                await reader.__aexit__(None, None, None)
