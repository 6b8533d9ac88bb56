"""Members at a past instant, and the instant up to which membership is complete."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import insert, text

from service.adapters.postgres import tables
from service.adapters.postgres.members import _PAST_PAGE
from service.core import instants
from tests.api.people import DAY, People
from tests.api.support import NOW, Api, customer, profile

RECENT = {"last_order_date": {"operator": "within_last", "days": 10}}
START = NOW - 100 * DAY


def day(number: float) -> str:
    """An instant so many days after the start, as a query takes it."""
    return instants.to_text(START + int(number * DAY))


async def at(api: Api, segment: str, as_of: str, query: str = "") -> dict[str, Any]:
    """The page of an instant."""
    response = await api.send("GET", f"/{segment}/customers?as_of={as_of}{query}")
    assert response.status_code == 200, response.text
    return response.json()["data"]


@pytest.fixture
async def history(api: Api) -> str:
    """A segment of who ordered within ten days: A from day 10 to 20 and 30 to 40, B from day 15 to 25, C since 95."""
    people = People(api)
    segment = await api.create(criteria=RECENT)
    for name, days in (("A", (10, 30)), ("B", (15,)), ("C", (95,))):
        for number in days:
            await people.order(name, 10, START + number * DAY)
    await people.service.fire(NOW)
    return segment["id"]


class TestPast:
    """GET /:id/customers?as_of=."""

    @pytest.mark.parametrize(
        ("number", "members"),
        [
            (5, {}),
            (10, {"A": 10}),
            (15, {"A": 10, "B": 15}),
            (19.9, {"A": 10, "B": 15}),
            (20, {"B": 15}),
            (25, {}),
            (35, {"A": 30}),
            (40, {}),
            (95, {"C": 95}),
            (100, {"C": 95}),
        ],
    )
    async def test_members_then(self, api: Api, history: str, number: float, members: dict[str, int]) -> None:
        """A member is who had joined at the instant and left only after it; membership_date is of that stay."""
        data = await at(api, history, day(number))

        assert {one["external_id"]: one["membership_date"] for one in data["customers"]} == {
            name: day(joined) for name, joined in members.items()
        }
        assert data["total"] == len(members)
        assert data["as_of"] == day(number)

    async def test_date(self, api: Api, history: str) -> None:
        """A date is its first instant in UTC; an instant may have any offset."""
        midnight = instants.to_datetime(START + 15 * DAY).date().isoformat()

        assert (await at(api, history, midnight))["as_of"] == f"{midnight}T00:00:00Z"
        assert (await at(api, history, f"{midnight}T02:00:00%2B02:00"))["as_of"] == f"{midnight}T00:00:00Z"

    async def test_now(self, api: Api, history: str) -> None:
        """As of now is the same as without as_of."""
        data = (await api.send("GET", f"/{history}/customers")).json()["data"]

        assert await at(api, history, instants.to_text(NOW)) == data

    async def test_pages(self, api: Api) -> None:
        """Stays that go on and stays that ended come out in one order of ids, once each, whatever the size of pages."""
        segment = (await api.create())["id"]
        people = [customer(uuid4(), f"C-{number}") for number in range(60)]
        stays = [
            stay(UUID(segment), one["customer_id"], ordinal, joined, left)
            for number, one in enumerate(people)
            for ordinal, joined, left in STAYS[number % 4]
        ]
        async with api.database.transaction() as connection:
            await connection.execute(insert(tables.customers), people)
            await connection.execute(insert(tables.profiles), [profile(one["customer_id"]) for one in people])
            await connection.execute(insert(tables.memberships), stays)
        expected = sorted(str(one["customer_id"]) for number, one in enumerate(people) if number % 4 != 3)
        for limit in (1, 7, 44, 45, 46, 1_000):
            found, cursor = [], ""
            while True:
                data = await at(api, segment, "2020-06-01", f"&limit={limit}{cursor}")
                found += [one["id"] for one in data["customers"]]
                assert data["total"] == 45
                if data["next_cursor"] is None:
                    break
                cursor = f"&cursor={data['next_cursor']}"
            assert found == expected

    async def test_indexes(self, api: Api) -> None:
        """Both kinds of stays are found by their own index."""
        values = {"segment_id": uuid4(), "at": datetime(2020, 1, 1, tzinfo=UTC), "after": UUID(int=0), "rows_max": 9}
        async with api.database.transaction() as connection:
            await connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
            plan = await connection.execute(text(f"EXPLAIN {_PAST_PAGE.text}"), values)
            said = "\n".join(row[0] for row in plan)

        assert "memberships_current_idx" in said
        assert "memberships_past_idx" in said

    @pytest.mark.parametrize(
        "as_of",
        [
            instants.to_text(NOW + 1),
            "2999-01-01",
            "yesterday",
            "",
            "2023-01-01T00:00:00",
            "2023-02-30",
            "2023-01-01T00:00:00+00:00",
            "1",
            "%00",
            "x" * 41,
            "0001-01-01",
        ],
    )
    async def test_refused(self, shared: Api, as_of: str) -> None:
        """The future, and what is no instant, is a 422 that names the parameter."""
        response = await shared.send("GET", f"/{uuid4()}/customers?as_of={as_of}")

        assert response.status_code == 422, response.text
        assert [fault["path"] for fault in response.json()["errors"]] == ["as_of"]

    async def test_missing(self, shared: Api) -> None:
        """No segment: 404."""
        assert (await shared.send("GET", f"/{uuid4()}/customers?as_of=2020-01-01")).status_code == 404


#: (ordinal, joined, left): a stay that goes on, one that ended, the same after another stay, and none at that time.
STAYS = (
    ((1, 2020, None),),
    ((1, 2020, 2021),),
    ((1, 2018, 2019), (3, 2020, 2021), (5, 2022, None)),
    ((1, 2018, 2019), (3, 2021, None)),
)


def stay(segment_id: UUID, customer_id: UUID, ordinal: int, joined: int, left: int | None) -> dict[str, Any]:
    """A row of memberships, from and to the beginnings of years."""
    return {
        "segment_id": segment_id,
        "customer_id": customer_id,
        "ordinal": ordinal,
        "joined_at": datetime(joined, 1, 1, tzinfo=UTC),
        "left_at": datetime(left, 1, 1, tzinfo=UTC) if left else None,
        "membership_source": "event",
        "segment_version": 1,
    }


class TestComplete:
    """data.as_of."""

    async def test_nothing_is_overdue(self, api: Api) -> None:
        """Where no timer is behind, membership is complete up to now, on every answer about one segment."""
        segment = await api.create()
        path = f"/{segment['id']}"
        people = People(api)
        await people.order("A", 600)
        answers = [
            await api.send("GET", path),
            await api.send("PUT", path, json={"segment_name": "new"}),
            await api.send("GET", f"{path}/customers"),
        ]

        assert {one.json()["data"]["as_of"] for one in answers} == {instants.to_text(NOW)}
        assert segment["as_of"] == instants.to_text(NOW)
        assert "as_of" not in (await api.send("GET")).json()["data"]["segments"][0]

    async def test_a_timer_is_behind(self, api: Api) -> None:
        """Where a timer has not fired, membership is complete up to the earliest such edge."""
        segment = await api.create(criteria=RECENT)
        people = People(api)
        await people.order("A", 10, START + 50 * DAY)
        await people.order("B", 10, START + 45 * DAY)
        await people.order("C", 10, START + 99 * DAY)
        path = f"/{segment['id']}"
        shown = (await api.send("GET", path)).json()["data"]["as_of"]
        page = (await api.send("GET", f"{path}/customers")).json()["data"]["as_of"]
        past = (await at(api, segment["id"], day(70)))["as_of"]
        earlier = (await at(api, segment["id"], day(50)))["as_of"]
        await people.service.fire(NOW)

        assert (shown, page, past, earlier) == (day(55), day(55), day(55), day(50))
        assert (await api.send("GET", path)).json()["data"]["as_of"] == instants.to_text(NOW)
