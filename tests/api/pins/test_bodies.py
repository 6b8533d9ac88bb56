"""What may name customers in the requests of pins, and what is refused."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest

from service.app.tokens import Permission
from tests.api.people import People, ids
from tests.api.pins.support import done
from tests.api.support import BASE, Api, bearer, token


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

    @pytest.mark.parametrize(
        ("method", "path", "body"),
        [
            *((method, "customers", body) for method in ("POST", "DELETE") for body in (b"", b"  ", b"\n")),
            *(("DELETE", "pins", body) for body in (b"  ", b"\n")),  # without any body it is about all of them
        ],
    )
    async def test_empty(self, shared: Api, method: str, path: str, body: bytes) -> None:
        """A body that has nothing in it is a 400 that says what it must have."""
        headers = {"content-type": "application/json"}
        response = await shared.send(method, f"/{uuid4()}/{path}", content=body, headers=headers)

        assert response.status_code == 400, response.text
        fault = {"path": "body", "message": "is missing; send a JSON object with customer_ids", "code": "missing"}
        assert response.json()["errors"] == [fault]

    async def test_an_empty_body_unpins_nobody(self, api: Api) -> None:
        """Who announces a body and loses it removes no pins; who sends none means all."""
        segment = (await api.create(segment_type="static", criteria={}))["id"]
        await api.send("POST", f"/{segment}/customers", json=ids("C-1", "C-2"))
        lost = await api.send("DELETE", f"/{segment}/pins", content=_nothing())
        left = (await api.send("GET", f"/{segment}/pins")).json()["data"]["total"]
        # Many clients always name a type, whether they send anything or not.
        none = await api.send("DELETE", f"/{segment}/pins", headers={"content-type": "application/json"})

        assert (lost.status_code, left) == (400, 2)
        assert (none.status_code, none.json()["data"]["removed"]) == (200, 2)

    async def test_as_many_as_are_allowed(self, api: Api, people: People) -> None:
        """10,000 ids of 128 characters fit into one request, even where JSON takes twelve bytes for each character."""
        segment = await api.create(status="draft")
        given = [f"{number:05}".ljust(128, "\U0001f600") for number in range(10_000)]
        response = await api.send("POST", f"/{segment['id']}/customers", content=_json({"customer_ids": given}))

        assert await done(response) == {"unknown": 10_000, "unknown_ids": given[:10]}

    @pytest.mark.parametrize("segment", ["0c0ffee0-0000-4000-8000-000000000000", "nonsense"])
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


async def _nothing() -> AsyncIterator[bytes]:
    """A body in chunks of which none comes."""
    for chunk in ():
        yield chunk


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()
