"""Questions before something is saved: preview, dry run, backtest."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select, text

from service.adapters.postgres import tables
from service.api import questions
from service.api.preview import _BACKTEST_EXAMPLES, _PREVIEW_EXAMPLES, BacktestData, PreviewData
from service.api.questions import DryRunData
from service.api.schemas import Answer
from service.app.backtest import moments_of
from service.app.tokens import Permission
from service.core import instants
from service.core.criteria.parse import parse_criteria
from tests.api.people import People, ids, uuid_of
from tests.api.support import BIG, NOW, Api, bearer, token

DAY = instants.DAY
BUYERS = {"total_orders": {"operator": "gte", "value": 1}}
RECENT = {"last_order_date": {"operator": "within_last", "days": 10}}


async def preview(api: Api, criteria: Any, **options: Any) -> dict[str, Any]:
    """A preview, checked against its documented form."""
    headers = options.pop("headers", {})
    response = await api.send("POST", "/preview", json={"criteria": criteria, **options}, headers=headers)
    assert response.status_code == 200, response.text
    PreviewData.model_validate(Answer[PreviewData].model_validate(response.json()).data)
    return response.json()["data"]


async def dry_run(api: Api, segment: dict[str, Any], **change: Any) -> dict[str, Any]:
    """A dry run, checked against its documented form."""
    response = await api.send("PUT", f"/{segment['id']}?dry_run=true", json=change)
    assert response.status_code == 200, response.text
    DryRunData.model_validate(Answer[DryRunData].model_validate(response.json()).data)
    return response.json()["data"]


async def backtest(api: Api, **body: Any) -> list[dict[str, Any]]:
    """The steps of a backtest, checked against its documented form."""
    response = await api.send("POST", "/backtest", json=body)
    assert response.status_code == 200, response.text
    BacktestData.model_validate(Answer[BacktestData].model_validate(response.json()).data)
    return response.json()["data"]["steps"]


async def everything(api: Api) -> dict[str, list[Any]]:
    """All rows of all tables."""
    return {table.name: sorted(map(str, await api.rows(select(table)))) for table in tables.metadata.sorted_tables}


@pytest.fixture
async def people(api: Api) -> People:
    """Ann has bought for 700, Bob for 40 long ago, Cleo nothing."""
    made = People(api)
    attributes = {"name": "Ann Ash", "email": "ann@example.com", "phone": "+15550142", "location": {"country": "GB"}}
    await made.event("customer.registered", "ann", NOW - 5 * DAY, **attributes)
    await made.order("ann", 600, NOW - 3 * DAY)
    await made.order("ann", 100, NOW - 2 * DAY)
    await made.order("bob", 40, NOW - 30 * DAY)
    await made.event("customer.logged_in", "cleo")
    return made


class TestPreview:
    """POST /preview."""

    async def test_shape(self, api: Api, people: People) -> None:
        """Count, revenue and customers in the form of a segment's customers, without a membership."""
        found = await preview(api, BIG)

        shown = found.pop("sample")
        assert found == {
            "count": 1,
            "revenue": {"total_spent": "700.00", "total_orders": 2, "average_order_value": "350.00"},
            "as_of": instants.to_text(NOW),
        }
        segment = await api.create()
        await people.backfill()
        response = await api.send("GET", f"/{segment['id']}/customers")
        (member,) = response.json()["data"]["customers"]
        assert shown == [{**member, "membership_date": None, "membership_source": None}]
        assert shown[0]["external_id"] == "ann"

    async def test_everybody(self, api: Api, people: People) -> None:
        """Revenue is that of all who match, whoever is shown; nobody at all has none."""
        found = await preview(api, {}, sample=2)

        assert (found["count"], len(found["sample"])) == (3, 2)
        assert found["revenue"] == {"total_spent": "740.00", "total_orders": 3, "average_order_value": "246.67"}
        assert [one["id"] for one in found["sample"]] == sorted(str(uuid_of(one)) for one in ("ann", "bob", "cleo"))[:2]
        nobody = await preview(api, {"customer_type": "business"}, sample=0)
        assert (nobody["count"], nobody["sample"]) == (0, [])
        assert nobody["revenue"] == {"total_spent": "0.00", "total_orders": 0, "average_order_value": "0.00"}

    async def test_masked(self, api: Api, people: People) -> None:
        """Without customers:read_pii names, e-mails and phones are masked."""
        plain = (await preview(api, BIG))["sample"][0]
        masked = (await preview(api, BIG, headers=bearer(token(Permission.READ))))["sample"][0]

        assert (plain["name"], plain["email"], plain["phone"]) == ("Ann Ash", "ann@example.com", "+15550142")
        assert (masked["name"], masked["email"], masked["phone"]) == ("A***", "a***@example.com", "***42")

    async def test_nothing_is_stored(self, api: Api, people: People) -> None:
        """No table is different afterwards."""
        segment = await api.create()
        before = await everything(api)
        await preview(api, {"member_of": segment["id"], "purchased_products": ["p"]})
        await dry_run(api, segment, criteria=BUYERS, status="archived", segment_name="Other")
        await backtest(api, criteria=BUYERS, **{"from": "2023-11-01", "to": "2023-11-10"})

        assert await everything(api) == before

    async def test_refused(self, api: Api) -> None:
        """Wrong criteria are a 422 with all their paths, as when they are saved; so is what names no segment."""
        gone = str(uuid4())
        wrong = {"total_orders": {"operator": "gte"}, "any": [{"no": 1}]}
        cases: list[tuple[Any, list[str]]] = [
            ({"criteria": wrong}, ["criteria.total_orders.value", "criteria.any[0].no"]),
            ({"criteria": {"all": [{}, {"member_of": gone}]}}, ["criteria.all[1].member_of"]),
            ({"criteria": {"not": {"not_member_of": gone}}}, ["criteria.not.not_member_of"]),
            ({"criteria": None}, ["criteria"]),
            ({}, ["criteria"]),
            ({"criteria": {}, "sample": 101}, ["sample"]),
            ({"criteria": {}, "sample": -1}, ["sample"]),
            ({"criteria": {}, "sample": True}, ["sample"]),
            ({"criteria": {}, "limit": 5}, ["limit"]),
        ]
        for body, paths in cases:
            response = await api.send("POST", "/preview", json=body)

            assert response.status_code == 422, body
            assert [fault["path"] for fault in response.json()["errors"]] == paths

    async def test_examples(self, api: Api) -> None:
        """The examples of the documentation work as they stand."""
        for body in _PREVIEW_EXAMPLES.values():
            assert (await preview(api, **body))["count"] == 0
        for body in _BACKTEST_EXAMPLES.values():
            assert moments_of(body["from"], body["to"], body.get("step", "1d"), instants.parse("2026-01-01T00:00:00Z"))
            parse_criteria(body["criteria"])


