"""`segments rebuild`: exit codes, sentences, JSON."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from service.adapters.postgres.database import Database
from service.core import instants
from service.core.identity import customer_uuid
from tests.facts import Service
from tests.integration.rebuild.support import published, versions
from tests.integration.support import commands
from tests.integration.verify.plain import NOW, apply_change, ids_of


@pytest.fixture
def command(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs `segments rebuild` on the test's database, with a loop of its own."""
    run = commands("rebuild", database_url, instants.to_text(NOW), monkeypatch)
    return lambda *arguments: asyncio.to_thread(run, *arguments)


@pytest.fixture
async def damaged(service: Service) -> Service:
    """A service that has lost a membership and miscounts a total."""
    for change in ("a membership is lost", "a total is changed"):
        await apply_change(service, change)
    return service


class TestCommand:
    """`segments rebuild`."""

    @pytest.mark.parametrize("options", [[], ["--emit"]])
    async def test_sound(self, service: Service, command: Callable[..., Any], options: list[str]) -> None:
        """In a sound database there is nothing to do, and no row is touched."""
        before = await versions(service)
        result = await command(*options)

        assert result.exit_code == 0
        assert "Everything follows from the facts; there is nothing to repair." in result.stdout
        assert await versions(service) == before

    async def test_dry_run(self, damaged: Service, command: Callable[..., Any]) -> None:
        """Without --emit the differences are shown, with what --emit would do; nothing is changed."""
        before = await versions(damaged)
        result, as_json = await command(), json.loads((await command("--json")).stdout)

        assert result.exit_code == 0
        assert "french: c1 at" in result.stdout
        assert "profile of c1: total_spent: stored 7001, by the facts 7000" in result.stdout
        assert "--emit would repair 1 customers (1 memberships, 1 profiles, 0 timers or pins) and 0" in result.stdout
        assert (as_json["customers"], as_json["emitted"]) == (1, False)
        assert "repaired" not in as_json
        assert await versions(damaged) == before

    async def test_emit(self, damaged: Service, command: Callable[..., Any]) -> None:
        """With --emit it is repaired and published, and the same again finds nothing."""
        before = len(await published(damaged))
        result = await command("--emit")
        changes = (await published(damaged))[before:]
        again = json.loads((await command("--emit", "--json")).stdout)

        assert result.exit_code == 0
        assert "Repaired 1 customers and 0 counts of members; published 1 joined and 0 left." in result.stdout
        assert [(one.change, one.reason) for one in changes] == [("joined", "rebuild")]
        assert again["customers"] == 0
        assert again["repaired"] == {"customers": 0, "joined": 0, "left": 0, "counts": 0, "set_aside": []}

    async def test_json(self, damaged: Service, command: Callable[..., Any]) -> None:
        """The JSON has what verify found, and for each segment what was done."""
        found = json.loads(
            (await command("--emit", "--json", "--segment", str((await ids_of(damaged.database))["french"]))).stdout
        )

        (segment,) = found["segments"]
        assert {"id", "members", "drift", "examples"} <= segment.keys()
        assert (segment["name"], segment["drift"], segment["joined"], segment["left"]) == ("french", 1, 1, 0)
        assert found["repaired"]["customers"] == 1
        assert found["profiles"]["drift"] == 1

    async def test_set_aside(self, damaged: Service, command: Callable[..., Any]) -> None:
        """Who cannot be recounted is named on stderr, and the exit code is 1."""
        await damaged.run(
            """UPDATE customer_facts SET data = '{"name": 5}' WHERE customer_id = :c1""", c1=customer_uuid("c1")
        )
        result = await command("--emit")

        assert result.exit_code == 1
        assert result.stderr == (f"1 customers could not be recounted and stay as they are: {customer_uuid('c1')}.\n")

    async def test_empty_database(self, database: Database, command: Callable[..., Any]) -> None:
        """With nothing stored there is nothing to do."""
        assert (await command("--emit")).exit_code == 0

    async def test_unknown_segment(self, service: Service, command: Callable[..., Any]) -> None:
        """An unknown segment ends it with a sentence on stderr."""
        result = await command("--segment", str(uuid4()))

        assert result.exit_code == 1
        assert result.stderr.startswith("No active dynamic or behavioral segment")
