"""Nothing lost, nothing doubled, whatever dies: two minutes of every fault, judged from the raw input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.soak.faults import FAULTS

SECONDS = "120"


@pytest.mark.timeout(1_200)
def test_the_soak_finds_nothing_wrong(tmp_path: Path) -> None:
    """At least 100,000 events under every kind of fault: no wrong result, and everything recovers."""
    target = tmp_path / "report.json"
    seed = os.environ.get("SOAK_SEED")
    argv = [sys.executable, "-m", "tests.soak.run", "--seconds", SECONDS, *(["--seed", seed] if seed else [])]
    done = subprocess.run(argv, env={**os.environ, "SOAK_REPORT": str(target)}, capture_output=True, check=False)
    told = done.stdout.decode() + done.stderr.decode()
    sys.stdout.write(told)
    assert done.returncode == 0, told

    report = json.loads(target.read_text())
    assert report["wrong"] == 0
    assert report["verdict"]["events"] >= 100_000
    assert report["verdict"]["customers"] >= 1_000
    assert report["verdict"]["exact"] >= 300
    assert report["observer_changes"] >= 50_000
    assert all(row["injected"] for row in report["by_kind"].values())
    assert set(report["by_kind"]) == set(FAULTS)
