"""Static segments: members are listed, there are no criteria."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from service.api.schemas import Answer, SegmentData
from tests.api.people import People, ids, uuid_of
from tests.api.support import BIG, NOW, Api

GUESTS: dict[str, Any] = {"segment_name": "Guests", "segment_type": "static"}


async def static(api: Api, **body: Any) -> dict[str, Any]:
    """A new static segment."""
    response = await api.send("POST", json={**GUESTS, **body})
    assert response.status_code == 201, response.text
    Answer[SegmentData].model_validate(response.json())
    return response.json()["data"]


class TestCreate:
    """POST / with segment_type static."""

    async def test_members_are_those_listed(self, api: Api, people: People) -> None:
        """Known and unknown customers become members at once and are published with reason manual, each once."""
        await people.order("C-1", 10)
        segment = await static(api, customer_ids=["C-1", "C-2", "C-1", "00000000-0000-0000-0000-00000000000A"])

        assert segment["pins"]["added"] == 3
        assert (segment["criteria"], segment["version"]) == ({}, 1)
        assert segment["backfill"] == {"state": "done", "progress": 1.0}
        assert await people.members(segment["id"]) == ["00000000-0000-0000-0000-00000000000A", "C-1", "C-2"]
        assert sorted(await people.changes("Guests")) == [
            ("00000000-0000-0000-0000-00000000000A", "joined", "manual"),
            ("C-1", "joined", "manual"),
            ("C-2", "joined", "manual"),
        ]
        assert {one.at for one in await people.published()} == {NOW}

    async def test_uuid_and_external_id_are_one_customer(self, api: Api, people: People) -> None:
        """Who is known keeps the id as the events gave it, however the list names them."""
        await people.order("C-1", 10)
        segment = await static(api, customer_ids=[str(uuid_of("C-1")).upper(), "C-1"])

        assert segment["pins"]["added"] == 1
        assert await people.members(segment["id"]) == ["C-1"]

    @pytest.mark.parametrize("body", [{}, {"criteria": None}, {"criteria": {}}, {"customer_ids": []}])
    async def test_without_members(self, api: Api, people: People, body: dict[str, Any]) -> None:
        """A list may begin empty; null and {} are no criteria. Nobody has to be backfilled."""
        await people.order("C-1", 10)
        segment = await static(api, **body)

        assert segment["criteria"] == {}
        assert segment["backfill"]["state"] == "done"
        assert await people.members(segment["id"]) == []

    @pytest.mark.parametrize(
        ("body", "path"),
        [
            ({"criteria": BIG}, "criteria"),
            ({"criteria": []}, "criteria"),
            ({"criteria": False}, "criteria"),
            ({"customer_ids": ["C-1", ""]}, "customer_ids[1]"),
            ({"customer_ids": "C-1"}, "customer_ids"),
            ({"customer_ids": {}}, "customer_ids"),
        ],
    )
    async def test_refused(self, api: Api, body: dict[str, Any], path: str) -> None:
        """Criteria and ids that cannot be one are a 422 that names the place, and store nothing."""
        response = await api.send("POST", json={**GUESTS, **body})

        assert response.status_code == 422, response.text
        assert [fault["path"] for fault in response.json()["errors"]] == [path]
        assert (await api.catalogue())[0] == 0

    async def test_lists_are_for_static_segments(self, api: Api) -> None:
        """A segment with criteria takes no list at its birth, and the sentence says what to do instead."""
        response = await api.send("POST", json={"segment_name": "x", "criteria": BIG, "customer_ids": ["C-1"]})

        assert response.status_code == 422
        assert response.json()["errors"][0]["path"] == "customer_ids"
        assert "POST /{segment}/customers" in response.json()["message"]

    async def test_the_list_is_filled_or_the_answer_says_not(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where customers cannot be added the answer names the segment that is there, so that none is made twice."""

        async def away(*_: object) -> None:
            raise ConnectionError

        monkeypatch.setattr("service.api.segments.change_by_hand", away)
        response = await api.send("POST", json={**GUESTS, "customer_ids": ["C-1"]})

        (listed,) = (await api.send("GET")).json()["data"]["segments"]
        assert response.status_code == 503
        assert listed["id"] in response.json()["message"]


