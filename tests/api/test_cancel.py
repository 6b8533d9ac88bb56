"""Cancelling a backfill: back to what was before, by one more change."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from service.adapters.postgres import tables
from service.api.schemas import Answer, SegmentData
from tests.api.people import People, ids
from tests.api.support import BIG, NOW, Api

#: Everybody with an order.
BUYERS = {"total_orders": {"operator": "gte", "value": 1}}
CUSTOMERS = [f"C-{number}" for number in range(6)]


@pytest.fixture
async def people(api: Api, monkeypatch: pytest.MonkeyPatch) -> People:
    """Six buyers of whom three are big spenders; a slice of a backfill takes three of them."""
    monkeypatch.setattr("service.app.backfill.CUSTOMERS_MAX", 3)
    made = People(api)
    for number, customer in enumerate(CUSTOMERS):
        await made.order(customer, 600 if number % 2 else 10)
    return made


async def put(api: Api, segment: dict[str, Any], query: str = "", **body: Any) -> dict[str, Any]:
    """A change."""
    response = await api.send("PUT", f"/{segment['id']}{query}", json=body)
    assert response.status_code == 200, response.text
    return response.json()["data"]


async def cancel(api: Api, segment: dict[str, Any], query: str = "") -> dict[str, Any]:
    """The segment after its backfill has been cancelled."""
    response = await api.send("POST", f"/{segment['id']}/backfill/cancel{query}")
    assert response.status_code == 200, response.text
    Answer[SegmentData].model_validate(response.json())
    return response.json()["data"]


async def slice_of(people: People) -> None:
    """The first slice of the running backfill."""
    await people.service.backfill(NOW, slices=1)


def net(changes: list[tuple[str, str, str]]) -> set[str]:
    """Who is a member to one who reads what is published; joined and left must alternate."""
    found: set[str] = set()
    for customer, change, _ in changes:
        assert (customer in found) is (change == "left"), changes
        (found.add if change == "joined" else found.discard)(customer)
    return found


class TestCancel:
    """POST /:id/backfill/cancel."""

    async def test_of_an_edit(self, api: Api, people: People) -> None:
        """The criteria from before come back as a new version; who had switched already switches back."""
        segment = await api.create()
        await people.backfill()
        before = await people.members(segment["id"])
        await put(api, segment, criteria=BUYERS)
        await slice_of(people)
        half_way = await people.members(segment["id"])
        back = await cancel(api, segment)
        await people.backfill()
        shown = (await api.send("GET", f"/{segment['id']}")).json()["data"]

        assert before == ["C-1", "C-3", "C-5"]
        assert len(half_way) > 3
        assert (back["criteria"], back["status"], back["version"]) == (BIG, "active", 3)
        assert back["backfill"] == {"state": "running", "progress": 0.0}
        assert await people.members(segment["id"]) == before
        assert net(await people.changes("Big spenders")) == set(before)
        assert shown["backfill"] == {"state": "done", "progress": 1.0}
        versions = await api.rows(select(tables.segment_versions.c.version, tables.segment_versions.c.criteria))
        assert [one for one in versions if one[0] == 3] == [(3, BIG)]

    async def test_of_a_creation(self, api: Api, people: People) -> None:
        """A new segment becomes a draft, and whom it had taken already leaves; the version stays."""
        segment = await api.create(criteria=BUYERS)
        await slice_of(people)
        half_way = await people.members(segment["id"])
        back = await cancel(api, segment)
        await people.backfill()

        assert len(half_way) == 3
        assert (back["status"], back["version"], back["criteria"]) == ("draft", 1, BUYERS)
        assert await people.members(segment["id"]) == []
        assert net(await people.changes("Big spenders")) == set()
        assert not (await api.row(segment["id"])).is_kept

    async def test_of_a_change_of_status(self, api: Api, people: People) -> None:
        """An archived segment is active again; a segment that was activated is a draft again."""
        segment = await api.create()
        await people.backfill()
        await put(api, segment, status="archived")
        await slice_of(people)
        assert (await cancel(api, segment))["status"] == "active"
        await people.backfill()
        assert await people.members(segment["id"]) == ["C-1", "C-3", "C-5"]
        draft = await api.create(segment_name="Draft", status="draft")
        await put(api, draft, status="active")

        assert (await cancel(api, draft))["status"] == "draft"

    async def test_of_several_edits(self, api: Api, people: People) -> None:
        """Of edits on edits the latest is undone, and cancelling the cancellation brings it back."""
        segment = await api.create()
        await people.backfill()
        await put(api, segment, criteria={})
        await put(api, segment, criteria=BUYERS)

        assert (await cancel(api, segment))["criteria"] == {}
        assert (await cancel(api, segment))["criteria"] == BUYERS
        await people.backfill()
        assert await people.members(segment["id"]) == CUSTOMERS

    async def test_a_new_name_stays(self, api: Api, people: People) -> None:
        """What else has changed meanwhile is kept."""
        segment = await api.create()
        await people.backfill()
        await put(api, segment, criteria=BUYERS)
        await put(api, segment, segment_name="Other", segment_type="behavioral")
        back = await cancel(api, segment)

        assert (back["segment_name"], back["segment_type"], back["criteria"]) == ("Other", "behavioral", BIG)

    async def test_pins_stay(self, api: Api, people: People) -> None:
        """Pins hold before, during and after."""
        segment = await api.create()
        await people.backfill()
        await put(api, segment, criteria=BUYERS)
        await slice_of(people)
        await api.send("POST", f"/{segment['id']}/customers", json=ids("C-0"))
        await api.send("DELETE", f"/{segment['id']}/customers", json=ids("C-1"))
        await cancel(api, segment)
        await people.backfill()

        assert await people.members(segment["id"]) == ["C-0", "C-3", "C-5"]
        assert net(await people.changes("Big spenders")) == {"C-0", "C-3", "C-5"}

    @pytest.mark.parametrize(
        ("edit", "query", "is_silent"),
        [
            ("?emit=none", "", True),
            ("?emit=all", "", False),
            ("?emit=none", "?emit=all", False),
            ("?emit=all", "?emit=none", True),
        ],
    )
    async def test_emit(self, api: Api, people: People, edit: str, query: str, is_silent: bool) -> None:
        """Unless asked otherwise the way back is as silent as the change: who joined in silence leaves in silence."""
        segment = await api.create()
        await people.backfill()
        await put(api, segment, edit, criteria=BUYERS)
        await cancel(api, segment, query)

        assert (await api.row(segment["id"])).is_silent is is_silent

    async def test_nothing_runs(self, api: Api, people: People) -> None:
        """Without a running backfill there is nothing to cancel: 409, and nothing changes."""
        segment = await api.create()
        await people.backfill()
        ended = await api.send("POST", f"/{segment['id']}/backfill/cancel")
        draft = await api.create(status="draft")
        never = await api.send("POST", f"/{draft['id']}/backfill/cancel")

        assert (ended.status_code, never.status_code) == (409, 409)
        assert "nothing to cancel" in ended.json()["message"]
        assert (await api.row(segment["id"])).revision == 1

    async def test_nobody_there(self, api: Api) -> None:
        """A segment that was complete at once has nothing to cancel."""
        segment = await api.create()

        assert (await api.send("POST", f"/{segment['id']}/backfill/cancel")).status_code == 409

    async def test_the_way_back_is_barred(self, api: Api, people: People) -> None:
        """Criteria that name what is gone, or would make a circle by now, cannot come back: 409, nothing changes."""
        base = await api.create(segment_name="Base")
        segment = await api.create(segment_name="Asks", criteria={"member_of": base["id"]})
        await people.backfill()
        await put(api, segment, criteria=BUYERS)
        await put(api, base, criteria={"member_of": segment["id"]})
        circle = await api.send("POST", f"/{segment['id']}/backfill/cancel")
        await api.send("DELETE", f"/{base['id']}")
        gone = await api.send("POST", f"/{segment['id']}/backfill/cancel")

        assert (circle.status_code, gone.status_code) == (409, 409)
        assert '"Asks" -> "Base" -> "Asks"' in circle.json()["message"]
        assert base["id"] in gone.json()["message"]
        assert (await api.row(segment["id"])).criteria == BUYERS

    @pytest.mark.parametrize("query", ["?emit=some", "?now=1"])
    async def test_refused(self, api: Api, people: People, query: str) -> None:
        """Parameters that cannot be used are a 422."""
        segment = await api.create()

        assert (await api.send("POST", f"/{segment['id']}/backfill/cancel{query}")).status_code == 422
        assert (await api.row(segment["id"])).backfill_state == "running"

    async def test_lists_show_progress(self, api: Api, people: People) -> None:
        """A running backfill is visible in the list of segments."""
        await api.create()
        await api.run("UPDATE customer_segments SET backfill_done = 3")
        (listed,) = (await api.send("GET")).json()["data"]["segments"]

        assert listed["backfill"] == {"state": "running", "progress": 0.5}
