"""Customers added to segments with criteria and removed from them by hand."""

from __future__ import annotations

from sqlalchemy import select

from service.adapters.postgres import tables
from service.app.tokens import Permission
from tests.api.people import People, ids
from tests.api.pins.support import Segment, done
from tests.api.support import Api, bearer, token


class TestDynamic:
    """Pins on a segment with criteria."""

    async def test_included(self, people: People, big: Segment) -> None:
        """Who is added is a member with reason manual and stays it, whatever comes, until the pin is removed."""
        assert await big.add("poor") == {"added": 1}
        assert await people.members(big.id) == ["poor", "rich"]
        await people.order("poor", 10)
        order_id = await people.order("poor", 600)
        await people.event("order.cancelled", "poor", order_id=order_id)
        assert await people.members(big.id) == ["poor", "rich"]

        assert await big.unpin("poor") == {"removed": 1}
        assert await people.members(big.id) == ["rich"]
        assert (await people.changes("Big spenders"))[1:] == [("poor", "joined", "manual"), ("poor", "left", "manual")]

    async def test_excluded(self, people: People, big: Segment) -> None:
        """Who is removed leaves and stays out, whatever comes, until the pin is removed."""
        assert await big.remove("rich", "poor") == {"removed": 2}
        await people.order("poor", 600)
        await people.order("rich", 600)
        assert await people.members(big.id) == []
        assert await people.pinned(big.id) == {"rich": "excluded", "poor": "excluded"}

        assert await big.unpin() == {"removed": 2}
        assert await people.members(big.id) == ["poor", "rich"]
        assert sorted((await people.changes("Big spenders"))[1:]) == [
            ("poor", "joined", "manual"),
            ("rich", "joined", "manual"),
            ("rich", "left", "manual"),
        ]

    async def test_a_pin_that_changes_no_membership(self, people: People, big: Segment) -> None:
        """Adding a member publishes nothing, and holds when the criteria do not any more."""
        await big.add("rich")
        await people.event("order.cancelled", "rich", order_id="o-1")

        assert await people.members(big.id) == ["rich"]
        assert await people.changes("Big spenders") == [("rich", "joined", "event")]

    async def test_the_other_pin(self, people: People, big: Segment) -> None:
        """Adding who is excluded, or removing who is included, turns the pin."""
        await big.add("poor")
        assert await big.remove("poor") == {"removed": 1}
        assert await people.pinned(big.id) == {"poor": "excluded"}
        assert await big.add("poor") == {"added": 1}
        assert await people.pinned(big.id) == {"poor": "included"}
        assert await people.members(big.id) == ["poor", "rich"]

    async def test_again(self, people: People, big: Segment) -> None:
        """The same again changes nothing, and keeps who did it first."""
        await big.add("poor")
        headers = bearer(token(*Permission, sub="u-2", name="Other"))
        again = await big.api.send("POST", f"/{big.id}/customers", json=ids("poor", "poor"), headers=headers)
        removed = await big.unpin("rich")

        assert await done(again) == {"unchanged": 1}
        assert removed == {"unchanged": 1}
        assert len(await people.changes("Big spenders")) == 2
        (pin,) = (await big.api.send("GET", f"/{big.id}/pins")).json()["data"]["pins"]
        assert pin["created_by"] == "u-1"

    async def test_unknown(self, people: People, big: Segment) -> None:
        """Only who exists can belong: ids unknown so far are counted, the first ten listed, and nothing is stored."""
        strangers = [f"S-{number}" for number in range(12)]
        for change in (big.add, big.remove, big.unpin):
            found = await change("poor", *strangers)
            assert found["unknown"] == 12
            assert found["unknown_ids"] == strangers[:10]
        await people.order("S-1", 10)

        assert await people.members(big.id) == ["rich"]
        assert await people.pinned(big.id) == {}

    async def test_erased(self, api: Api, people: People, big: Segment) -> None:
        """Erased ids are counted and never pinned, on no kind of segment; erasure ends the pins there were."""
        await big.add("poor")
        await people.event("customer.deleted", "poor")
        listed = Segment(api, await api.create(segment_type="static", criteria={}))

        assert await people.pinned(big.id) == {}
        for segment in (big, listed):
            for change in (segment.add, segment.remove, segment.unpin):
                assert await change("poor") == {"erased": 1}
        assert await people.members(listed.id) == []
        assert await api.rows(select(tables.pins)) == []

    async def test_dependants_follow(self, api: Api, people: People, big: Segment) -> None:
        """A segment that asks for members changes in the same step."""
        await api.create(segment_name="Others", criteria={"not_member_of": big.id})
        await people.backfill()
        before = await people.changes("Others")
        await big.add("poor")

        assert before == [("poor", "joined", "definition")]
        assert await people.changes("Others") == [*before, ("poor", "left", "manual")]

    async def test_draft(self, api: Api, people: People, big: Segment) -> None:
        """Pins of a draft count from its activation on."""
        await api.send("PUT", f"/{big.id}", json={"status": "draft"})
        await people.backfill()
        await big.add("poor")
        await big.remove("rich")
        before = await people.members(big.id)
        await api.send("PUT", f"/{big.id}", json={"status": "active"})
        await people.backfill()

        assert before == []
        assert await people.members(big.id) == ["poor"]

    async def test_new_criteria(self, api: Api, people: People, big: Segment) -> None:
        """Pins outlive a new definition."""
        await big.add("poor")
        await big.remove("rich")
        await api.send("PUT", f"/{big.id}", json={"criteria": {"total_orders": {"operator": "gte", "value": 9}}})
        await people.backfill()
        assert await people.members(big.id) == ["poor"]
        await api.send("PUT", f"/{big.id}", json={"criteria": {}})
        await people.backfill()

        assert await people.members(big.id) == ["poor"]
