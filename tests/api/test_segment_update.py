"""Changing segments, and what the catalogue keeps of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import select

from service.adapters.postgres import tables
from service.adapters.postgres.catalogue import load_catalogue
from service.adapters.postgres.database import CATALOGUE_LOCK
from service.core.segments.catalogue import NOBODY
from tests.api.support import BIG, NOW, Api, with_customers


class TestUpdate:
    """PUT /:id."""

    async def test_criteria(self, api: Api) -> None:
        """New criteria raise the version and start a backfill at a new catalogue version."""
        await with_customers(api)
        segment = await api.create()
        await api.run("UPDATE customer_segments SET backfill_done = 3, backfill_state = 'done', since = 0")
        response = await api.send("PUT", f"/{segment['id']}", json={"criteria": {"purchased_products": ["P"]}})

        data = response.json()["data"]
        row = await api.row(segment["id"])
        assert response.status_code == 200
        assert (data["version"], data["backfill"]) == (2, {"state": "running", "progress": 0.0})
        assert (row.introduced, row.since, row.is_kept, row.is_silent) == (2, NOW, True, False)
        assert (await api.catalogue())[1]["purchases"] == [["product", "P"]]
        versions = await api.rows(select(tables.segment_versions.c.version).order_by(tables.segment_versions.c.version))
        assert versions == [(1,), (2,)]

    async def test_name_only(self, api: Api) -> None:
        """A new name is a new state of the catalogue but no new definition; a running backfill goes on."""
        await with_customers(api)
        segment = await api.create()
        await api.run("UPDATE customer_segments SET backfill_done = 2, since = 7")
        body = {"segment_name": "Other", "description": "new"}
        data = (await api.send("PUT", f"/{segment['id']}?emit=none", json=body)).json()["data"]

        row = await api.row(segment["id"])
        assert (data["segment_name"], data["description"], data["version"]) == ("Other", "new", 1)
        assert (row.introduced, row.since, row.backfill_done, row.is_silent) == (1, 7, 2, False)
        assert data["updated_at"] > segment["updated_at"]
        assert data["last_updated"] == segment["last_updated"]
        assert (await api.catalogue())[0] == 2

    async def test_null_clears_the_description(self, api: Api) -> None:
        """null empties the description; what is left out stays."""
        segment = await api.create(description="d")
        kept = (await api.send("PUT", f"/{segment['id']}", json={"segment_name": "n"})).json()["data"]
        cleared = (await api.send("PUT", f"/{segment['id']}", json={"description": None})).json()["data"]

        assert kept["description"] == "d"
        assert (cleared["description"], cleared["segment_name"]) == (None, "n")

    async def test_nothing_new(self, api: Api) -> None:
        """The same values again change nothing, whatever the order of keys; 1 and true are not the same."""
        criteria = {"traits": {"n": {"operator": "eq", "value": 1}}, **BIG}
        segment = await api.create(criteria=criteria)
        same = {"criteria": {**BIG, "traits": {"n": {"value": 1, "operator": "eq"}}}, "status": "active"}
        again = (await api.send("PUT", f"/{segment['id']}", json=same)).json()["data"]
        other = {"criteria": {**BIG, "traits": {"n": {"value": True, "operator": "eq"}}}}
        changed = (await api.send("PUT", f"/{segment['id']}", json=other)).json()["data"]

        assert again == segment
        assert changed["version"] == 2
        assert (await api.catalogue())[0] == 2

    async def test_archive_and_back(self, api: Api) -> None:
        """Archiving keeps the definition for its backfill, as nobody's; activating introduces it anew."""
        await with_customers(api)
        segment = await api.create()
        data = (await api.send("PUT", f"/{segment['id']}?emit=none", json={"status": "archived"})).json()["data"]
        leaving = await api.row(segment["id"])
        async with api.database.batch() as connection:
            catalogue = await load_catalogue(connection)
        await api.send("PUT", f"/{segment['id']}", json={"status": "active"})
        back = await api.row(segment["id"])

        assert (data["status"], data["version"], data["backfill"]["state"]) == ("archived", 1, "running")
        assert (leaving.introduced, leaving.is_kept, leaving.is_silent) == (2, True, True)
        assert [one.criteria for one in catalogue.definitions] == [NOBODY]
        assert (back.introduced, back.is_kept, back.is_silent, back.version) == (3, True, False, 1)

    async def test_draft_to_active(self, api: Api) -> None:
        """A draft's criteria change without a backfill; activating it starts one and grows the shape."""
        await with_customers(api)
        segment = await api.create(status="draft")
        path = f"/{segment['id']}"
        changed = (await api.send("PUT", path, json={"criteria": {"purchased_products": ["P"]}})).json()["data"]
        still = (await api.row(segment["id"]), await api.catalogue())
        active = (await api.send("PUT", path, json={"status": "active"})).json()["data"]

        assert (changed["version"], changed["backfill"]["state"]) == (2, "none")
        assert (still[0].introduced, still[0].is_kept, still[1][1]["purchases"]) == (0, False, [])
        assert (active["version"], active["backfill"]["state"]) == (2, "running")
        assert (await api.row(segment["id"])).introduced == 3
        assert (await api.catalogue())[1]["purchases"] == [["product", "P"]]

    async def test_change_while_leaving(self, api: Api) -> None:
        """Criteria of an archived segment change its version, and leave the backfill of its leaving alone."""
        await with_customers(api)
        segment = await api.create()
        await api.send("PUT", f"/{segment['id']}", json={"status": "archived"})
        await api.run("UPDATE customer_segments SET backfill_done = 1")
        await api.send("PUT", f"/{segment['id']}", json={"criteria": {}})

        row = await api.row(segment["id"])
        assert (row.version, row.introduced, row.backfill_done, row.is_kept) == (2, 2, 1, True)

    async def test_archive_without_customers(self, api: Api) -> None:
        """Where nobody can have been a member, the definition goes at once."""
        segment = await api.create()
        data = (await api.send("PUT", f"/{segment['id']}", json={"status": "archived"})).json()["data"]

        assert data["backfill"] == {"state": "done", "progress": 1.0}
        assert not (await api.row(segment["id"])).is_kept

    async def test_changes_wait_for_batches(self, api: Api) -> None:
        """No definition changes while a batch is under way."""
        segment = await api.create()
        async with api.database.batch() as connection:
            await connection.execute("SELECT pg_advisory_xact_lock_shared($1)", CATALOGUE_LOCK)
            change = asyncio.create_task(api.send("PUT", f"/{segment['id']}", json={"criteria": {}}))
            await asyncio.sleep(0.3)
            is_waiting = not change.done()

        assert is_waiting
        assert (await change).status_code == 200

    async def test_changes_at_once(self, api: Api) -> None:
        """Of many changes at once none is lost, and each has a version of its own."""
        segment = await api.create()
        bodies = [{"criteria": {"total_orders": {"operator": "gte", "value": n}}} for n in range(1, 9)]
        await asyncio.gather(*(api.send("PUT", f"/{segment['id']}", json=body) for body in bodies))

        row = await api.row(segment["id"])
        assert (row.version, row.introduced, (await api.catalogue())[0]) == (9, 9, 9)
        assert len(await api.rows(select(tables.segment_versions))) == 9

    @pytest.mark.parametrize(
        ("body", "path"),
        [
            ({}, None),
            ({"segment_type": "static"}, "segment_type"),
            ({"segment_type": None}, "segment_type"),
            ({"segment_name": None}, "segment_name"),
            ({"segment_name": " "}, "segment_name"),
            ({"status": None}, "status"),
            ({"status": "paused"}, "status"),
            ({"criteria": None}, "criteria"),
            ({"customer_count": 1}, "customer_count"),
        ],
    )
    async def test_refused(self, api: Api, body: dict[str, Any], path: str | None) -> None:
        """A change that cannot be made is a 422 that names the field, and changes nothing."""
        segment = await api.create()
        response = await api.send("PUT", f"/{segment['id']}", json=body)

        assert response.status_code == 422
        assert [fault["path"] for fault in response.json()["errors"]] == ([path] if path else [])
        assert (await api.catalogue())[0] == 1

    async def test_misspelt_dry_run_is_not_ignored(self, api: Api) -> None:
        """A parameter that is not known is refused: what was meant as a dry run must not change anything."""
        segment = await api.create()
        response = await api.send("PUT", f"/{segment['id']}?dryrun=true", json={"status": "archived"})

        assert response.status_code == 422
        assert response.json()["errors"][0]["path"] == "dryrun"
        assert (await api.row(segment["id"])).status == "active"
