"""Pages of a segment's customers."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest

from service.api.schemas import Answer, CustomerPage
from service.app.members import average, cursor_after, mask_email, mask_phone, mask_text
from service.app.tokens import Permission
from tests.api.support import Api, add_many, add_members, bearer, customer, profile, token

ADA = UUID(int=1)
NOBODY_KNOWN = UUID(int=2)
FULL = customer(
    ADA,
    "C-1001",
    name="Ada Lovelace",
    email="ada@example.com",
    phone="+15550142",
    customer_type="individual",
    country="GB",
    city="London",
)
ORDERS = {"total_orders": 3, "total_spent": 10_000, "last_order_at": 1_709_208_000_000_001, "registered_at": 0}


async def page(api: Api, segment: str, query: str = "", **options: Any) -> dict[str, Any]:
    """One page, checked against its documented form."""
    response = await api.send("GET", f"/{segment}/customers{query}", **options)
    assert response.status_code == 200, response.text
    CustomerPage.model_validate(Answer[CustomerPage].model_validate(response.json()).data)
    return response.json()["data"]


class TestShape:
    """What is shown of a customer."""

    async def test_every_field(self, api: Api) -> None:
        """Money is decimal text, instants are UTC, and what is missing is null."""
        segment = (await api.create())["id"]
        await add_members(api.database, segment, [FULL, customer(NOBODY_KNOWN, "C-2")], [profile(ADA, **ORDERS)])
        found = await page(api, segment)

        assert (found["total"], found["next_cursor"]) == (2, None)
        assert found["customers"][0] == {
            "id": str(ADA),
            "external_id": "C-1001",
            "name": "Ada Lovelace",
            "email": "ada@example.com",
            "phone": "+15550142",
            "customer_type": "individual",
            "total_orders": 3,
            "total_spent": "100.00",
            "average_order_value": "33.33",
            "last_order_date": "2024-02-29T12:00:00.000001Z",
            "registration_date": "1970-01-01T00:00:00Z",
            "location": {"country": "GB", "state": None, "city": "London"},
            "membership_date": "2024-02-29T12:00:00Z",
            "membership_source": "event",
        }
        blank = found["customers"][1]
        assert (blank["total_spent"], blank["average_order_value"], blank["total_orders"]) == ("0.00", "0.00", 0)
        assert all(blank[name] is None for name in ("name", "email", "phone", "location", "last_order_date"))

    async def test_masked(self, api: Api) -> None:
        """Without customers:read_pii names, e-mails and phones are masked; with it they are not."""
        segment = (await api.create())["id"]
        await add_members(api.database, segment, [FULL, customer(NOBODY_KNOWN, "C-2")])
        masked = await page(api, segment, headers=bearer(token(Permission.READ)))
        plain = await page(api, segment, headers=bearer(token(Permission.READ, Permission.READ_PII)))

        shown = masked["customers"][0]
        assert (shown["name"], shown["email"], shown["phone"]) == ("A***", "a***@example.com", "***42")
        assert (shown["external_id"], shown["location"]["city"]) == ("C-1001", "London")
        assert masked["customers"][1]["name"] is None
        assert plain["customers"][0]["email"] == "ada@example.com"

    async def test_who_left_is_not_shown(self, api: Api) -> None:
        """Only current members of this segment are there."""
        segment, other = (await api.create())["id"], (await api.create())["id"]
        await add_members(api.database, segment, [FULL])
        await add_members(api.database, other, [customer(NOBODY_KNOWN, "C-2")])
        await api.run("UPDATE customer_segment_memberships SET left_at = now() WHERE customer_id = :id", id=ADA)

        assert (await page(api, segment))["customers"] == []
        assert (await page(api, other))["total"] == 1

    @pytest.mark.parametrize(
        ("spent", "orders", "rounded"),
        [(10_000, 3, 3_333), (5, 2, 3), (-5, 2, -3), (-10_000, 3, -3_333), (1, 3, 0), (7, 0, 0), (0, 5, 0)],
    )
    def test_average(self, spent: int, orders: int, rounded: int) -> None:
        """The average is rounded half away from zero, without floats."""
        assert average(spent, orders) == rounded

    def test_masks(self) -> None:
        """Masks never show more than their rule says, whatever the text."""
        assert [mask_text(one) for one in (None, "", "A", "\U0001f600x")] == [None, "***", "A***", "\U0001f600***"]
        assert [mask_email(one) for one in (None, "", "x", "@b", "a@b@c")] == [None, "***", "x***", "***@b", "a***@c"]
        assert [mask_phone(one) for one in (None, "", "1234", "12345")] == [None, "***", "***", "***45"]


class TestPages:
    """Cursors."""

    @pytest.mark.parametrize("limit", [1_000, 999, 37])
    async def test_complete_and_without_repeats(self, api: Api, limit: int) -> None:
        """2,500 members come out once each, in the order of ids, whatever the size of pages."""
        segment = (await api.create())["id"]
        await add_many(api.database, segment, 2_500)
        ids, cursor, pages = [], "", 0
        while True:
            found = await page(api, segment, f"?limit={limit}{cursor}")
            pages += 1
            ids += [one["id"] for one in found["customers"]]
            assert found["total"] == 2_500
            if found["next_cursor"] is None:
                break
            cursor = f"&cursor={found['next_cursor']}"

        assert pages == -(-2_500 // limit)
        assert len(set(ids)) == 2_500
        assert ids == sorted(ids)

    async def test_members_come_and_go_meanwhile(self, api: Api) -> None:
        """Who stays a member all the while is found exactly once, whoever else comes and goes."""
        segment = (await api.create())["id"]
        people = [customer(UUID(int=10 * number), f"C-{number}") for number in range(1, 31)]
        await add_members(api.database, segment, people[::2])
        ids, cursor = [], ""
        for number in range(100):
            found = await page(api, segment, f"?limit=2{cursor}")
            ids += [one["external_id"] for one in found["customers"]]
            if found["next_cursor"] is None:
                break
            cursor = f"&cursor={found['next_cursor']}"
            await add_members(api.database, segment, people[2 * number + 1 : 2 * number + 2])

        assert len(ids) == len(set(ids))
        assert {one["external_id"] for one in people[::2]} <= set(ids)

    async def test_default_limit(self, api: Api) -> None:
        """A page has 100 customers unless the caller says otherwise."""
        segment = (await api.create())["id"]
        await add_many(api.database, segment, 101)

        assert len((await page(api, segment))["customers"]) == 100

    async def test_refused(self, api: Api) -> None:
        """Limits out of range, foreign cursors and unknown parameters are a 422 that names the parameter."""
        segment = (await api.create())["id"]
        foreign = cursor_after(uuid4(), ADA)
        cases = [
            ("limit=0", "limit"),
            ("limit=1001", "limit"),
            ("limit=x", "limit"),
            (f"cursor={foreign}", "cursor"),
            ("cursor=", "cursor"),
            ("cursor=x", "cursor"),
            ("cursor=%00", "cursor"),
            ("cursor=é", "cursor"),
            ("cursor=" + "a" * 100, "cursor"),
            ("cursor=" + "a" * 101, "cursor"),
            ("as_of=2024-01-01T00:00:00Z", "as_of"),
        ]
        answers = await asyncio.gather(*(api.send("GET", f"/{segment}/customers?{query}") for query, _ in cases))

        assert [answer.status_code for answer in answers] == [422] * len(cases)
        assert [answer.json()["errors"][0]["path"] for answer in answers] == [path for _, path in cases]

    async def test_cursor_of_one_who_left(self, api: Api) -> None:
        """A cursor stands for a place, and goes on though its customer has left."""
        segment = (await api.create())["id"]
        await add_members(api.database, segment, [customer(UUID(int=n), f"C-{n}") for n in (1, 2, 3)])
        first = await page(api, segment, "?limit=2")
        await api.run("DELETE FROM customer_segment_memberships WHERE customer_id = :id", id=UUID(int=2))

        rest = await page(api, segment, f"?limit=2&cursor={first['next_cursor']}")
        assert [one["external_id"] for one in rest["customers"]] == ["C-3"]
