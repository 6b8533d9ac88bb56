"""`segments explain`: JSON, a table, sentences."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from service.core import instants
from tests.facts import Service
from tests.integration.explain.support import NOW, SEGMENTS
from tests.integration.support import commands


@pytest.fixture
def command(service: Service, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs `segments explain` on this test's database."""
    return commands("explain", database_url, instants.to_text(NOW), monkeypatch)


class TestCommand:
    """`segments explain`."""

    def test_json(self, service: Service, command: Callable[..., Any]) -> None:
        """The JSON has the contract's shape, numbers exact."""
        result = command("ada", "viewers", "--json")
        found = json.loads(result.stdout)

        assert result.exit_code == 0, result.output
        assert found == {
            "member": True,
            "since": "2024-03-18T00:00:00Z",
            "changes_at": "2024-03-23T00:00:00Z",
            "pin": None,
            "notes": [],
            "predicates": [
                {
                    "path": "criteria.activity",
                    "criteria": {"activity": SEGMENTS["viewers"]["activity"]},
                    "value": 3,
                    "verdict": True,
                }
            ],
        }

    def test_table(self, service: Service, command: Callable[..., Any]) -> None:
        """People get a table and sentences."""
        result = command("ada", str(service.ids["mixed"]))

        assert result.exit_code == 0, result.output
        lines = result.stdout.splitlines()
        assert any("no" in line and "criteria.any[0].total_orders" in line and "2" in line for line in lines)
        assert any("yes" in line and "email_subscribed" in line for line in lines)
        assert "The customer is out since 2024-03-13T00:00:00Z." in result.stdout
        assert "Time alone changes that at 2024-04-04T00:00:00Z." in result.stdout

    def test_never_in(self, service: Service, command: Callable[..., Any]) -> None:
        """Without any membership so far the sentence says so."""
        result = command("ada", "never")

        assert "out, and never was in." in result.stdout
        assert "No change by time alone is in sight." in result.stdout

    def test_errors(self, command: Callable[..., Any]) -> None:
        """An expected error is one sentence on stderr and exit code 1."""
        for arguments, sentence in (
            (("bob", "mixed"), 'There is no customer "bob"'),
            (("ada", "nothing"), 'There is no segment with the id or name "nothing"'),
            (("ada", str(uuid4())), "There is no segment"),
        ):
            result = command(*arguments)

            assert result.exit_code == 1
            assert result.stdout == ""
            assert result.stderr.startswith(sentence)
            assert len(result.stderr.strip().splitlines()) == 1
