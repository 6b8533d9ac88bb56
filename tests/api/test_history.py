"""The recorded history of a segment and the versions of its criteria."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import insert, text

from service.adapters.postgres import tables
from service.adapters.postgres.history import statement_for
from service.api.questions import QUESTIONS_AT_ONCE_MAX
from service.app.history import PastTransition, cursor_behind
from service.core import instants
from tests.api.people import DAY, People, ids, uuid_of
from tests.api.support import NOW, Api

RECENT = {"last_order_date": {"operator": "within_last", "days": 10}}
START = NOW - 100 * DAY
AT = datetime(2020, 1, 1, tzinfo=UTC)


def day(number: float) -> str:
    """An instant so many days after the start."""
    return instants.to_text(START + int(number * DAY))


async def page(api: Api, segment: str, **query: Any) -> dict[str, Any]:
    """One page of a segment's history."""
    response = await api.send("GET", f"/{segment}/history", params=query)
    assert response.status_code == 200, response.text
    return response.json()["data"]


async def history_of(api: Api, segment: str, **query: Any) -> list[tuple[str, str, str, str, int]]:
    """(change, customer, when, why, sequence) of a page."""
    return [
        (one["change"], one["external_id"], one["effective_at"], one["reason"], one["sequence"])
        for one in (await page(api, segment, **query))["history"]
    ]


@pytest.fixture
async def segment(api: Api) -> str:
    """Who ordered within ten days: A from day 10 to 20 and 30 to 40, B from 15 to 25, C since 95."""
    people = People(api)
    made = await api.create(criteria=RECENT)
    for name, days in (("A", (10, 30)), ("B", (15,)), ("C", (95,))):
        for number in days:
            await people.order(name, 10, START + number * DAY)
    await people.service.fire(NOW)
    return made["id"]


A_1 = ("joined", "A", day(10), "event", 1)
B_1 = ("joined", "B", day(15), "event", 1)
A_2 = ("left", "A", day(20), "time", 2)
B_2 = ("left", "B", day(25), "time", 2)
A_3 = ("joined", "A", day(30), "event", 3)
A_4 = ("left", "A", day(40), "time", 4)
C_1 = ("joined", "C", day(95), "event", 1)