class TestLimits:
    """What protects the database."""

    async def test_turns(self, api: Api, people: People, monkeypatch: pytest.MonkeyPatch) -> None:
        """Beyond so many at once the others wait, and are refused where that takes too long."""
        monkeypatch.setattr(questions, "QUESTION_WAIT_SECONDS_MAX", 0.2)
        segment = await api.create()
        asked = [
            ("POST", "/preview", {"criteria": {}}),
            ("POST", "/backtest", {"criteria": {}, "from": "2023-11-01", "to": "2023-11-02"}),
            ("PUT", f"/{segment['id']}?dry_run=1", {"criteria": {}}),
        ]
        turns = api.app.state.questions.turns
        for _ in range(questions.QUESTIONS_AT_ONCE_MAX):
            await turns.acquire()
        for method, path, body in asked:
            refused = await api.send(method, path, json=body)
            assert (refused.status_code, refused.headers["retry-after"]) == (429, "60")

        monkeypatch.setattr(questions, "QUESTION_WAIT_SECONDS_MAX", 30)
        waiting = [asyncio.create_task(api.send(method, path, json=body)) for method, path, body in asked]
        await asyncio.sleep(0.1)
        for _ in range(questions.QUESTIONS_AT_ONCE_MAX):
            turns.release()
        assert [one.status_code for one in await asyncio.gather(*waiting)] == [200] * 3

    @pytest.mark.parametrize(
        ("path", "body", "setting"),
        [
            ("/preview", {"criteria": {}}, "SEGMENTS_PREVIEW_SECONDS_MAX"),
            ("/backtest", {"criteria": {}, "from": "2023-11-01", "to": "2023-11-02"}, "SEGMENTS_BACKTEST_SECONDS_MAX"),
        ],
    )
    async def test_too_slow(self, api: Api, path: str, body: dict[str, Any], setting: str) -> None:
        """What takes too long is stopped: a 503 that names the setting, and the turn is free again."""
        api.app.state.questions = questions.Questions(0.3, 0.3)
        async with api.database.transaction() as other:
            await other.execute(text("LOCK TABLE profiles IN ACCESS EXCLUSIVE MODE"))
            for _ in range(questions.QUESTIONS_AT_ONCE_MAX + 1):
                response = await api.send("POST", path, json=body)

                assert response.status_code == 503
                assert f"raise {setting}" in response.json()["message"]
        assert (await api.send("POST", path, json=body)).status_code == 200


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


