"""Campaigns in export-definitions and import-definitions."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select
from typer.testing import CliRunner, Result

from service.adapters.postgres.campaign_tables import customer_segment_campaigns
from service.cli.main import app
from service.core.campaigns.states import FINAL, State
from tests.api.campaigns.support import DISCOUNT, EMAIL, LATER, Campaigns
from tests.api.campaigns.test_create import FULL

EMPTY = "TRUNCATE customer_segments, segment_versions, customer_segment_campaigns, campaign_messages, users"


async def run(campaigns: Campaigns, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Result:
    """A command on the application's database, on a thread of its own, for it has an event loop of its own."""
    url = campaigns.api.database.engine.url.render_as_string(hide_password=False)
    monkeypatch.setenv("SEGMENTS_DATABASE_URL", url)
    monkeypatch.setenv("SEGMENTS_KAFKA_BOOTSTRAP", "nowhere:9092")
    return await asyncio.to_thread(CliRunner().invoke, app, list(arguments))


async def states(campaigns: Campaigns) -> dict[str, str]:
    """The state of each campaign by its name."""
    table = customer_segment_campaigns.c
    return {row[0]: row[1] for row in await campaigns.api.rows(select(table.campaign_name, table.state))}


async def exported(campaigns: Campaigns, monkeypatch: pytest.MonkeyPatch, file: Path) -> dict[str, Any]:
    """The file, written and read."""
    done = await run(campaigns, monkeypatch, "export-definitions")
    assert done.exit_code == 0, done.stderr
    return save(json.loads(done.stdout), file)


def save(whole: dict[str, Any], file: Path) -> dict[str, Any]:
    """The file with this in it; gives it back."""
    file.write_text(json.dumps(whole))
    return whole


async def test_there_and_back(campaigns: Campaigns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that a campaign says survives, with its id; a second import changes nothing."""
    file = tmp_path / "definitions.json"
    full = await campaigns.create(**FULL)
    plain = await campaigns.create(**{**EMAIL, "scheduled_at": LATER})
    before = await exported(campaigns, monkeypatch, file)
    await campaigns.api.run(EMPTY)

    first = await run(campaigns, monkeypatch, "import-definitions", str(file), "--json")
    again = await run(campaigns, monkeypatch, "import-definitions", str(file), "--json")

    assert {"campaigns_created": 2, "campaigns_unchanged": 0}.items() <= json.loads(first.stdout).items()
    assert {"campaigns_created": 0, "campaigns_unchanged": 2}.items() <= json.loads(again.stdout).items()
    assert [await campaigns.read(one["id"]) for one in (full, plain)] == [full, plain]
    assert (await exported(campaigns, monkeypatch, file))["campaigns"] == before["campaigns"]


async def test_what_was_under_way_comes_as_a_draft(
    campaigns: Campaigns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is sent by an import: only what had ended keeps its state; deleted campaigns are not in the file."""
    file = tmp_path / "definitions.json"
    for state in State:
        made = await campaigns.create(campaign_name=state)
        await campaigns.force(made["id"], state)
    gone = (await campaigns.create(campaign_name="gone"))["id"]
    await campaigns.api.send("DELETE", f"/campaigns/{gone}")
    await exported(campaigns, monkeypatch, file)
    await campaigns.api.run(EMPTY)

    done = await run(campaigns, monkeypatch, "import-definitions", str(file))

    assert done.exit_code == 0, done.stderr
    assert await states(campaigns) == {one: one if one in FINAL else "draft" for one in State}


async def test_files_from_before(campaigns: Campaigns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file without campaigns is read as before."""
    file = tmp_path / "definitions.json"
    whole = await exported(campaigns, monkeypatch, file)
    del whole["campaigns"]
    save(whole, file)

    done = await run(campaigns, monkeypatch, "import-definitions", str(file))

    assert done.exit_code == 0, done.stderr


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"priority": 1}, "no export of definitions"),
        ({"channel": "fax"}, "no export of definitions"),
        ({"channel": "sms", "campaign_type": "email"}, "channel must be email"),
        ({"discount_amount": "1.001"}, "discount_amount must have at most 2 decimals"),
        ({"options": {"holdout_percent": 51}}, "holdout_percent must lie between"),
        ({"segment_id": str(uuid4())}, "there is no segment"),
        ({"campaign_name": "Other"}, "is here and says something else"),
    ],
)
async def test_what_is_refused(
    campaigns: Campaigns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], said: str
) -> None:
    """Campaigns that cannot be kept, and those that are here and differ: one sentence, and nothing is stored."""
    file = tmp_path / "definitions.json"
    await campaigns.create(**DISCOUNT)
    whole = await exported(campaigns, monkeypatch, file)
    whole["campaigns"][0] |= change
    whole["segments"].append({**whole["segments"][0], "id": str(uuid4()), "segment_name": "New"})
    save(whole, file)

    done = await run(campaigns, monkeypatch, "import-definitions", str(file))

    assert done.exit_code == 1
    assert said in done.stderr
    listed = await campaigns.api.send("GET", "")
    assert listed.json()["data"]["total"] == 1


async def test_spent_ids(campaigns: Campaigns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A campaign that was deleted here does not come back."""
    file = tmp_path / "definitions.json"
    made = (await campaigns.create())["id"]
    await exported(campaigns, monkeypatch, file)
    await campaigns.api.send("DELETE", f"/campaigns/{made}")

    done = await run(campaigns, monkeypatch, "import-definitions", str(file))

    assert done.exit_code == 1
    assert "its id is spent" in done.stderr
