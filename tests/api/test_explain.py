"""Why a customer is in a segment, over HTTP."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

import pytest

from service.api.explain import ExplanationData
from service.api.schemas import Answer, Problem
from service.app import explain as use_case
from service.app.tokens import Permission
from service.core import instants
from tests.api.people import People, uuid_of
from tests.api.support import BASE, NOW, Api, bearer, token

DAY = instants.DAY
RECENT = {"total_spent": {"operator": "gte", "value": "500.00", "window": {"days": 30}}, "customer_type": "business"}


@pytest.fixture
async def people(api: Api) -> People:
    """One customer with an order and a name of a hostile kind, beside a plain one."""
    made = People(api)
    for customer in ("rich", "a/b?c#d é"):
        await made.event("customer.registered", customer, customer_type="business", traits={"x": 0.1, "n": 10**30})
        await made.order(customer, 600)
    return made


async def explained(api: Api, segment: str, customer: str, **options: Any) -> dict[str, Any]:
    """The explanation, checked against its documented form."""
    response = await api.send("GET", f"/{segment}/customers/{quote(customer, safe='')}/explain", **options)
    assert response.status_code == 200, response.text
    ExplanationData.model_validate(Answer[ExplanationData].model_validate(response.json()).data)
    return response.json()["data"]


class TestAnswer:
    """What is answered."""

    async def test_shape(self, api: Api, people: People) -> None:
        """Every key of the contract's shape, and what a reader needs beside them."""
        segment = (await api.create(criteria=RECENT))["id"]
        await people.backfill()
        found = await explained(api, segment, "rich")

        assert sorted(found.pop("predicates"), key=lambda one: one["path"]) == [
            {
                "path": "criteria.customer_type",
                "criteria": {"customer_type": "business"},
                "value": "business",
                "verdict": True,
            },
            {
                "path": "criteria.total_spent",
                "criteria": {"total_spent": RECENT["total_spent"]},
                "value": "600.00",
                "verdict": True,
            },
        ]
        assert found == {
            "member": True,
            "since": instants.to_text(NOW),
            "changes_at": instants.to_text(NOW + 29 * DAY),
            "pin": None,
            "notes": [],
        }

    async def test_by_any_id(self, api: Api, people: People) -> None:
        """External ids of every kind and UUIDs name the same customer."""
        segment = (await api.create(criteria=RECENT))["id"]
        await people.backfill()
        for customer in ("rich", "a/b?c#d é"):
            answers = [await explained(api, segment, one) for one in (customer, str(uuid_of(customer)))]
            assert answers[0] == answers[1]
            assert answers[0]["member"]

    async def test_exact_numbers(self, api: Api, people: People) -> None:
        """Numbers are the digits that the events gave."""
        traits = {name: {"operator": "exists"} for name in ("x", "n")}
        segment = (await api.create(criteria={"traits": traits}))["id"]
        response = await api.send("GET", f"/{segment}/customers/rich/explain")

        assert '"value":0.1,' in response.text
        assert f'"value":{10**30},' in response.text

    async def test_pinned(self, api: Api, people: People) -> None:
        """Who was removed by hand stays out, and the answer says why."""
        segment = (await api.create(criteria=RECENT))["id"]
        await people.backfill()
        await api.send("DELETE", f"/{segment}/customers", json={"customer_ids": ["rich"]})
        found = await explained(api, segment, "rich")

        assert (found["member"], found["pin"], found["changes_at"]) == (False, "excluded", None)
        assert all(one["verdict"] for one in found["predicates"])

    async def test_static(self, api: Api, people: People) -> None:
        """A member of a static segment is there by pin, events or no events."""
        created = await api.create(segment_type="static", criteria=None, customer_ids=["rich", "nobody yet"])
        for customer in ("rich", "nobody yet"):
            found = await explained(api, created["id"], customer)
            assert (found["member"], found["pin"], found["predicates"]) == (True, "included", [])

    async def test_a_draft(self, api: Api, people: People) -> None:
        """A draft has no members yet; what its conditions say is shown all the same."""
        segment = (await api.create(criteria=RECENT, status="draft"))["id"]
        found = await explained(api, segment, "rich")

        assert (found["member"], found["since"], found["changes_at"]) == (False, None, None)
        assert all(one["verdict"] for one in found["predicates"])
        assert "draft" in found["notes"][0]


class TestRefused:
    """What is not answered."""

    async def test_unknown(self, api: Api, people: People) -> None:
        """Unknown segments and customers, and impossible ids, are a 404 with a sentence."""
        segment = (await api.create())["id"]
        cases = [
            (segment, "nobody"),
            (segment, str(uuid4())),
            (segment, str(UUID(int=0))),
            (segment, "x" * 129),
            (segment, "%00"),
            (segment, "%ff"),
            (str(uuid4()), "rich"),
            ("x", "rich"),
        ]
        for one, customer in cases:
            response = await api.send("GET", f"/{one}/customers/{customer}/explain")
            assert response.status_code == 404, customer
            assert Problem.model_validate(response.json()).message.startswith("There is no ")

    async def test_erased(self, api: Api, people: People) -> None:
        """Of an erased customer nothing is told but that."""
        segment = (await api.create())["id"]
        await people.event("customer.deleted", "rich")
        response = await api.send("GET", f"/{segment}/customers/rich/explain")

        assert response.status_code == 404
        assert "erased" in response.json()["message"]

    async def test_too_many_facts(self, api: Api, people: People, monkeypatch: pytest.MonkeyPatch) -> None:
        """More facts than one answer may read are refused with a sentence."""
        monkeypatch.setattr(use_case, "FACTS_MAX", 1)
        segment = (await api.create())["id"]
        response = await api.send("GET", f"/{segment}/customers/rich/explain")

        assert response.status_code == 422
        assert "more than 1 facts" in response.json()["message"]

    async def test_values_of_traits_need_a_permission(self, api: Api, people: People) -> None:
        """Without customers:read_pii the verdict is shown and the trait's value is not, as on the customer's page."""
        trait = {"traits": {"n": {"operator": "gt", "value": 5}}}
        segment = (await api.create(criteria={"customer_type": "business", "all": [trait]}))["id"]
        address = f"{BASE}/{segment}/customers/rich/explain"
        shown = {}
        for permissions in ((Permission.READ,), (Permission.READ, Permission.READ_PII)):
            response = await api.client.get(address, headers=bearer(token(*permissions)))
            found = {one["path"]: (one["value"], one["verdict"]) for one in response.json()["data"]["predicates"]}
            shown[permissions[-1]] = found["criteria.all[0].traits.n"]
            assert found["criteria.customer_type"] == ("business", True)

        assert shown == {Permission.READ: ("***", True), Permission.READ_PII: (10**30, True)}

    async def test_permission_and_parameters(self, api: Api, people: People) -> None:
        """Reading segments is needed and enough; parameters there are none."""
        segment = (await api.create())["id"]
        address = f"{BASE}/{segment}/customers/rich/explain"
        without = await api.client.get(address, headers=bearer(token(Permission.READ_PII)))
        enough = await api.client.get(address, headers=bearer(token(Permission.READ)))
        unknown = await api.client.get(f"{address}?as_of=2024-01-01", headers=bearer(token(Permission.READ)))

        assert [one.status_code for one in (without, enough, unknown)] == [403, 200, 422]
