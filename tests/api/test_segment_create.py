"""Creating segments, and what the catalogue keeps of it."""

from __future__ import annotations

from sqlalchemy import select

from service.adapters.postgres import tables
from service.adapters.postgres.catalogue import load_catalogue
from service.api.schemas import Answer, SegmentData
from service.app.tokens import Permission
from tests.api.support import BIG, NOW, Api, bearer, token, with_customers


class TestCreate:
    """POST /."""

    async def test_shape(self, api: Api) -> None:
        """The answer is 201 with the segment, its address, and the author's name from the token."""
        response = await api.send("POST", json={"segment_name": "Big", "description": "d", "criteria": BIG})

        answer = Answer[SegmentData].model_validate(response.json())
        assert response.status_code == 201
        assert response.headers["location"].endswith(str(answer.data.id))
        assert (answer.data.segment_type, answer.data.status, answer.data.version) == ("dynamic", "active", 1)
        assert (answer.data.created_by, answer.data.creator_name) == ("u-1", "Ursula Main")
        assert answer.data.criteria == BIG
        assert response.json()["data"] == (await api.send("GET", f"/{answer.data.id}")).json()["data"]

    async def test_address_with_slash(self, api: Api) -> None:
        """The guide's POST / works with and without the slash."""
        response = await api.send("POST", "/", json={"segment_name": "Big", "criteria": {}})

        assert response.status_code == 201

    async def test_without_customers_there_is_nothing_to_backfill(self, api: Api) -> None:
        """A segment that is made before any customer is complete at once, and kept."""
        segment = await api.create()

        row = await api.row(segment["id"])
        assert segment["backfill"] == {"state": "done", "progress": 1.0}
        assert (row.introduced, row.since, row.is_kept, row.is_silent) == (1, NOW, True, False)
        assert (await api.catalogue())[0] == 1

    async def test_with_customers_a_backfill_runs(self, api: Api) -> None:
        """A segment that is made among customers waits for its backfill, and shows how far that is."""
        await with_customers(api)
        segment = await api.create()
        await api.run("UPDATE customer_segments SET backfill_done = 1")

        shown = (await api.send("GET", f"/{segment['id']}")).json()["data"]["backfill"]
        row = await api.row(segment["id"])
        assert segment["backfill"] == {"state": "running", "progress": 0.0}
        assert shown == {"state": "running", "progress": 0.3333}
        assert (row.backfill_total, row.is_kept) == (3, True)

    async def test_draft(self, api: Api) -> None:
        """A draft is not kept, has no backfill and asks nothing of profiles."""
        await with_customers(api)
        segment = await api.create(status="draft", criteria={"purchased_products": ["P-1"]})

        row = await api.row(segment["id"])
        assert segment["backfill"] == {"state": "none", "progress": 0.0}
        assert (row.is_kept, row.introduced) == (False, 0)
        assert (await api.catalogue())[1]["purchases"] == []

    async def test_shape_grows(self, api: Api) -> None:
        """What criteria ask of profiles is appended to the shape, never moved."""
        await api.create(criteria={"purchased_products": ["P-2", "P-1"]})
        await api.create(criteria={"purchased_categories": ["A"], "total_orders": {"operator": "gte", "value": 1}})
        await api.create(criteria={"total_spent": {"operator": "gt", "value": 1, "window": {"days": 2}}})
        await api.create(criteria={"purchased_products": ["P-1"]})

        version, shape = await api.catalogue()
        assert version == 4
        assert shape["purchases"] == [["product", "P-1"], ["product", "P-2"], ["category", "A"]]
        assert (shape["version"], shape["window_max"]) == (3, 2 * 86_400 * 1_000_000)

    async def test_versions_and_author_are_kept(self, api: Api) -> None:
        """The first version of the criteria and the author are stored; a new name of theirs replaces the old."""
        await api.create()
        headers = bearer(token(*Permission, sub="u-1", name="Ursula Moved"))
        segment = (await api.send("POST", json={"segment_name": "x", "criteria": {}}, headers=headers)).json()["data"]

        versions = await api.rows(select(tables.segment_versions.c.version, tables.segment_versions.c.created_by))
        users = await api.rows(select(tables.users.c.id, tables.users.c.name))
        assert versions == [(1, "u-1"), (1, "u-1")]
        assert users == [("u-1", "Ursula Moved")]
        assert segment["creator_name"] == "Ursula Moved"

    async def test_exact_numbers(self, api: Api) -> None:
        """Numbers beyond a float's precision come back as they were given, and are evaluated so."""
        test = b'{"operator": "eq", "value": 12345678901234567890.12}'
        body = b'{"segment_name": "x", "criteria": {"traits": {"n": %b}}}' % test
        response = await api.send("POST", content=body)
        shown = await api.send("GET", f"/{response.json()['data']['id']}")

        async with api.database.batch() as connection:
            catalogue = await load_catalogue(connection)
        assert b"12345678901234567890.12" in shown.content
        assert str(catalogue.definitions[0].criteria.value) == "12345678901234567890.12"  # type: ignore[union-attr]
