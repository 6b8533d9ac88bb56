"""`segments verify`: exit codes, sentences, JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from service.adapters.postgres.database import Database
from service.core import instants
from tests.facts import Service
from tests.integration.support import commands
from tests.integration.verify.plain import NOW, apply_change


@pytest.fixture
def command(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs `segments verify` on the test's database."""
    return commands("verify", database_url, instants.to_text(NOW), monkeypatch)


@pytest.fixture
async def damaged(service: Service) -> Service:
    """A service that has lost a membership and miscounts a total."""
    for change in ("a membership is lost", "a total is changed"):
        await apply_change(service, change)
    return service


class TestCommand:
    """`segments verify`."""

    def test_sound(self, service: Service, command: Callable[..., Any]) -> None:
        """Without drift the exit code is 0 and the JSON has the contract's shape."""
        result = command("--json")

        found = json.loads(result.stdout)
        assert result.exit_code == 0
        assert {"id", "members", "drift", "examples"} <= found["segments"][0].keys()
        assert found["profiles"] == {"checked": 12, "drift": 0, "examples": []}
        assert found["overdue"] == 0

    def test_drift(self, command: Callable[..., Any], damaged: Service) -> None:
        """With drift the exit code is 1, with one sentence on stderr and examples on stdout."""
        result = command()

        assert result.exit_code == 1
        assert result.stderr == (
            "Drift: 1 memberships in 1 of 7 segments and 1 of 12 profiles do not follow from the facts.\n"
        )
        assert "french: c1 at" in result.stdout

    @pytest.mark.parametrize("arguments", [[], ["--json"]])
    def test_empty_database(self, database: Database, command: Callable[..., Any], arguments: list[str]) -> None:
        """With nothing stored there is nothing to find."""
        assert command(*arguments).exit_code == 0

    def test_unknown_segment(self, service: Service, command: Callable[..., Any]) -> None:
        """An unknown segment ends it with a sentence on stderr."""
        result = command("--segment", str(uuid4()))

        assert result.exit_code == 1
        assert result.stderr.startswith("No active dynamic or behavioral segment")
