"""What a worker has read goes into transactions of bounded size, in order."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from consumers.events import EventConsumer
from service.app.ingest import Record
from service.settings import load_settings


class Applied:
    """Notes what each transaction would hold."""

    def __init__(self) -> None:
        self.offsets: list[list[int]] = []

    async def apply(self, records: Sequence[Record]) -> None:
        """One transaction, which takes no time."""
        self.offsets.append([one.offset for one in records])


async def portions(records: int, length: int, **said: Any) -> list[list[int]]:
    """The offsets of each transaction for so many records of so many bytes."""
    runtime: Any = SimpleNamespace(settings=load_settings(**said), database=None)
    consumer, applied = EventConsumer(runtime), Applied()
    consumer._applier = applied  # type: ignore[assignment]
    where = {"topic": "orders", "partition": 0, "timestamp": 0, "key": None, "value": b"x" * length, "headers": []}
    raw: Any = [SimpleNamespace(offset=offset, **where) for offset in range(records)]
    await consumer.apply(raw)
    assert [offset for some in applied.offsets for offset in some] == list(range(records))
    return applied.offsets


async def test_by_number() -> None:
    """No more than the setting allows, however fast they are applied."""
    assert list(map(len, await portions(100, 1, batch_events_max=40))) == [40, 40, 20]


async def test_by_pace() -> None:
    """The first has what a worker begins with; the next ones have more where that took no time."""
    assert list(map(len, await portions(20_000, 1))) == [4_000, 8_000, 8_000]


async def test_by_bytes() -> None:
    """Large records make small batches; one that is larger than a batch may be stands alone."""
    assert list(map(len, await portions(5, 600_000, batch_bytes_max=1_500_000))) == [2, 2, 1]
    assert list(map(len, await portions(2, 2_000_000, batch_bytes_max=1_500_000))) == [1, 1]
