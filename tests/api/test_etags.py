"""ETag and If-Match."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.api.people import People, ids
from tests.api.support import BIG, Api, add_many


class TestRevision:
    """What the ETag counts."""

    async def test_every_change_of_the_segment(self, api: Api) -> None:
        """The ETag rises with every change, of the name as well, is the same on every route, and stays without one."""
        segment = (await api.send("POST", json={"segment_name": "x", "criteria": BIG})).json()["data"]
        path = f"/{segment['id']}"
        changes: list[dict[str, Any]] = [
            {"segment_name": "y"},
            {"description": "d"},
            {"segment_type": "behavioral"},
            {"criteria": {}},
            {"status": "archived"},
        ]
        found = [(await api.send("GET", path)).headers["etag"]]
        for body in changes:
            changed = await api.send("PUT", path, json=body)
            again = await api.send("PUT", path, json=body)
            read = await api.send("GET", path)
            assert changed.headers["etag"] == again.headers["etag"] == read.headers["etag"]
            found.append(read.headers["etag"])

        assert found == ['"1"', '"2"', '"3"', '"4"', '"5"', '"6"']

    async def test_created(self, api: Api) -> None:
        """The answer to POST carries the first ETag."""
        response = await api.send("POST", json={"segment_name": "x", "criteria": BIG})

        assert response.headers["etag"] == '"1"'

    async def test_not_with_progress(self, api: Api) -> None:
        """Members who come and go, pins and a backfill are no change of the segment."""
        people = People(api)
        await people.order("C-1", 600)
        segment = await api.create()
        await people.backfill()
        await people.order("C-2", 600)
        await api.send("DELETE", f"/{segment['id']}/customers", json=ids("C-1"))

        assert (await api.send("GET", f"/{segment['id']}")).headers["etag"] == '"1"'

    async def test_cancel(self, api: Api) -> None:
        """Cancelling a backfill is a change, and honours If-Match like every other."""
        people = People(api)
        await people.order("C-1", 600)
        segment = await api.create()
        path = f"/{segment['id']}/backfill/cancel"
        stale = await api.send("POST", path, headers={"if-match": '"7"'})
        done = await api.send("POST", path, headers={"if-match": '"1"'})

        assert (stale.status_code, done.status_code, done.headers["etag"]) == (412, 200, '"2"')


class TestIfMatch:
    """Changes that hold only for the segment as the caller knows it."""

    @pytest.mark.parametrize(
        ("header", "status"),
        [
            ('"1"', 200),
            ("*", 200),
            (' "1" ', 200),
            ('"0", "1"', 200),
            ('"a,b" ,"1"', 200),
            (', "1",', 200),
            ('"2"', 412),
            ('"01"', 412),
            ('"x"', 412),
            ('""', 412),
            ('W/"1"', 412),
            ('W/"1", "2"', 412),
            ("1", 400),
            ("", 400),
            ('"1', 400),
            ('"1" "2"', 400),
            ("'1'", 400),
            ('*, "1"', 400),
            ('w/"1"', 400),
            (",", 400),
        ],
    )
    @pytest.mark.parametrize("method", ["PUT", "DELETE"])
    async def test_forms(self, api: Api, method: str, header: str, status: int) -> None:
        """One of the tags must be the present one; what is no tag is a 400, and changes nothing."""
        segment = await api.create()
        options = {"json": {"segment_name": "new"}} if method == "PUT" else {}
        response = await api.send(method, f"/{segment['id']}", headers={"if-match": header}, **options)

        assert response.status_code == status, response.text
        row = await api.row(segment["id"])
        assert (row.segment_name == "new" or row.is_deleted) is (status == 200)
        if status == 412:
            assert response.headers["etag"] == '"1"'
            assert '"1"' in response.json()["message"]
        if status == 400:
            assert "If-Match" in response.json()["message"]

    async def test_no_change_is_judged_too(self, api: Api) -> None:
        """A stale caller is told so even where the change would change nothing."""
        segment = await api.create()
        body = {"segment_name": segment["segment_name"]}
        response = await api.send("PUT", f"/{segment['id']}", json=body, headers={"if-match": '"9"'})

        assert response.status_code == 412

    async def test_at_once(self, api: Api) -> None:
        """Of two changes at once on the same picture exactly one is made; the other is a 412 and leaves no trace."""
        await add_many(api.database, "00000000-0000-0000-0000-000000000001", 3)
        segment = await api.create()
        for round_number in range(1, 6):
            headers = {"if-match": f'"{round_number}"'}
            bodies = [
                {"criteria": {"total_orders": {"operator": "gte", "value": 10 * round_number + n}}} for n in (1, 2)
            ]
            found = await asyncio.gather(
                *(api.send("PUT", f"/{segment['id']}", json=body, headers=headers) for body in bodies)
            )
            assert sorted(one.status_code for one in found) == [200, 412]
            (winner,) = [one for one in found if one.status_code == 200]
            shown = (await api.send("GET", f"/{segment['id']}")).json()["data"]
            assert shown["criteria"] == winner.json()["data"]["criteria"]
            assert shown["version"] == round_number + 1

    async def test_change_and_deletion_at_once(self, api: Api) -> None:
        """A deletion on a stale picture does not happen."""
        segment = await api.create()
        headers = {"if-match": '"1"'}
        changed, deleted = await asyncio.gather(
            api.send("PUT", f"/{segment['id']}", json={"segment_name": "new"}, headers=headers),
            api.send("DELETE", f"/{segment['id']}", headers=headers),
        )

        assert (changed.status_code, deleted.status_code) in ((200, 412), (404, 200))
