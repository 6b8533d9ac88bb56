"""`segments backtest`: JSON, a table, sentences."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.adapters.postgres.database import Database
from tests import shop
from tests.drafts import compare
from tests.facts import Service
from tests.integration.support import commands


@pytest.fixture
def command(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs `segments backtest` on the test's database; the clock stands still at the shop's."""
    return commands("backtest", database_url, shop.CLOCK, monkeypatch)


SPAN = ("--from", "2024-02-15", "--to", "2024-02-25T00:00:00Z", "--step", "5d")
ONE = compare("gte", 1)


class TestCommand:
    """`segments backtest`."""

    def test_json(self, service: Service, command: Callable[..., Any], tmp_path: Path) -> None:
        """The JSON has the contract's shape, with members where they are asked for."""
        file = tmp_path / "criteria.json"
        file.write_text(json.dumps({"last_login": {"operator": "after", "date": "2024-02-18"}, "total_orders": ONE}))
        plain, named = command(str(file), *SPAN, "--json"), command(str(file), *SPAN, "--json", "--members")

        assert (plain.exit_code, named.exit_code) == (0, 0), plain.stderr
        steps = json.loads(plain.stdout)["steps"]
        assert [step["at"] for step in steps] == [f"2024-02-{day}T00:00:00Z" for day in (15, 20, 25)]
        assert all(step.keys() == {"at", "count", "joined", "left"} for step in steps)
        members = [step.pop("members") for step in json.loads(named.stdout)["steps"]]
        assert [len(one) for one in members] == [step["count"] for step in steps]
        assert members == [sorted(one) for one in members]

    def test_table(self, service: Service, command: Callable[..., Any]) -> None:
        """Without --json it is a table; criteria may come from stdin."""
        criteria = json.dumps(
            {
                "registration_date": {"operator": "between", "start_date": "2024-02-10", "end_date": "2024-02-10"},
                "not": {"total_orders": ONE},
            }
        )
        result = command("-", *SPAN, "--members", stdin=criteria)

        assert result.exit_code == 0, result.stderr
        rows = [line.split() for line in result.stdout.splitlines() if "2024-02-" in line]
        assert [row[1::2] for row in rows] == [
            ["2024-02-15T00:00:00Z", "1", "1", "0", "late"],
            ["2024-02-20T00:00:00Z", "1", "0", "0", "late"],
            ["2024-02-25T00:00:00Z", "1", "0", "0", "late"],
        ]

    @pytest.mark.parametrize(
        ("stdin", "options", "said"),
        [
            ("{", SPAN, "-: The JSON ends or breaks"),
            ('{"no": 1}', SPAN, "criteria.no: is no criterion"),
            ('{"member_of": "00000000-0000-0000-0000-000000000001"}', SPAN, "criteria.member_of: there is no segment"),
            ("{}", ("--from", "2024-02-15", "--to", "2024-05-02"), "--to: must not lie after now, which is 2024-05-01"),
            ("{}", ("--from", "2024-02-15", "--to", "2024-02-14"), "--from: must not lie after to"),
            ("{}", (*SPAN[:4], "--step", "1y"), "--step: must be a whole number"),
        ],
    )
    def test_refused(
        self, database: Database, command: Callable[..., Any], stdin: str, options: Any, said: str
    ) -> None:
        """What cannot be used ends it with exit code 1 and one sentence on stderr, and nothing on stdout."""
        result = command("-", *options, "--json", stdin=stdin)

        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith(said)
        assert result.stderr.count("\n") == 1

    def test_no_file(self, database: Database, command: Callable[..., Any], tmp_path: Path) -> None:
        """A file that is not there is an expected error."""
        result = command(str(tmp_path), *SPAN)

        assert result.exit_code == 1
        assert "is no file: name one that holds a criteria object, or - for stdin." in result.stderr