class TestHistory:
    """GET /:id/history."""

    async def test_newest_first(self, api: Api, segment: str) -> None:
        """All transitions, the latest effective_at first, as they were published."""
        assert await history_of(api, segment) == [C_1, A_4, A_3, B_2, A_2, B_1, A_1]
        (first,) = (await page(api, segment, limit=1))["history"]
        assert first["customer_id"] == str(uuid_of("C"))
        assert first["segment_version"] == 1
        assert set(first) == {
            *("change", "customer_id", "external_id", "effective_at", "recorded_at", "reason", "sequence"),
            "segment_version",
        }

    async def test_as_published(self, api: Api, segment: str) -> None:
        """The history says what the events said."""
        published = sorted(
            (one.change, one.external_id, instants.to_text(one.at), one.reason, one.sequence)
            for one in await People(api).published()
        )

        assert sorted(await history_of(api, segment)) == published

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ({"change": "joined"}, [C_1, A_3, B_1, A_1]),
            ({"change": "left"}, [A_4, B_2, A_2]),
            ({"reason": "time"}, [A_4, B_2, A_2]),
            ({"reason": "import"}, []),
            ({"customer_id": "A"}, [A_4, A_3, A_2, A_1]),
            ({"customer_id": str(uuid_of("A")).upper()}, [A_4, A_3, A_2, A_1]),
            ({"customer_id": "A", "change": "left", "reason": "time"}, [A_4, A_2]),
            ({"customer_id": "nobody"}, []),
            ({"from": day(25)}, [C_1, A_4, A_3, B_2]),
            ({"to": day(20)}, [A_2, B_1, A_1]),
            ({"from": day(20), "to": day(30)}, [A_3, B_2, A_2]),
            ({"from": day(20)[:10], "to": day(20)[:10]}, [A_2]),
            ({"from": day(21)[:10], "to": day(30)[:10], "change": "joined"}, [A_3]),
        ],
    )
    async def test_filters(self, api: Api, segment: str, query: dict[str, str], found: list[Any]) -> None:
        """Each filter, alone and with others; both instants are included, and a date is the whole day."""
        assert await history_of(api, segment, **query) == found

    async def test_by_hand_and_versions(self, api: Api, segment: str) -> None:
        """A change by hand says so; a leave has the version in force then, a stay that of its begin."""
        people = People(api)
        await api.send("POST", f"/{segment}/customers", json=ids("B"))
        await api.send("PUT", f"/{segment}", json={"criteria": {"total_orders": {"operator": "gte", "value": 9}}})
        await people.backfill()
        # These tests record at NOW, while versions have the real time of their transaction.
        await api.run("UPDATE segment_versions SET created_at = :at", at=instants.to_datetime(NOW - DAY))
        rows = (await page(api, segment, limit=2))["history"]

        assert [(one["change"], one["external_id"], one["reason"], one["segment_version"]) for one in rows] in (
            [("left", "C", "definition", 2), ("joined", "B", "manual", 1)],
            [("joined", "B", "manual", 1), ("left", "C", "definition", 2)],
        )

    async def test_erased(self, api: Api, segment: str) -> None:
        """Nothing of an erased customer is left, their leave by erasure included."""
        await People(api).event("customer.deleted", "A", NOW)

        assert await history_of(api, segment) == [C_1, B_2, B_1]

    async def test_pages(self, api: Api) -> None:
        """Pages hold everything once and in order, at equal instants and with stays that ended as they began too."""
        made = await api.create()
        await api.rows(
            insert(tables.memberships)
            .values(
                [stay(UUID(made["id"]), UUID(int=number % 7 + 1), number // 7 * 2 + 1, number) for number in range(70)]
            )
            .returning(tables.memberships.c.ordinal)
        )
        whole = (await page(api, made["id"], limit=1_000))["history"]
        order = [(one["effective_at"], one["customer_id"], one["sequence"]) for one in whole]

        assert order == sorted(order, reverse=True)
        assert len(order) == len(set(order)) == 70 + 68
        for limit in (1, 7, 69, 70, 137, 138):
            found: list[Any] = []
            cursor: dict[str, str] = {}
            while True:
                data = await page(api, made["id"], limit=limit, **cursor)
                found += data["history"]
                if data["next_cursor"] is None:
                    break
                assert len(data["history"]) == limit
                cursor = {"cursor": data["next_cursor"]}
            assert found == whole

    async def test_instant_stays(self, api: Api) -> None:
        """A stay that ended at the instant it began is recorded history, and shown with both transitions."""
        made = await api.create()
        values = {**stay(UUID(made["id"]), UUID(int=1), 1, 0), "left_at": AT, "left_reason": "event"}
        await api.rows(insert(tables.memberships).values(values).returning(tables.memberships.c.ordinal))

        found = [(one["change"], one["sequence"]) for one in (await page(api, made["id"]))["history"]]
        assert found == [("left", 2), ("joined", 1)]

    async def test_indexes(self, api: Api) -> None:
        """Joins and leaves come out of their own indexes in order, with the place after which they begin."""
        values = {
            "segment_id": uuid4(),
            "place_at": AT,
            "place_customer": uuid4(),
            "place_sequence": 3,
            "earliest": AT,
            "rows_max": 9,
        }
        statement = statement_for(frozenset(values), None)
        async with api.database.transaction() as connection:
            await connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
            await connection.exec_driver_sql("SET LOCAL enable_bitmapscan = off")
            plan = "\n".join(row[0] for row in await connection.execute(text(f"EXPLAIN {statement.text}"), values))

        assert "memberships_open_idx" in plan
        assert plan.count("memberships_ended_idx") == 3
        assert plan.count("Seq Scan") == 0

    @pytest.mark.parametrize(
        ("query", "place"),
        [
            ({"from": "yesterday"}, "from"),
            ({"to": "2023-02-30"}, "to"),
            ({"from": "2023-01-01T00:00:00"}, "from"),
            ({"customer_id": ""}, "customer_id"),
            ({"customer_id": "x" * 129}, "customer_id"),
            ({"change": "entered"}, "change"),
            ({"reason": "whim"}, "reason"),
            ({"limit": "0"}, "limit"),
            ({"limit": "1001"}, "limit"),
            ({"cursor": "x"}, "cursor"),
            ({"cursor": "\u00e9"}, "cursor"),
            ({"until": "2023-01-01"}, "until"),
            ({"customer_id": "a\0b"}, "customer_id"),
            ({"customer_id": str(UUID(int=0))}, "customer_id"),
            ({"from": day(50), "to": day(30)}, "from"),
            ({"from": "2023-01-02", "to": "2023-01-01"}, "from"),
        ],
    )
    async def test_refused(self, shared: Api, query: dict[str, str], place: str) -> None:
        """What cannot be used is a 422 that names the parameter."""
        response = await shared.send("GET", f"/{uuid4()}/history", params=query)

        assert response.status_code == 422, response.text
        assert [fault["path"] for fault in response.json()["errors"]] == [place]

    async def test_foreign_cursor(self, api: Api, segment: str) -> None:
        """A cursor of another segment's history is refused."""
        late = instants.to_datetime(NOW)
        row = PastTransition(uuid4(), "left", uuid4(), None, late, late, "event", 2, 1)
        cursor = cursor_behind(row.segment_id, row)
        response = await api.send("GET", f"/{segment}/history", params={"cursor": cursor})

        assert response.status_code == 422
        assert (await page(api, segment, cursor=cursor_behind(UUID(segment), row)))["history"] != []

    async def test_missing(self, shared: Api) -> None:
        """No segment: 404."""
        assert (await shared.send("GET", f"/{uuid4()}/history")).status_code == 404
        assert (await shared.send("GET", f"/{uuid4()}/versions")).status_code == 404


class TestVersions:
    """GET /:id/versions."""

    async def test_versions(self, api: Api) -> None:
        """Who set which criteria, the latest first; a new name is no new version."""
        made = await api.create(criteria=RECENT)
        other = {"total_spent": {"operator": "gte", "value": "99.90"}}
        await api.send("PUT", f"/{made['id']}", json={"segment_name": "Other"})
        await api.send("PUT", f"/{made['id']}", json={"criteria": other})
        data = (await api.send("GET", f"/{made['id']}/versions")).json()["data"]
        first = (await api.send("GET", f"/{made['id']}/versions?limit=1")).json()["data"]
        second = (await api.send("GET", f"/{made['id']}/versions?cursor={first['next_cursor']}")).json()["data"]

        assert [(one["version"], one["criteria"], one["creator_name"]) for one in data["versions"]] == [
            (2, other, "Ursula Main"),
            (1, RECENT, "Ursula Main"),
        ]
        assert data["next_cursor"] is None
        assert first["versions"] + second["versions"] == data["versions"]

    @pytest.mark.parametrize("cursor", ["0", "-1", "x", "99999999999", "\u0661"])
    async def test_refused(self, shared: Api, cursor: str) -> None:
        """A cursor that was never given out is a 422."""
        response = await shared.send("GET", f"/{uuid4()}/versions", params={"cursor": cursor})

        assert response.status_code == 422


def stay(segment_id: UUID, customer_id: UUID, ordinal: int, number: int) -> dict[str, Any]:
    """A row of memberships; many begin or end at one instant, and two go on."""
    left = None if number >= 68 else AT + timedelta(days=number // 14 + number % 3)
    return {
        "segment_id": segment_id,
        "customer_id": customer_id,
        "ordinal": ordinal,
        "joined_at": AT + timedelta(days=number // 7 // 2),
        "left_at": left,
        "left_reason": "event" if left else None,
        "membership_source": "event",
        "segment_version": 1,
    }


async def test_wide_questions_take_turns(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """What looks at all ended stays waits for its turn as other large questions do; a plain page does not."""
    segment = (await api.create())["id"]
    questions = api.app.state.questions
    monkeypatch.setattr("service.api.questions.QUESTION_WAIT_SECONDS_MAX", 0.05)
    for _ in range(QUESTIONS_AT_ONCE_MAX):
        await questions.turns.acquire()

    assert (await api.send("GET", f"/{segment}/history")).status_code == 200
    assert (await api.send("GET", f"/{segment}/history?change=joined")).status_code == 429
    questions.turns.release()
    assert (await api.send("GET", f"/{segment}/history?reason=event")).status_code == 200
