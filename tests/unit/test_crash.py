"""Crash points: nothing without the setting, SIGKILL with it, and no start with one that is wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from service.crash import NAMES, read_crash_at
from service.settings import SettingsError, load_settings

COMES_BY = """
import service.crash as crash
crash.arm({at!r})
for number in range(3):
    crash.crash_point("records-read")
    crash.crash_point("rows-read")
    print(number, flush=True)
"""


def passing(at: str | None) -> tuple[int, list[str]]:
    """Exit code and output of a process that comes by three times."""
    done = subprocess.run([sys.executable, "-c", COMES_BY.format(at=at)], capture_output=True, text=True, check=False)
    return done.returncode, [line for line in done.stdout.splitlines() if line.isdecimal()]


def test_nothing_without_the_setting() -> None:
    """A process that is not armed comes by and goes on."""
    assert passing(None) == (0, ["0", "1", "2"])


def test_the_nth_passage_is_the_end() -> None:
    """An armed process is gone by SIGKILL at the nth passage of its point, and no other point counts."""
    assert passing("rows-read:2") == (-signal.SIGKILL, ["0"])
    assert passing("rows-read:4") == (0, ["0", "1", "2"])
    assert passing("marker-read:1") == (0, ["0", "1", "2"])


@pytest.mark.parametrize("text", ["", "rows-read", "rows-read:", "rows-read:0", "rows-read:-1", "rows-read:1:1", "x:1"])
def test_a_wrong_point_is_refused(text: str) -> None:
    """What names no point and passage is refused by a sentence that lists the points."""
    with pytest.raises(ValueError, match=", ".join(NAMES)):
        read_crash_at(text)


def test_settings_refuse_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a setting as others are: named in the sentence, and missing where it is blank."""
    monkeypatch.setenv("SEGMENTS_CRASH_AT", "nowhere:1")
    with pytest.raises(SettingsError, match=r"SEGMENTS_CRASH_AT: must be <point>:<nth>.*records-read"):
        load_settings()
    monkeypatch.setenv("SEGMENTS_CRASH_AT", "")
    assert load_settings().crash_at is None


def test_a_role_does_not_start_with_a_wrong_one() -> None:
    """The console script ends with 1 and one sentence, before it connects anywhere."""
    env = os.environ | {
        "SEGMENTS_DATABASE_URL": "postgresql://nowhere/x",
        "SEGMENTS_KAFKA_BOOTSTRAP": "nowhere:1",
        "SEGMENTS_CRASH_AT": "nowhere:1",
    }
    command = [sys.executable, "-m", "service.cli.main", "relay"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 1
    assert done.stderr.startswith("SEGMENTS_CRASH_AT: must be <point>:<nth>")
    assert "records-read" in done.stderr
    assert len(done.stderr.splitlines()) == 1
