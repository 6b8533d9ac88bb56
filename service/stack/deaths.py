"""Which roles died of late under `segments up`, where commands beside it can read that."""

from __future__ import annotations

import json
import time
from pathlib import Path

import structlog

from service.stack.state import DataDir

#: Deaths are remembered for so long.
SECONDS = 600.0
NAME = "deaths"

_log = structlog.get_logger(__name__)


class Deaths:
    """Kept in memory, written down with each death; times are seconds since 1970."""

    def __init__(self, data: DataDir) -> None:
        self._data = data
        self._times: dict[str, list[float]] = {}

    def forget(self) -> None:
        """A new start: what died under the one before is no news."""
        self._times.clear()
        self._save()

    def note(self, role: str) -> None:
        """One process of this role has died just now."""
        now = time.time()
        self._times.setdefault(role, []).append(now)
        self._times = {name: [at for at in some if at > now - SECONDS] for name, some in self._times.items()}
        self._save()

    def _save(self) -> None:
        try:
            self._data.save(NAME, self._times)
        except OSError as error:  # a full disk must not take the roles down
            _log.warning("deaths could not be noted", error=str(error))


def read_deaths(data_dir: Path) -> dict[str, int]:
    """How often each role died within the last SECONDS; empty where no stack has run."""
    try:
        noted = json.loads((data_dir / f"{NAME}.json").read_text())
    except (OSError, ValueError):
        return {}
    since = time.time() - SECONDS
    return {role: sum(at > since for at in times) for role, times in noted.items()}
