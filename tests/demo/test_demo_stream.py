"""Where a second start goes on, without a broker: what would be sent is kept in a list."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from producers.demo import stream as module
from producers.demo.data import DemoEvent
from producers.demo.stream import EVENTS_A_FLUSH, Progress, stream
from service.settings import Settings

DAY = date(2031, 3, 9)
COUNT = 2 * EVENTS_A_FLUSH + 7


class FewEvents:
    """A journey of numbered events."""

    def events(self, last_day: date) -> Iterator[DemoEvent]:
        """Every tenth is about a customer."""
        assert last_day == DAY
        return (DemoEvent(number % 10 == 0, b"key", str(number).encode()) for number in range(COUNT))


class Producer:
    """Takes no part."""

    def __init__(self, **options: Any) -> None:
        self.options = options

    async def start(self) -> None:
        """Nothing to start."""

    async def stop(self) -> None:
        """Nothing to stop."""


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """What was flushed: topic and number of each event."""
    flushed: list[tuple[str, int]] = []

    class Publisher:
        def __init__(self, producer: Producer) -> None:
            self.waiting: list[tuple[str, int]] = []

        async def add(self, topic: str, key: bytes, value: bytes, headers: Any) -> None:
            self.waiting.append((topic, int(value)))

        async def flush(self) -> None:
            flushed.extend(self.waiting)
            self.waiting = []

    monkeypatch.setattr(module, "AIOKafkaProducer", Producer)
    monkeypatch.setattr(module, "BatchPublisher", Publisher)
    return flushed


async def _stream(progress: Progress, stop: threading.Event, told: list[int]) -> None:
    def tell(published: int) -> None:
        told.append(published)
        if len(told) == 1 and progress.path.name == "stops-early":
            stop.set()

    await stream(Settings(kafka_bootstrap="nowhere:9"), FewEvents(), progress, tell, stop)  # type: ignore[arg-type]


async def test_all_to_their_topics(sent: list[tuple[str, int]], tmp_path: Path) -> None:
    """Everything goes out once, in order, customers and orders to their topics, and the note says so."""
    told: list[int] = []
    await _stream(Progress.begin(tmp_path, DAY), threading.Event(), told)
    assert sent == [("customers" if number % 10 == 0 else "orders", number) for number in range(COUNT)]
    assert told == [EVENTS_A_FLUSH, 2 * EVENTS_A_FLUSH, COUNT]
    assert Progress.read(tmp_path) == Progress(tmp_path / "demo.json", DAY, COUNT)


async def test_second_start_sends_nothing(sent: list[tuple[str, int]], tmp_path: Path) -> None:
    """After a complete run a second one finds nothing left."""
    Progress(tmp_path / "demo.json", DAY, COUNT).save()
    progress = Progress.read(tmp_path)
    assert progress is not None
    await _stream(progress, threading.Event(), [])
    assert sent == []
    assert Progress.read(tmp_path) == progress


async def test_goes_on_where_it_stopped(sent: list[tuple[str, int]], tmp_path: Path) -> None:
    """A run that is stopped leaves the rest, without gap or repeat, to the next."""
    first = Progress(tmp_path / "stops-early", DAY)
    await _stream(first, threading.Event(), [])
    assert [number for _, number in sent] == list(range(EVENTS_A_FLUSH))
    await _stream(Progress(tmp_path / "demo.json", DAY, first.published), threading.Event(), [])
    assert [number for _, number in sent] == list(range(COUNT))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"last_day": "soon", "published": 1}', '{"last_day": 5}'])
def test_unreadable_note(tmp_path: Path, text: str) -> None:
    """A note that cannot be read counts as none."""
    (tmp_path / "demo.json").write_text(text)
    assert Progress.read(tmp_path) is None
