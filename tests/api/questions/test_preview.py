"""Previews, and what all questions have in common: they store nothing, and their examples work."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from sqlalchemy import select

from service.adapters.postgres import tables
from service.api.preview import _BACKTEST_EXAMPLES, _PREVIEW_EXAMPLES
from service.app.backtest import moments_of
from service.app.tokens import Permission
from service.core import instants
from service.core.criteria.parse import parse_criteria
from tests.api.people import People, uuid_of
from tests.api.questions.support import BUYERS, backtest, dry_run, preview
from tests.api.support import BIG, NOW, Api, bearer, token


async def everything(api: Api) -> dict[str, list[Any]]:
    """All rows of all tables."""
    return {table.name: sorted(map(str, await api.rows(select(table)))) for table in tables.metadata.sorted_tables}


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
