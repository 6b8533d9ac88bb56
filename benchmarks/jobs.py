"""What a run is fed with: the generator's events and criteria, or files in the forms the product takes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks.workload import HISTORY_END, Criteria, Flavour, Message, Shop, definitions, history, text_of


@dataclass(frozen=True)
class Job:
    """Events and definitions; `messages` starts from the first event each time it is called."""

    name: str
    segments: list[Criteria]
    messages: Callable[[], Iterable[Message]]
    clock: str


def own_job(segments: int, flavour: Flavour, events: int, customers: int) -> Job:
    """The generator's job; the clock stands still just after the last event."""
    return Job(
        f"{flavour}, {segments} segments, {events:,} events, {customers:,} customers",
        definitions(segments, flavour),
        lambda: history(Shop(customers), events),
        text_of(HISTORY_END),
    )


def file_job(events: Path, segments: Path) -> Job:
    """A job from files; the clock stands still at the last event.

    Args:
        events: NDJSON of CloudEvents, ascending by time.
        segments: JSON {"segments": [{"criteria": ...}, ...]}.
    """
    found = json.loads(segments.read_text())["segments"]
    with events.open("rb") as file:
        file.seek(max(0, events.stat().st_size - 1_048_576))
        last = file.readlines()[-1]
    clock = json.loads(last)["time"]
    return Job(
        f"{events.name}, {len(found)} segments", [one["criteria"] for one in found], lambda: _read(events), clock
    )


class _Data(msgspec.Struct):
    customer_id: str


class _Line(msgspec.Struct):
    id: str
    data: _Data


def _read(path: Path) -> Iterator[Message]:
    decoder = msgspec.json.Decoder(_Line)
    with path.open("rb") as file:
        for line in file:
            found = decoder.decode(line)
            yield Message(found.id, found.data.customer_id.encode(), line.rstrip(b"\n"))