class TestBacktest:
    """POST /backtest."""

    async def test_steps(self, api: Api, people: People) -> None:
        """Members at each step, who is new and who is gone against the one before, and ids by code point."""
        first, last = NOW - 4 * DAY, NOW
        body = {"criteria": RECENT, "from": instants.to_text(first), "to": instants.to_text(last), "step": "2d"}
        steps = await backtest(api, **body)

        at = [instants.to_text(first + days * DAY) for days in (0, 2, 4)]
        assert steps == [
            {"at": at[0], "count": 0, "joined": 0, "left": 0},
            {"at": at[1], "count": 1, "joined": 1, "left": 0},
            {"at": at[2], "count": 1, "joined": 0, "left": 0},
        ]
        named = await backtest(api, **body, members=True)
        assert [step["members"] for step in named] == [[], ["ann"], ["ann"]]
        late = await backtest(api, criteria=RECENT, **{"from": "2023-10-14", "to": "2023-10-28", "step": "1w"})
        assert [(step["count"], step["joined"], step["left"]) for step in late] == [(0, 0, 0), (1, 1, 0), (0, 0, 1)]

    async def test_refused(self, api: Api) -> None:
        """What cannot be used is a 422 that names the field."""
        good = {"criteria": {}, "from": "2023-11-01", "to": "2023-11-02"}
        cases = [
            ({"from": "2023-11-03"}, "from"),
            ({"from": "yesterday"}, "from"),
            ({"from": "2023-11-01T00:00:00"}, "from"),
            ({"from": "0001-01-01"}, "from"),
            ({"from": None}, "from"),
            ({"to": instants.to_text(NOW + 1)}, "to"),
            ({"to": "2023-13-01"}, "to"),
            ({"step": "1y"}, "step"),
            ({"step": "0d"}, "step"),
            ({"step": "1m"}, "step"),
            ({"members": "yes"}, "members"),
            ({"first": "2023-11-01"}, "first"),
            ({"criteria": {"no": 1}}, "criteria.no"),
            ({"criteria": {"member_of": str(uuid4())}}, "criteria.member_of"),
        ]
        for change, path in cases:
            response = await api.send("POST", "/backtest", json={**good, **change})

            assert response.status_code == 422, change
            assert [fault["path"] for fault in response.json()["errors"]] == [path]
        assert (
            "use criteria, from, to" in (await api.send("POST", "/backtest", json={**good, "x": 1})).json()["message"]
        )

    async def test_too_many_ids(self, api: Api, people: People, monkeypatch: pytest.MonkeyPatch) -> None:
        """One answer does not hold more ids than fit; counts alone have no such limit."""
        monkeypatch.setattr("service.api.preview.BACKTEST_IDS_MAX", 5)
        body = {"criteria": {}, "from": instants.to_text(NOW - 2 * instants.HOUR), "to": instants.to_text(NOW)}
        response = await api.send("POST", "/backtest", json={**body, "step": "1h", "members": True})

        assert response.status_code == 422
        assert response.json()["errors"][0]["path"] == "members"
        assert len(await backtest(api, **body, step="1h")) == 3
