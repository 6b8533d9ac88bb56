"""Customers added to segments and removed from them by hand."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from sqlalchemy import select

from service.adapters.postgres import tables
from service.api.schemas import Answer, PinPage, PinsChanged
from service.app import pins
from service.app.tokens import Permission
from tests.api.people import People, ids, uuid_of
from tests.api.support import BASE, NOW, Api, bearer, token


@pytest.fixture
def people(api: Api) -> People:
    """Customers of this application."""
    return People(api)


async def done(response: httpx2.Response) -> dict[str, Any]:
    """What became of the customers, where it is not nothing."""
    assert response.status_code == 200, response.text
    answer = Answer[PinsChanged].model_validate(response.json()).data.model_dump()
    return {name: value for name, value in answer.items() if value}


class Segment:
    """One segment's routes of pins."""

    def __init__(self, api: Api, segment: dict[str, Any]) -> None:
        self.api, self.id = api, segment["id"]

    async def add(self, *customers: str) -> dict[str, Any]:
        """POST /:id/customers."""
        return await done(await self.api.send("POST", f"/{self.id}/customers", json=ids(*customers)))

    async def remove(self, *customers: str) -> dict[str, Any]:
        """DELETE /:id/customers."""
        return await done(await self.api.send("DELETE", f"/{self.id}/customers", json=ids(*customers)))

    async def unpin(self, *customers: str) -> dict[str, Any]:
        """DELETE /:id/pins, of all where nobody is named."""
        body = {"json": ids(*customers)} if customers else {}
        return await done(await self.api.send("DELETE", f"/{self.id}/pins", **body))


@pytest.fixture
async def big(api: Api, people: People) -> Segment:
    """A dynamic segment with one member, rich, and one who is none, poor."""
    made = await api.create()
    await people.order("rich", 600)
    await people.order("poor", 10)
    return Segment(api, made)


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


