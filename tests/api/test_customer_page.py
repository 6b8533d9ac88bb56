"""The page of one customer."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from service.app import customers
from service.core import instants
from tests.api.people import DAY, People, ids, uuid_of
from tests.api.support import NOW, Api, bearer, token

ADA = {
    "name": "Ada Lovelace",
    "first_name": "Ada",
    "email": "ada@example.com",
    "phone": "+15550100",
    "locale": "en-GB",
    "timezone": "Europe/London",
    "customer_type": "business",
    "location": {"country": "GB", "city": "London"},
    "email_subscribed": True,
    "sms_subscribed": False,
    "traits": {"tier": "gold", "score": 12.5, "vip": True},
}
RECENT = {"last_order_date": {"operator": "within_last", "days": 10}}


def text(instant: int) -> str:
    """As the API writes it."""
    return instants.to_text(instant)


@pytest.fixture
async def ada(api: Api) -> People:
    """Ada, registered 50 days ago, with two orders and a login."""
    people = People(api)
    await people.event("customer.registered", "A/1", NOW - 50 * DAY, **ADA)
    await people.order("A/1", 100, NOW - 40 * DAY)
    await people.order("A/1", 51, NOW - 5 * DAY)
    await people.event("customer.logged_in", "A/1", NOW - 2 * DAY)
    return people


async def page(api: Api, customer: str, **options: Any) -> dict[str, Any]:
    """What is shown of a customer."""
    response = await api.send("GET", f"/customers/{customer}", **options)
    assert response.status_code == 200, response.text
    return response.json()["data"]


class TestProfile:
    """The fields."""

    async def test_profile(self, api: Api, ada: People) -> None:
        """Everything that is known, by either form of the id."""
        found = (await page(api, "A/1"))["profile"]

        assert found == {
            **{name: value for name, value in ADA.items() if name != "location"},
            "id": str(uuid_of("A/1")),
            "external_id": "A/1",
            "location": {"country": "GB", "state": None, "city": "London"},
            "push_subscribed": None,
            "is_masked": False,
            "total_orders": 2,
            "total_spent": "151.00",
            "average_order_value": "75.50",
            "first_order_date": text(NOW - 40 * DAY),
            "last_order_date": text(NOW - 5 * DAY),
            "registration_date": text(NOW - 50 * DAY),
            "last_login": text(NOW - 2 * DAY),
            "first_seen": text(NOW - 50 * DAY),
        }
        assert (await page(api, str(uuid_of("A/1")).upper()))["profile"] == found

    async def test_masked(self, api: Api, ada: People) -> None:
        """Without customers:read_pii names, e-mail, phone and the values of traits are masked; nothing else changes."""
        shown = (await page(api, "A/1"))["profile"]
        masked = (await page(api, "A/1", headers=bearer(token("customer_segments:read"))))["profile"]
        hidden = {name: value for name, value in masked.items() if value != shown[name]}

        assert hidden == {
            "name": "A***",
            "first_name": "A***",
            "email": "a***@example.com",
            "phone": "***00",
            "traits": {"tier": "***", "score": "***", "vip": "***"},
            "is_masked": True,
        }

    async def test_exact_traits(self, api: Api) -> None:
        """Numbers come as they were sent."""
        people = People(api)
        await people.event("customer.registered", "B", traits={"n": 12345678901234567890123})
        response = await api.send("GET", "/customers/B")

        assert '"n":12345678901234567890123' in response.text

    async def test_nobody(self, api: Api, ada: People) -> None:
        """Who is unknown, was erased, or cannot be a customer is a 404 whose sentence says which."""
        await ada.event("customer.deleted", "A/1", NOW)
        erased = await api.send("GET", "/customers/A/1")
        unknown = await api.send("GET", "/customers/nobody")
        too_long = await api.send("GET", f"/customers/{'x' * 200}")

        assert [one.status_code for one in (erased, unknown, too_long)] == [404, 404, 404]
        assert "has been erased" in erased.json()["message"]
        assert "There is no customer" in unknown.json()["message"]


class TestMemberships:
    """Memberships and history."""

    async def test_memberships(self, api: Api, ada: People) -> None:
        """Current memberships with since, source and pin; segments the customer is kept out of; none that is gone."""
        recent = await api.create(segment_name="Recent", criteria=RECENT)
        pinned = await api.create(segment_name="Chosen", criteria={"total_orders": {"operator": "gte", "value": 99}})
        out = await api.create(segment_name="Everybody", criteria={})
        gone = await api.create(segment_name="Gone", criteria={})
        await ada.backfill()
        await api.send("POST", f"/{pinned['id']}/customers", json=ids("A/1"))
        await api.send("DELETE", f"/{out['id']}/customers", json=ids("A/1"))
        await api.send("DELETE", f"/{gone['id']}")
        data = await page(api, "A/1")

        assert data["memberships"] == [
            {
                "segment_id": pinned["id"],
                "segment_name": "Chosen",
                "since": text(NOW),
                "source": "manual",
                "segment_version": 1,
                "pin": "included",
            },
            {
                "segment_id": recent["id"],
                "segment_name": "Recent",
                "since": text(NOW),
                "source": "definition",
                "segment_version": 1,
                "pin": None,
            },
        ]
        assert data["excluded_from"] == [{"segment_id": out["id"], "segment_name": "Everybody"}]

    async def test_history(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        """The latest joins and leaves over all segments, the newest first, as the segments' own histories have them."""
        people = People(api)
        segments = [await api.create(segment_name=name, criteria=RECENT) for name in ("One", "Two")]
        for number in (90, 60, 30):
            await people.order("A", 10, NOW - number * DAY)
        await people.service.fire(NOW)
        found = (await page(api, "A"))["history"]
        by_segment = {one["id"]: (await api.send("GET", f"/{one['id']}/history")).json()["data"] for one in segments}

        assert len(found) == 12
        assert [one["effective_at"] for one in found] == sorted([one["effective_at"] for one in found], reverse=True)
        for one in segments:
            rows = [dict(row) for row in found if row["segment_id"] == one["id"]]
            assert {(row.pop("segment_id"), row.pop("segment_name")) for row in rows} == {
                (one["id"], one["segment_name"])
            }
            assert rows == by_segment[one["id"]]["history"]

        monkeypatch.setattr("service.api.customers.TRANSITIONS_MAX", 5)
        assert (await page(api, "A"))["history"] == found[:5]

    async def test_without_events(self, api: Api) -> None:
        """Of who is only in a list nothing but the id and the list is known."""
        made = await api.create(segment_type="static", criteria=None, customer_ids=["C-9"])
        data = await page(api, "C-9")

        assert [one["segment_id"] for one in data["memberships"]] == [made["id"]]
        assert data["profile"]["id"] == str(uuid_of("C-9"))
        assert data["profile"]["first_seen"] is None
        assert [one["change"] for one in data["history"]] == ["joined"]

    async def test_addresses(self, shared: Api) -> None:
        """The address is not taken for a segment's, and a segment's not for it."""
        assert "no customer" in (await shared.send("GET", "/customers/customers")).json()["message"]
        assert "segment" in (await shared.send("GET", f"/{uuid4()}/customers")).json()["message"]
        assert customers.TRANSITIONS_MAX == 100
