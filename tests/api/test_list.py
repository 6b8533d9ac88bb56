"""Listing and reading segments."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from service.api import details
from service.api.details import SegmentDetails
from service.api.schemas import Answer, SegmentPage
from service.app.segments import SORT_FIELDS
from service.app.tokens import Permission
from tests.api.support import BASE, Api, add_many, add_members, bearer, customer, token


async def names(api: Api, query: str) -> list[str]:
    """The names that a list answers, in its order."""
    response = await api.send("GET", f"?{query}")
    assert response.status_code == 200, response.text
    return [segment["segment_name"] for segment in response.json()["data"]["segments"]]


class TestList:
    """GET /."""

    async def test_shape_and_pages(self, api: Api) -> None:
        """Pages hold all segments once, newest first, with the total on each."""
        for number in range(5):
            await api.create(segment_name=f"S{number}")
        first = await api.send("GET", "?limit=2")

        page = Answer[SegmentPage].model_validate(first.json()).data
        assert (page.total, page.page, page.limit) == (5, 1, 2)
        assert [one.segment_name for one in page.segments] == ["S4", "S3"]
        assert await names(api, "limit=2&page=2") == ["S2", "S1"]
        assert await names(api, "limit=2&page=3") == ["S0"]
        assert await names(api, "limit=2&page=1000000") == []

    async def test_search(self, api: Api) -> None:
        """Search looks for the text itself in names and descriptions, whatever the case."""
        await api.create(segment_name="100% loyal")
        await api.create(segment_name="1000 loyal", description="big_spenders")
        await api.create(segment_name="Other", description=None)

        assert await names(api, "search=100%25") == ["100% loyal"]
        assert await names(api, "search=LOYAL&sort_by=segment_name&sort_order=asc") == ["100% loyal", "1000 loyal"]
        assert await names(api, "search=g_s") == ["1000 loyal"]
        assert await names(api, "search=_") == ["1000 loyal"]
        assert await names(api, "search='--") == []
        assert len(await names(api, "search=")) == 3

    async def test_filters(self, api: Api) -> None:
        """Status and type narrow the list and its total."""
        await api.create(segment_name="A", segment_type="behavioral")
        await api.create(segment_name="B", status="draft")
        archived = await api.create(segment_name="C")
        await api.send("PUT", f"/{archived['id']}", json={"status": "archived"})

        assert await names(api, "status=active") == ["A"]
        assert await names(api, "status=archived") == ["C"]
        assert await names(api, "segment_type=dynamic&status=draft") == ["B"]
        assert await names(api, "segment_type=static") == []
        assert (await api.send("GET", "?status=draft")).json()["data"]["total"] == 1

    @pytest.mark.parametrize("field", SORT_FIELDS)
    async def test_sorting(self, api: Api, field: str) -> None:
        """Every field of the list sorts it both ways, under either name of the parameters."""
        for name in ("b", "a", "c"):
            await api.create(segment_name=name)
        ascending = await names(api, f"sort_by={field}&sort_order=asc")

        assert sorted(ascending) == ["a", "b", "c"]
        assert await names(api, f"sort_by={field}&sort_order=desc") == ascending[::-1]
        assert await names(api, f"sort={field}&order=asc") == ascending
        if field == "segment_name":
            assert ascending == ["a", "b", "c"]

    @pytest.mark.parametrize(
        ("query", "path"),
        [
            ("page=0", "page"),
            ("page=x", "page"),
            ("page=1000001", "page"),
            ("page=" + "9" * 5_000, "page"),
            ("limit=0", "limit"),
            ("limit=101", "limit"),
            ("limit=1.5", "limit"),
            ("limit=", "limit"),
            ("status=gone", "status"),
            ("segment_type=x", "segment_type"),
            ("sort_by=criteria", "sort_by"),
            ("sort_by=segment_name;drop", "sort_by"),
            ("sort_order=up", "sort_order"),
            ("search=%00", "search"),
            ("search=" + "x" * 201, "search"),
            ("colour=red", "colour"),
        ],
    )
    async def test_refused(self, shared: Api, query: str, path: str) -> None:
        """A parameter that cannot be used is a 422 that names it."""
        response = await shared.send("GET", f"?{query}")

        assert response.status_code == 422
        assert [fault["path"] for fault in response.json()["errors"]] == [path]


class TestRead:
    """GET /:id."""

    async def test_include_customers(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        """customers and customer_ids are there on request, up to limits that the answer admits to."""
        segment = await api.create()
        await add_many(api.database, segment["id"], 5)

        async def read(query: str) -> dict[str, Any]:
            data = (await api.send("GET", f"/{segment['id']}{query}")).json()["data"]
            SegmentDetails.model_validate(data)
            return data

        for query in ("", "?include_customers=false"):
            alone = await read(query)
            assert not {"customers", "customer_ids"} & set(alone)
            assert alone["campaigns"] == []
        whole = await read("?include_customers=true")
        monkeypatch.setattr(details, "CUSTOMER_IDS_MAX", 4)
        monkeypatch.setattr(details, "CUSTOMERS_MAX", 3)
        part = await read("?include_customers=true")
        assert (len(set(whole["customer_ids"])), whole["customer_ids_complete"]) == (5, True)
        assert (part["customer_ids"], part["customer_ids_complete"]) == (whole["customer_ids"][:4], False)
        assert [one["id"] for one in whole["customers"]] == whole["customer_ids"]
        assert (part["customers"], part["customers_complete"]) == (whole["customers"][:3], False)
        assert whole["customers_complete"] is True
        assert whole["customers"][0]["total_spent"] == "49.99"

    async def test_customers_are_masked(self, api: Api) -> None:
        """Whoever may not read personal data gets the customers without it."""
        segment = await api.create(segment_type="static", criteria=None)
        await add_members(api.database, segment["id"], [customer(uuid4(), "C-1", email="ada@example.com")])

        response = await api.client.get(
            f"{BASE}/{segment['id']}?include_customers=true", headers=bearer(token(Permission.READ))
        )

        assert "ada@" not in response.text
        assert response.json()["data"]["customers"][0]["external_id"] == "C-1"

    async def test_author_unknown(self, api: Api) -> None:
        """A segment whose author is not among the users shows their id instead of a name."""
        segment = await api.create()
        await api.run("DELETE FROM users")

        assert (await api.send("GET", f"/{segment['id']}")).json()["data"]["creator_name"] == "u-1"

    async def test_id_in_capitals(self, api: Api) -> None:
        """A UUID is the same in capitals."""
        segment = await api.create()

        assert (await api.send("GET", f"/{segment['id'].upper()}")).status_code == 200
        assert (await api.send("GET", f"/{uuid4()}")).status_code == 404
