"""A change tried without making it."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from service.core import instants
from tests.api.people import People, ids, uuid_of
from tests.api.questions.support import BUYERS, dry_run
from tests.api.support import BIG, NOW, Api


class TestDryRun:
    """PUT /{segment}?dry_run=true."""

    async def test_as_the_change_itself(self, api: Api, people: People) -> None:
        """Who would join and leave are those who do when the change is made; nothing happens before it."""
        segment = await api.create(criteria=BIG)
        await people.backfill()
        found = await dry_run(api, segment, criteria={"not": BIG})

        assert found == {
            "would_join": {"count": 2, "sample": sorted(["bob", "cleo"], key=lambda one: str(uuid_of(one)))},
            "would_leave": {"count": 1, "sample": ["ann"]},
            "members_now": 1,
            "members_then": 2,
            "as_of": instants.to_text(NOW),
        }
        assert await people.members(segment["id"]) == ["ann"]
        await api.send("PUT", f"/{segment['id']}", json={"criteria": {"not": BIG}})
        await people.backfill()
        assert await people.members(segment["id"]) == ["bob", "cleo"]

    async def test_pins(self, api: Api, people: People) -> None:
        """Who is pinned in or out stays so, whatever the criteria say."""
        segment = await api.create(criteria=BIG)
        await people.backfill()
        await api.send("POST", f"/{segment['id']}/customers", json=ids("bob"))
        await api.send("DELETE", f"/{segment['id']}/customers", json=ids("cleo"))
        found = await dry_run(api, segment, criteria={"not": BUYERS})

        assert (found["members_now"], found["members_then"]) == (2, 1)
        assert found["would_join"] == {"count": 0, "sample": []}
        assert found["would_leave"] == {"count": 1, "sample": ["ann"]}

    @pytest.mark.parametrize("status", ["archived", "draft"])
    async def test_status(self, api: Api, people: People, status: str) -> None:
        """A segment that goes loses everybody, pins included; one that comes gains whom its criteria hold for."""
        segment = await api.create(criteria=BIG)
        await people.backfill()
        await api.send("POST", f"/{segment['id']}/customers", json=ids("bob"))
        going = await dry_run(api, segment, status=status)
        assert (going["would_leave"]["count"], going["members_then"]) == (2, 0)

        await api.send("PUT", f"/{segment['id']}", json={"status": status})
        await people.backfill()
        coming = await dry_run(api, segment, status="active", criteria=BUYERS)
        assert (coming["members_now"], coming["members_then"]) == (0, 2)
        assert sorted(coming["would_join"]["sample"]) == ["ann", "bob"]
        kept = await dry_run(api, segment, criteria={})
        assert (kept["members_now"], kept["members_then"]) == (0, 0)

    async def test_static(self, api: Api, people: People) -> None:
        """The members of a list are its pins, those of ids that nobody has heard of included."""
        segment = await api.create(segment_type="static", criteria={}, customer_ids=["ann", "a stranger"])
        going = await dry_run(api, segment, status="archived")
        assert (going["members_now"], going["members_then"]) == (2, 0)
        assert sorted(going["would_leave"]["sample"]) == ["a stranger", "ann"]

        await api.send("PUT", f"/{segment['id']}", json={"status": "draft"})
        await people.backfill()
        coming = await dry_run(api, segment, status="active")
        assert sorted(coming["would_join"]["sample"]) == ["a stranger", "ann"]

    async def test_no_new_definition(self, api: Api, people: People) -> None:
        """A new name, or the same criteria again, moves nobody, as when it is done in earnest."""
        segment = await api.create(criteria=BUYERS)
        for change in ({"segment_name": "Other"}, {"criteria": BUYERS}, {"status": "active"}):
            found = await dry_run(api, segment, **change)

            assert found["would_join"]["count"] == found["would_leave"]["count"] == 0
            assert found["members_then"] == found["members_now"]

    async def test_many(self, api: Api, people: People) -> None:
        """Ten at most are named on each side, the first by id."""
        for number in range(15):
            await people.event("customer.logged_in", f"c{number}")
        segment = await api.create(status="draft", criteria={"not": BUYERS})
        found = await dry_run(api, segment, status="active")

        everybody = sorted([f"c{number}" for number in range(15)] + ["cleo"], key=lambda one: str(uuid_of(one)))
        assert found["would_join"] == {"count": 16, "sample": everybody[:10]}

    async def test_revision(self, api: Api, people: People) -> None:
        """The answer names the revision that it speaks of, and If-Match holds as for the change."""
        segment = await api.create()
        path = f"/{segment['id']}?dry_run=true"
        first = await api.send("PUT", path, json={"criteria": BUYERS})
        tag = {"if-match": first.headers["etag"]}
        assert (await api.send("PUT", path, json={"criteria": BUYERS}, headers=tag)).status_code == 200
        assert (await api.send("PUT", path, json={"criteria": BUYERS}, headers={"if-match": '"9"'})).status_code == 412
        assert (await api.send("PUT", f"/{segment['id']}", json={"criteria": BUYERS}, headers=tag)).status_code == 200

    async def test_refused(self, api: Api) -> None:
        """Faults are those of the change itself."""
        segment = await api.create()
        listed = await api.create(segment_type="static", criteria={})
        circle = {"member_of": segment["id"]}
        cases: list[tuple[str, Any, int, list[str]]] = [
            (segment["id"], {"criteria": {"no": 1}}, 422, ["criteria.no"]),
            (segment["id"], {"criteria": {"member_of": str(uuid4())}}, 422, ["criteria.member_of"]),
            (segment["id"], {"criteria": circle}, 422, ["criteria.member_of"]),
            (segment["id"], {"segment_type": "static"}, 422, ["segment_type"]),
            (listed["id"], {"criteria": BIG}, 422, ["criteria"]),
            (segment["id"], {}, 422, []),
            (str(uuid4()), {"status": "draft"}, 404, []),
        ]
        for segment_id, body, status, paths in cases:
            answers = [await api.send("PUT", f"/{segment_id}{query}", json=body) for query in ("?dry_run=true", "")]

            assert [one.status_code for one in answers] == [status, status], body
            assert [[fault["path"] for fault in one.json()["errors"]] for one in answers] == [paths, paths]
