"""What `segments up --demo` shows: a live picture on a terminal, plain lines anywhere else."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

CHANGES_SHOWN_MAX: Final = 14
#: Beside each other from this width on, below each other otherwise.
WIDE: Final = 130
#: Lines that are neither segments nor changes, where both are below each other.
OTHER_LINES: Final = 9
LINES_A_SECOND: Final = 5
PROGRESS_SECONDS: Final = 3.0


class Change(NamedTuple):
    """A customer joined or left a segment."""

    has_joined: bool
    segment: str
    customer: str
    at: str


@dataclass
class Picture:
    """Everything that is shown; the demo writes it, a view reads it."""

    total: int = 0
    published: int = 0
    applied: int = 0
    dead_letters: int = 0
    note: str = "reading the data set ..."
    segments: dict[str, str] = field(default_factory=dict)  # id -> name
    counts: dict[str, int] = field(default_factory=dict)  # by id
    joined: dict[str, int] = field(default_factory=dict)
    left: dict[str, int] = field(default_factory=dict)
    changes: deque[Change] = field(default_factory=lambda: deque(maxlen=CHANGES_SHOWN_MAX))

    def note_change(self, segment_id: str, change: Change) -> None:
        """Counts a change and keeps it among the latest."""
        tally = self.joined if change.has_joined else self.left
        tally[segment_id] = tally.get(segment_id, 0) + 1
        self.changes.append(change)

    def count_line(self) -> str:
        """Every segment with its members, in one line."""
        return ", ".join(f"{name} {self.counts.get(one, 0):,}" for one, name in self.segments.items())


class View(Protocol):
    """Shows a picture."""

    def say(self, text: str) -> None:
        """One line that stays."""

    def change(self, change: Change) -> None:
        """A change as it happens."""

    def refresh(self) -> None:
        """The picture has changed, or may have."""

    def close(self) -> None:
        """Nothing more will be shown."""


def make_view(picture: Picture) -> View:
    """The live picture on a terminal, else plain lines."""
    console = Console()
    return LiveView(picture, console) if console.is_terminal else PlainView(picture)


class LiveView:
    """Bars, counts and the latest changes, redrawn in place."""

    def __init__(self, picture: Picture, console: Console) -> None:
        self._picture = picture
        self._console = console
        self._live = Live(self.render(), console=console, auto_refresh=False)
        self._live.start()

    def say(self, text: str) -> None:
        """Above the picture."""
        self._console.print(text, markup=False, highlight=False)

    def change(self, change: Change) -> None:
        """Comes with the next picture."""

    def refresh(self) -> None:
        """Draws the picture anew."""
        self._live.update(self.render(), refresh=True)

    def close(self) -> None:
        """Leaves the last picture standing."""
        self._live.stop()

    def render(self) -> RenderableType:
        """The whole picture."""
        picture = self._picture
        bars = Table.grid(padding=(0, 1))
        bars.add_row("published", _bar(picture.published, picture.total), f"{picture.published:,} of {picture.total:,}")
        bars.add_row("applied", _bar(picture.applied, picture.total), f"{picture.applied:,} events")
        note = Text(picture.note, style="bold")
        if picture.dead_letters:
            note.append(f"   {picture.dead_letters:,} dead letters", style="red")
        size = self._console.size
        if size.width >= WIDE:
            middle = Table.grid(padding=(0, 2))
            middle.add_row(self._counts(), self._changes(CHANGES_SHOWN_MAX))
            return Group("", note, bars, "", middle)
        room = max(1, min(CHANGES_SHOWN_MAX, size.height - len(picture.segments) - OTHER_LINES))
        return Group("", note, bars, "", self._counts(), self._changes(room))

    def _counts(self) -> Table:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        table.add_column("segment")
        for name in ("members", "joined", "left"):
            table.add_column(name, justify="right", min_width=8)
        picture = self._picture
        for one, name in picture.segments.items():
            joined, left = picture.joined.get(one, 0), picture.left.get(one, 0)
            table.add_row(name, Text(f"{picture.counts.get(one, 0):,}", "bold"), f"{joined:,}", f"{left:,}")
        return table

    def _changes(self, room: int) -> Table:
        table = Table.grid(padding=(0, 1))
        for change in list(self._picture.changes)[-room:]:
            verb = Text("joined", "green") if change.has_joined else Text("left", "yellow")
            table.add_row(verb, change.segment, f"household {change.customer}", Text(change.at, "dim"))
        return table


class PlainView:
    """One line after another; changes at a bounded rate, as a file has no end."""

    def __init__(
        self, picture: Picture, write: Callable[[str], None] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._picture = picture
        self._write = write or _print
        self._clock = clock
        self._second = -1
        self._lines = 0
        self._shown_at = clock()
        self._shown = ""

    def say(self, text: str) -> None:
        """A line."""
        self._write(f"demo: {text}")

    def change(self, change: Change) -> None:
        """A line for the first few changes of every second."""
        second = int(self._clock())
        if second != self._second:
            self._second, self._lines = second, 0
        self._lines += 1
        if self._lines <= LINES_A_SECOND:
            verb = "joined" if change.has_joined else "left"
            self._write(f"{verb:<6}  {change.segment:<26}  household {change.customer:<5}  {change.at}")

    def refresh(self) -> None:
        """A line of progress every few seconds, if there is any."""
        picture = self._picture
        if self._clock() - self._shown_at < PROGRESS_SECONDS or not picture.total:
            return
        text = (
            f"published {picture.published:,} of {picture.total:,}, applied {picture.applied:,}, "
            f"{sum(picture.joined.values()):,} joined, {sum(picture.left.values()):,} left"
        )
        self._shown_at = self._clock()
        if text != self._shown and picture.applied < picture.total:
            self.say(text)
        self._shown = text

    def close(self) -> None:
        """Nothing to leave behind."""


def _bar(done: int, total: int) -> ProgressBar:
    return ProgressBar(total=max(total, 1), completed=min(done, total), width=40)


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
