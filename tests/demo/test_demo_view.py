"""What the demo shows, and what it says when it cannot run."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import pytest
from rich.console import Console
from structlog.testing import capture_logs

from producers.demo import data
from service.cli.demo import require_demo, start_demo
from service.cli.demo_view import LINES_A_SECOND, PROGRESS_SECONDS, Change, LiveView, Picture, PlainView
from service.cli.run import CommandError
from service.settings import Settings

CHANGE = Change(True, "Big spenders", "1234", "2031-03-09T12:00:00Z")


class Clock:
    """Stands until it is set."""

    now = 100.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now


def _picture() -> Picture:
    picture = Picture(total=1_000, published=900, applied=500, note="a note")
    picture.segments = {"s1": "Big spenders", "s2": "At risk"}
    picture.counts = {"s1": 1_234, "s2": 5}
    picture.note_change("s1", CHANGE)
    picture.note_change("s2", Change(False, "At risk", "77", "2031-03-08T12:00:00Z"))
    return picture


def test_plain_changes_at_a_bounded_rate() -> None:
    """A few changes of each second become lines, the first ones first, in a form that is easy to read."""
    lines: list[str] = []
    clock = Clock()
    view = PlainView(_picture(), lines.append, clock)
    for _ in range(3 * LINES_A_SECOND):
        view.change(CHANGE)
    assert len(lines) == LINES_A_SECOND
    assert lines[0] == "joined  Big spenders                household 1234   2031-03-09T12:00:00Z"
    clock.now += 1
    view.change(CHANGE._replace(has_joined=False))
    assert lines[-1].startswith("left    Big spenders ")
    assert len(lines) == LINES_A_SECOND + 1


def test_plain_progress_every_few_seconds() -> None:
    """Progress is a line every few seconds while something moves, and none after the end."""
    lines: list[str] = []
    clock, picture = Clock(), _picture()
    view = PlainView(picture, lines.append, clock)
    view.refresh()
    assert lines == []
    clock.now += PROGRESS_SECONDS
    view.refresh()
    view.refresh()
    assert lines == ["demo: published 900 of 1,000, applied 500, 1 joined, 1 left"]
    clock.now += PROGRESS_SECONDS
    view.refresh()
    picture.applied = picture.published = 1_000
    clock.now += PROGRESS_SECONDS
    view.refresh()
    assert len(lines) == 1


@pytest.mark.parametrize("width", [80, 200])
def test_live_picture(width: int) -> None:
    """The picture holds both bars, every segment with its members, and the latest changes, wide or narrow."""
    text = io.StringIO()
    console = Console(file=text, width=width, height=30, force_terminal=True, color_system=None)
    view = LiveView(_picture(), console)
    view.say("a line that stays")
    view.refresh()
    view.close()
    shown = text.getvalue()
    for part in ("a line that stays", "a note", "900 of 1,000", "500 events", "1,234", "household 77"):
        assert part in shown
    assert all(len(line) <= width + 50 for line in shown.splitlines())


def test_live_picture_fits_a_low_terminal() -> None:
    """With little room the picture keeps the newest change and drops older ones."""
    text = io.StringIO()
    console = Console(file=text, width=80, height=12, force_terminal=True, color_system=None)
    picture = _picture()
    view = LiveView(picture, console)
    view.close()
    text.truncate(0)
    console.print(view.render())
    assert "household 77" in text.getvalue()
    assert "household 1234" not in text.getvalue()


def test_needs_dollars() -> None:
    """The demo's amounts are dollars; another currency is refused with the variable's name."""
    with pytest.raises(CommandError, match="SEGMENTS_CURRENCY"):
        require_demo(Settings(currency="EUR"))


def test_failure_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Without its data the thread ends with one sentence on stderr and raises nothing."""
    monkeypatch.setattr(data, "PACKAGE", "no_such_package_here")
    with capture_logs():
        thread = start_demo(Settings(), tmp_path, "http://127.0.0.1:9", "token", threading.Event())
        thread.join(10)
    assert not thread.is_alive()
    error = capsys.readouterr().err
    assert error.startswith("The demo has stopped, the service runs on: The demo's data are not installed")
    assert error.count("\n") == 1


def test_unreachable_api_is_one_sentence(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """An API that does not answer ends the demo with one sentence, not with a traceback."""
    settings = Settings(kafka_bootstrap="127.0.0.1:9")
    with capture_logs():
        thread = start_demo(settings, tmp_path, "http://127.0.0.1:9", "token", threading.Event())
        thread.join(10)
    assert not thread.is_alive()
    found = capsys.readouterr()
    assert "The API is out of reach" in found.err
    assert "Traceback" not in found.err + found.out


def test_stop_ends_it(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A demo that is told to stop ends without a word."""
    stop = threading.Event()
    stop.set()
    thread = start_demo(Settings(), tmp_path, "http://127.0.0.1:9", "token", stop)
    thread.join(10)
    assert not thread.is_alive()
    assert capsys.readouterr().err == ""