class TestUpdate:
    """PUT of a static segment."""

    @pytest.mark.parametrize("body", [{"criteria": BIG}, {"segment_type": "dynamic"}, {"segment_type": "behavioral"}])
    async def test_a_list_stays_a_list(self, api: Api, body: dict[str, Any]) -> None:
        """A static segment takes no criteria and no other type."""
        segment = await static(api)
        response = await api.send("PUT", f"/{segment['id']}", json=body)

        assert response.status_code == 422
        assert [fault["path"] for fault in response.json()["errors"]] == list(body)

    async def test_as_it_was_read(self, api: Api) -> None:
        """What GET answered may be sent back: it changes nothing."""
        segment = await static(api, customer_ids=["C-1"])
        body = {name: segment[name] for name in ("segment_name", "description", "segment_type", "status", "criteria")}
        response = await api.send("PUT", f"/{segment['id']}", json=body)

        assert response.status_code == 200
        assert response.json()["data"]["version"] == 1
        assert response.json()["data"]["updated_at"] == segment["updated_at"]

    @pytest.mark.parametrize(("before", "after"), [("dynamic", "behavioral"), ("behavioral", "dynamic")])
    async def test_labels_switch(self, api: Api, before: str, after: str) -> None:
        """dynamic and behavioral are labels: switching is no new version and no new definition."""
        segment = await api.create(segment_type=before)
        same = (await api.send("PUT", f"/{segment['id']}", json={"segment_type": before})).json()["data"]
        other = (await api.send("PUT", f"/{segment['id']}", json={"segment_type": after})).json()["data"]

        assert same == segment
        assert (other["segment_type"], other["version"]) == (after, 1)
        assert (await api.row(segment["id"])).introduced == 1

    async def test_criteria_do_not_become_a_list(self, api: Api) -> None:
        """A dynamic segment cannot become static."""
        segment = await api.create()
        response = await api.send("PUT", f"/{segment['id']}", json={"segment_type": "static"})

        assert response.status_code == 422
        assert response.json()["errors"][0]["path"] == "segment_type"


class TestStatus:
    """Drafts and archived lists."""

    async def test_draft(self, api: Api, people: People) -> None:
        """A draft keeps its list without members and events; activated, its backfill lets them in."""
        await people.order("C-1", 10)
        segment = await static(api, status="draft", customer_ids=["C-1", "C-2"])
        before = (await people.members(segment["id"]), await people.changes("Guests"))
        pinned = await people.pinned(segment["id"])
        await api.send("PUT", f"/{segment['id']}", json={"status": "active"})
        await people.backfill()

        assert before == ([], [])
        assert pinned == {"C-1": "included", "C-2": "included"}
        assert await people.members(segment["id"]) == ["C-1", "C-2"]
        assert sorted(await people.changes("Guests")) == [
            ("C-1", "joined", "definition"),
            ("C-2", "joined", "definition"),
        ]

    async def test_archived(self, api: Api, people: People) -> None:
        """Archiving lets all members leave; the list stays and may change, and counts again when activated."""
        segment = await static(api, customer_ids=["C-1", "C-2"])
        path = f"/{segment['id']}"
        await api.send("PUT", path, json={"status": "archived"})
        await people.backfill()
        archived = await people.members(segment["id"])
        added = (await api.send("POST", f"{path}/customers", json=ids("C-3"))).json()["data"]["added"]
        removed = (await api.send("DELETE", f"{path}/customers", json=ids("C-1"))).json()["data"]["removed"]
        still = await people.members(segment["id"])
        await api.send("PUT", path, json={"status": "active"})
        await people.backfill()

        assert (archived, still, added, removed) == ([], [], 1, 1)
        assert await people.members(segment["id"]) == ["C-2", "C-3"]
        assert sorted((await people.changes("Guests"))[2:]) == [
            ("C-1", "left", "definition"),
            ("C-2", "joined", "definition"),
            ("C-2", "left", "definition"),
            ("C-3", "joined", "definition"),
        ]

    async def test_deleted(self, api: Api, people: People) -> None:
        """Deleting a list lets its members leave."""
        segment = await static(api, customer_ids=["C-1"])
        await api.send("DELETE", f"/{segment['id']}")
        await people.backfill()

        assert await people.changes("Guests") == [("C-1", "joined", "manual"), ("C-1", "left", "definition")]

    async def test_who_came_by_a_list_alone(self, api: Api, people: People) -> None:
        """A customer without events is in the list and in no segment with criteria until the first event."""
        everybody = await api.create(segment_name="Everybody", criteria={})
        segment = await static(api, customer_ids=["C-1"])
        before = await people.members(everybody["id"])
        await people.order("C-1", 10)

        assert before == []
        assert await people.members(everybody["id"]) == ["C-1"]
        assert await people.members(segment["id"]) == ["C-1"]
        shown = (await api.send("GET", f"/{segment['id']}/customers")).json()["data"]["customers"][0]
        assert UUID(shown["id"])
        assert (shown["total_orders"], shown["membership_source"]) == (1, "manual")
