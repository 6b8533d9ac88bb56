"""What a data directory remembers."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.stack.errors import StackError
from service.stack.processes import start_time
from service.stack.state import DataDir, read_stack_file, write_stack_file


@pytest.fixture
def stranger() -> Iterator[int]:
    """The process id of a sleeping process that is no child of ours and has been left behind."""
    quiet = "stdout=-3, stderr=-3, start_new_session=True"
    script = f"import subprocess; print(subprocess.Popen(['sleep', '600'], {quiet}).pid)"
    pid = int(subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout)
    yield pid
    if start_time(pid):
        os.kill(pid, 9)


def crash(data: DataDir) -> None:
    """Let go of the directory as a killed process does."""
    data._lock.close()


class TestProcesses:
    """Leftovers of a crash."""

    def test_leftovers_are_ended(self, tmp_path: Path, stranger: int) -> None:
        """A process that a crashed stack wrote down is ended by the next."""
        data = DataDir.open(tmp_path)
        data.remember("kafka", stranger)
        crash(data)

        DataDir.open(tmp_path).close()
        assert start_time(stranger) is None

    def test_recycled_pid_is_left_alone(self, tmp_path: Path, stranger: int) -> None:
        """A process that has the number of an earlier one, but another start time, is not touched."""
        data = DataDir.open(tmp_path)
        data.remember("kafka", stranger)
        crash(data)
        file = tmp_path / "processes.json"
        file.write_text(json.dumps({str(stranger): {"name": "kafka", "started": "long ago"}}))

        DataDir.open(tmp_path).close()
        assert start_time(stranger) is not None

    def test_forgotten_process_is_left_alone(self, tmp_path: Path, stranger: int) -> None:
        """A process that ended in order is forgotten."""
        data = DataDir.open(tmp_path)
        data.remember("kafka", stranger)
        data.forget(stranger)
        crash(data)

        DataDir.open(tmp_path).close()
        assert start_time(stranger) is not None


class TestStackFile:
    """`stack.json` and what is kept beside it."""

    def test_round_trip(self, tmp_path: Path) -> None:
        """The file holds what was written, further keys too, and only its owner may read it."""
        values = {"api_url": "http://127.0.0.1:8000", "pids": {"serve": [1]}, "smtp_url": "smtp://x"}
        write_stack_file(tmp_path, values)

        assert read_stack_file(tmp_path) == values
        assert stat.S_IMODE((tmp_path / "stack.json").stat().st_mode) == 0o600

    def test_none(self, tmp_path: Path) -> None:
        """Without a stack the error says how to get one."""
        with pytest.raises(StackError, match=r"No stack runs on the data directory .* `segments up`"):
            read_stack_file(tmp_path)

    def test_stale_one_goes_with_the_next_start(self, tmp_path: Path) -> None:
        """A crashed stack's file is removed by the next start, which has other processes."""
        write_stack_file(tmp_path, {"pids": {}})
        data = DataDir.open(tmp_path)

        assert not (tmp_path / "stack.json").exists()
        data.close()

    def test_saved_values_last(self, tmp_path: Path) -> None:
        """Ports and secrets outlive the stack; a damaged file counts as none."""
        data = DataDir.open(tmp_path)
        data.save("servers", {"password": "p"})
        data.close()
        data = DataDir.open(tmp_path)

        assert data.load("servers") == {"password": "p"}
        (tmp_path / "servers.json").write_text('{"pass')
        assert data.load("servers") == {}
        data.close()
