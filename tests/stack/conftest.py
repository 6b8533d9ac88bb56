"""One embedded stack for the tests of this folder, in a closed directory whose name has a space."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.settings import load_settings
from service.stack.group import Servers
from service.stack.servers import start_servers


@pytest.fixture(autouse=True)
def _embedded(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests are of the embedded servers, whatever the rest of the session uses."""
    for name in ("SEGMENTS_DATABASE_URL", "SEGMENTS_KAFKA_BOOTSTRAP", "SEGMENTS_MAVEN_REPOSITORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SEGMENTS_STACK", "embedded")


@pytest.fixture(scope="module")
def closed_folder() -> Iterator[Path]:
    """A folder with a space in its name that nobody else may enter."""
    folder = Path(tempfile.mkdtemp(prefix="segments stack "))
    assert folder.stat().st_mode & 0o777 == 0o700
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def servers(closed_folder: Path) -> Iterator[Servers]:
    """A running stack; tests may kill its servers and start them again."""
    names = ("SEGMENTS_DATABASE_URL", "SEGMENTS_KAFKA_BOOTSTRAP")
    before = {name: os.environ.pop(name) for name in names if name in os.environ}
    os.environ["SEGMENTS_STACK"] = "embedded"
    try:
        with start_servers(load_settings(), closed_folder / "data dir") as running:
            yield running
    finally:
        del os.environ["SEGMENTS_STACK"]
        os.environ.update(before)