class TestStatic:
    """Pins of a list are its members."""

    async def test_add_and_remove(self, api: Api, people: People) -> None:
        """Added customers are members; removed ones leave and no pin remains."""
        listed = Segment(api, await api.create(segment_type="static", criteria={}))
        assert await listed.add("C-1", "C-2") == {"added": 2}
        assert await listed.add("C-2", "C-3") == {"added": 1, "unchanged": 1}
        assert await listed.remove("C-1", "C-1", "C-9") == {"removed": 1, "unknown": 1, "unknown_ids": ["C-9"]}
        assert await listed.remove("C-1") == {"unchanged": 1}

        assert await people.members(listed.id) == ["C-2", "C-3"]
        assert await people.pinned(listed.id) == {"C-2": "included", "C-3": "included"}
        assert sorted(await people.changes("Big spenders")) == [
            ("C-1", "joined", "manual"),
            ("C-1", "left", "manual"),
            ("C-2", "joined", "manual"),
            ("C-3", "joined", "manual"),
        ]

    async def test_unpin_all(self, api: Api, people: People, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without a body all pins go, however many transactions that takes; then there is nothing left to do."""
        monkeypatch.setattr(pins, "CUSTOMERS_AT_ONCE_MAX", 3)
        listed = Segment(api, await api.create(segment_type="static", criteria={}))
        other = Segment(api, await api.create(segment_type="static", criteria={}))
        await other.add("C-1")
        await listed.add(*(f"C-{number}" for number in range(10)))

        assert await listed.unpin() == {"removed": 10}
        assert await listed.unpin() == {}
        assert await people.members(listed.id) == []
        assert await people.members(other.id) == ["C-1"]


class TestBodies:
    """What may name customers."""

    @pytest.mark.parametrize(("method", "path"), [("POST", "customers"), ("DELETE", "customers"), ("DELETE", "pins")])
    @pytest.mark.parametrize(
        ("given", "path_of_fault"),
        [
            ([], "customer_ids"),
            (None, "customer_ids"),
            ("C-1", "customer_ids"),
            (["a", "b", "c", ""], "customer_ids[3]"),
            (["x" * 129], "customer_ids[0]"),
            (["a\0b"], "customer_ids[0]"),
            (["\ud800"], "customer_ids[0]"),
            ([5], "customer_ids[0]"),
            ([None], "customer_ids[0]"),
            ([["a"]], "customer_ids[0]"),
            ([str(UUID(int=0))], "customer_ids[0]"),
            ([str(number) for number in range(10_001)], "customer_ids"),
        ],
        ids=range(12),
    )
    async def test_refused(self, shared: Api, method: str, path: str, given: Any, path_of_fault: str) -> None:
        """What cannot be an id is a 422 with its place, and nothing is stored."""
        body = b'{"customer_ids": %b}' % _json(given)
        response = await shared.send(method, f"/{uuid4()}/{path}", content=body)

        assert response.status_code == 422, response.text
        assert [fault["path"] for fault in response.json()["errors"]] == [path_of_fault]

    async def test_every_fault(self, shared: Api) -> None:
        """All places are told at once, up to a bound."""
        response = await shared.send("POST", f"/{uuid4()}/customers", json=ids(*[""] * 500))

        assert [fault["path"] for fault in response.json()["errors"]] == [f"customer_ids[{n}]" for n in range(100)]

    @pytest.mark.parametrize("body", [b"", b" ", b"{", b"[]", b'{"customer_ids": ["a"], "x": 1}'])
    async def test_broken(self, shared: Api, body: bytes) -> None:
        """A body that is no list of ids is refused."""
        response = await shared.send("POST", f"/{uuid4()}/customers", content=body)

        assert response.status_code in (400, 422)

    async def test_as_many_as_are_allowed(self, api: Api, people: People) -> None:
        """10,000 ids of 128 characters fit into one request, even where JSON takes twelve bytes for each character."""
        segment = await api.create(status="draft")
        given = [f"{number:05}".ljust(128, "\U0001f600") for number in range(10_000)]
        response = await api.send("POST", f"/{segment['id']}/customers", content=_json({"customer_ids": given}))

        assert await done(response) == {"unknown": 10_000, "unknown_ids": given[:10]}

    @pytest.mark.parametrize("segment", [str(uuid4()), "nonsense"])
    async def test_missing(self, shared: Api, segment: str) -> None:
        """No segment: 404 on every route of pins."""
        for method, path in (("POST", "customers"), ("DELETE", "customers"), ("GET", "pins"), ("DELETE", "pins")):
            body = {} if method == "GET" or path == "pins" else {"json": ids("C-1")}
            response = await shared.send(method, f"/{segment}/{path}", **body)

            assert response.status_code == 404, path
            assert "There is no segment" in response.json()["message"]

    async def test_deleted(self, api: Api) -> None:
        """A deleted segment takes no pins."""
        segment = await api.create()
        await api.send("DELETE", f"/{segment['id']}")
        response = await api.send("POST", f"/{segment['id']}/customers", json=ids("C-1"))

        assert response.status_code == 404

    async def test_the_token_comes_first(self, shared: Api) -> None:
        """Who may not change segments learns nothing about the body."""
        response = await shared.client.post(
            f"{BASE}/{uuid4()}/customers", content=b"{", headers=bearer(token(Permission.READ))
        )

        assert response.status_code == 403


class TestPages:
    """GET /:id/pins."""

    async def test_shape(self, api: Api, people: People, big: Segment) -> None:
        """A pin shows whom, which way, and who did it when, by what means."""
        await big.remove("poor")
        response = await api.send("GET", f"/{big.id}/pins")

        page = Answer[PinPage].model_validate(response.json()).data
        assert page.total == 1
        (pin,) = response.json()["data"]["pins"]
        assert pin.pop("created_at")
        assert pin == {
            "customer_id": str(uuid_of("poor")),
            "external_id": "poor",
            "pin": "excluded",
            "source": "manual",
            "created_by": "u-1",
            "creator_name": "Ursula Main",
        }

    async def test_pages(self, api: Api) -> None:
        """All pins come out once each, in the order of ids."""
        listed = Segment(api, await api.create(segment_type="static", criteria={}))
        names = [f"C-{number}" for number in range(25)]
        await listed.add(*names)
        found, cursor = [], ""
        for _ in range(10):
            data = (await api.send("GET", f"/{listed.id}/pins?limit=7{cursor}")).json()["data"]
            found += [one["customer_id"] for one in data["pins"]]
            assert data["total"] == 25
            if data["next_cursor"] is None:
                break
            cursor = f"&cursor={data['next_cursor']}"

        assert found == sorted(str(uuid_of(name)) for name in names)

    @pytest.mark.parametrize("query", ["limit=0", "limit=1001", "cursor=x", "page=1"])
    async def test_refused(self, shared: Api, query: str) -> None:
        """Parameters that cannot be used are a 422 that names them."""
        response = await shared.send("GET", f"/{uuid4()}/pins?{query}")

        assert response.status_code == 422
        assert response.json()["errors"][0]["path"] == query.split("=")[0]


class TestAtOnce:
    """Requests at the same time."""

    async def test_the_same_customers(self, api: Api, people: People) -> None:
        """Of many requests at once for the same unknown customers each customer is made and published once."""
        listed = Segment(api, await api.create(segment_type="static", criteria={}))
        names = [f"C-{number}" for number in range(40)]
        found = await asyncio.gather(*(listed.add(*names[start:], *names[:start]) for start in range(0, 40, 8)))

        assert sum(one.get("added", 0) for one in found) == 40
        assert sum(one.get("unchanged", 0) for one in found) == 160
        assert sorted(await people.changes("Big spenders")) == sorted((one, "joined", "manual") for one in names)

    async def test_with_events(self, api: Api, people: People) -> None:
        """A customer whose first event comes at the same time is one customer, in the list and known."""
        listed = Segment(api, await api.create(segment_type="static", criteria={}))

        async def order(name: str) -> None:
            for _ in range(5):
                try:
                    return await people.order(name, 10)
                except Exception as error:
                    assert "unique" in str(error)  # noqa: PT017 - as the consumer, which tries again
            raise AssertionError

        names = [f"C-{number}" for number in range(10)]
        await asyncio.gather(*(order(name) for name in names), *(listed.add(name) for name in names))

        assert await people.members(listed.id) == names
        assert len(await people.changes("Big spenders")) == 10

    async def test_others_keep_coming_first(self, api: Api, big: Segment, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where the same rows are changed again and again by others, the answer is a 503 that says to try again."""

        async def refuse(*_: object) -> None:
            raise pins.Contention

        monkeypatch.setattr(pins, "_pin", refuse)
        response = await api.send("POST", f"/{big.id}/customers", json=ids("poor"))

        assert response.status_code == 503
        assert response.headers["retry-after"]

    async def test_the_instant(self, people: People, big: Segment) -> None:
        """A change by hand takes effect at the clock's instant."""
        await big.add("poor")

        assert (await people.published())[-1].at == NOW


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()
