"""Segments whose criteria name other segments."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from tests.api.people import People
from tests.api.support import BIG, Api


def of(segment: dict[str, Any]) -> dict[str, Any]:
    """Criteria that ask for this segment's members."""
    return {"member_of": segment["id"]}


async def put(api: Api, segment: dict[str, Any], **body: Any) -> tuple[int, dict[str, Any]]:
    """Status and answer of a change."""
    response = await api.send("PUT", f"/{segment['id']}", json=body)
    return response.status_code, response.json()


class TestThere:
    """What is named must be there."""

    async def test_any_type_and_status(self, api: Api) -> None:
        """Segments of every type may be named, and drafts, which have no members yet."""
        named = [
            await api.create(),
            await api.create(segment_type="behavioral", status="draft"),
            await api.create(segment_type="static", criteria={}),
        ]
        for one in named:
            made = await api.create(criteria={"all": [of(one), {"not_member_of": one["id"].upper()}]})
            assert made["version"] == 1

    @pytest.mark.parametrize("is_deleted", [True, False])
    async def test_unknown(self, api: Api, is_deleted: bool) -> None:
        """An id that names no segment, or a deleted one, is a 422 with the path of the condition."""
        gone = str(uuid4())
        if is_deleted:
            gone = (await api.create())["id"]
            await api.send("DELETE", f"/{gone}")
        there = await api.create(segment_name="There")
        criteria = {**BIG, "all": [of(there), {"not": {"any": [{}, {"not_member_of": gone}]}}], "member_of": gone}
        made = await api.send("POST", json={"segment_name": "x", "criteria": criteria})
        status, changed = await put(api, there, criteria=criteria)

        paths = ["criteria.all[1].not.any[1].not_member_of", "criteria.member_of"]
        assert made.status_code == 422
        assert [fault["path"] for fault in made.json()["errors"]] == paths
        assert {fault["code"] for fault in made.json()["errors"]} == {"unknown_segment"}
        assert gone in made.json()["message"]
        assert status == 422
        assert [fault["path"] for fault in changed["errors"]] == ["criteria.all[0].member_of", *paths]


class TestCycles:
    """No segment may depend on itself."""

    async def test_itself(self, api: Api) -> None:
        """A segment cannot ask for its own members."""
        segment = await api.create(segment_name="A")
        status, answer = await put(api, segment, criteria=of(segment))

        assert status == 422
        assert answer["errors"][0]["path"] == "criteria.member_of"
        assert '"A" -> "A"' in answer["message"]

    async def test_long_way(self, api: Api) -> None:
        """A circle over several segments, drafts among them, is refused with their names in order."""
        first = await api.create(segment_name="A")
        second = await api.create(segment_name="B", criteria={"any": [{"not_member_of": first["id"]}]})
        third = await api.create(segment_name="C", status="draft", criteria={**of(second), **BIG})
        status, answer = await put(api, first, criteria={"not": of(third)})

        assert status == 422
        assert answer["errors"][0]["path"] == "criteria.not.member_of"
        assert answer["errors"][0]["code"] == "cycle"
        assert '"A" -> "C" -> "B" -> "A"' in answer["message"]
        assert (await api.row(first["id"])).version == 1

    async def test_both_ways_to_one(self, api: Api) -> None:
        """Two ways to the same segment are no circle, and a segment may drop a reference and be named in turn."""
        base = await api.create(segment_name="Base")
        left = await api.create(segment_name="Left", criteria=of(base))
        right = await api.create(segment_name="Right", criteria=of(base))
        both = await api.create(segment_name="Both", criteria={"all": [of(left), of(right)]})
        assert (await put(api, left, criteria=BIG))[0] == 200
        assert (await put(api, base, criteria=of(left)))[0] == 200
        assert (await put(api, left, criteria=of(both)))[0] == 422

    async def test_at_once(self, api: Api) -> None:
        """Of two changes at once that would make a circle together, one is refused."""
        for _ in range(5):
            first, second = await api.create(segment_name="A"), await api.create(segment_name="B")
            found = await asyncio.gather(put(api, first, criteria=of(second)), put(api, second, criteria=of(first)))
            assert sorted(status for status, _ in found) == [200, 422]


class TestDelete:
    """What is named cannot go."""

    @pytest.mark.parametrize("status", ["active", "draft", "archived"])
    async def test_named(self, api: Api, status: str) -> None:
        """Deleting a segment that others name is a 409 with their names, whatever their status."""
        base = await api.create(segment_name="Base")
        other = await api.create(segment_name="Other", criteria={"not": {"all": [of(base)]}})
        await put(api, other, status=status)
        refused = await api.send("DELETE", f"/{base['id']}")
        await api.send("DELETE", f"/{other['id']}")
        allowed = await api.send("DELETE", f"/{base['id']}")

        assert refused.status_code == 409
        assert '"Other"' in refused.json()["message"]
        assert allowed.status_code == 200

    async def test_a_name_in_a_text(self, api: Api) -> None:
        """Only a condition names a segment; the same id as a text does not."""
        base = await api.create(segment_name="Base")
        await api.create(criteria={"traits": {"member_of": {"operator": "eq", "value": base["id"]}}})

        assert (await api.send("DELETE", f"/{base['id']}")).status_code == 200

    async def test_many(self, api: Api) -> None:
        """A long list of names is cut."""
        base = await api.create(segment_name="Base")
        for number in range(12):
            await api.create(segment_name=f"S{number}", criteria=of(base))
        message = (await api.send("DELETE", f"/{base['id']}")).json()["message"]

        assert '"S9" and 2 more' in message

    async def test_archive(self, api: Api) -> None:
        """A segment that is named may be archived; who asks for its members finds none."""
        people = People(api)
        await people.order("rich", 600)
        base = await api.create(segment_name="Base")
        other = await api.create(segment_name="Other", criteria=of(base))
        await people.backfill()
        before = await people.members(other["id"])
        await put(api, base, status="archived")
        await people.backfill()

        assert before == ["rich"]
        assert await people.members(other["id"]) == []
        assert (await people.changes("Other"))[-1] == ("rich", "left", "definition")
