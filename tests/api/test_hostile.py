"""Every kind of bad input is a 4xx with a sentence; none of them a 500."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest

from service.api.schemas import Problem
from tests.api.support import BASE, BIG, Api, bearer, token


def around(criteria: bytes) -> bytes:
    """A body with these criteria."""
    return b'{"segment_name": "x", "criteria": ' + criteria + b"}"


def spent(value: bytes) -> bytes:
    """A body that compares total_spent with this value."""
    return around(b'{"total_spent": {"operator": "gte", "value": ' + value + b"}}")


def nested(depth: int) -> bytes:
    """A body with criteria that are so deep."""
    return around(b'{"not": ' * depth + b'{"total_orders": {"operator": "gte", "value": 1}}' + b"}" * depth)


BROKEN = {
    "nothing": b"",
    "blank": b" \n",
    "text": b"segment",
    "cut": b'{"segment_name": "x"',
    "rest": b'{"segment_name": "x", "criteria": {}} more',
    "no UTF-8": b'{"segment_name": "\xff"}',
    "UTF-16 half": b"\xff\xfe{",
    "NaN": spent(b"NaN"),
    "Infinity": spent(b"-Infinity"),
    "an exponent without end": spent(b"1e99999999999999999999"),
    "digits without end": spent(b"9" * 5_000),
    "arrays without end": b"[" * 500_000,
    "objects without end": b'{"a":' * 150_000,
    "the same key twice": b'{"segment_name": "x", "criteria": {"total_orders": {}, "total_orders": {}}}',
    "the same half pair twice": b'{"\\ud800": 1, "\\ud800": 2}',
    "form": b"segment_name=x",
    "gzip": b"\x1f\x8b\x08\x00",
}

#: Body -> the path of the fault.
REFUSED: dict[str, tuple[bytes, str]] = {
    "null": (b"null", "body"),
    "list": (b"[]", "body"),
    "number": (b"1e400", "body"),
    "no name": (b'{"criteria": {}}', "segment_name"),
    "no criteria": (b'{"segment_name": "x"}', "criteria"),
    "null criteria": (around(b"null"), "criteria"),
    "criteria as text": (around(b'"all"'), "criteria"),
    "name as number": (b'{"segment_name": 5, "criteria": {}}', "segment_name"),
    "empty name": (b'{"segment_name": "", "criteria": {}}', "segment_name"),
    "long name": (b'{"segment_name": "%b", "criteria": {}}' % (b"x" * 256), "segment_name"),
    "U+0000 in the name": (b'{"segment_name": "a\\u0000b", "criteria": {}}', "segment_name"),
    "half a pair in the name": (b'{"segment_name": "a\\ud800b", "criteria": {}}', "segment_name"),
    "U+0000 in the description": (b'{"segment_name": "a", "description": "\\u0000", "criteria": {}}', "description"),
    "unknown status": (b'{"segment_name": "a", "status": {}, "criteria": {}}', "status"),
    "archived at birth": (b'{"segment_name": "a", "status": "archived", "criteria": {}}', "status"),
    "unknown type": (b'{"segment_name": "a", "segment_type": ["dynamic"], "criteria": {}}', "segment_type"),
    "unknown field": (b'{"segment_name": "a", "criteria": {}, "id": 1}', "id"),
    "80,000 fields": (b"{" + b",".join(b'"%d":1' % n for n in range(80_000)) + b"}", "body"),
    "10^400": (spent(b"1e400"), "criteria.total_spent.value"),
    "10^400 in digits": (spent(b"1" + b"0" * 400), "criteria.total_spent.value"),
    "10^-400": (spent(b"1e-400"), "criteria.total_spent.value"),
    "true as number": (spent(b"true"), "criteria.total_spent.value"),
    "object as number": (spent(b"{}"), "criteria.total_spent.value"),
    "unknown criterion": (around(b'{"shoe_size": 5}'), "criteria.shoe_size"),
    "an activity without a name": (around(b'{"activity": {"name": ""}}'), "criteria.activity.name"),
    "half a pair as criterion": (around(b'{"\\ud800": 5}'), "criteria.\\ud800"),
    "half a pair as category": (around(b'{"purchased_categories": ["\\udfff"]}'), "criteria.purchased_categories[0]"),
    "U+0000 as trait": (
        around(b'{"traits": {"a\\u0000": {"operator": "eq", "value": 1}}}'),
        "criteria.traits.a\0",
    ),
    "deep": (nested(11), "criteria" + ".not" * 11),
    "deeper": (nested(200), "criteria" + ".not" * 11),
    "within a list": (
        around(b'{"all": [{}, {"total_spent": {"operator": "gte", "value": "x"}}]}'),
        "criteria.all[1].total_spent.value",
    ),
}


class TestBodies:
    """Bodies of POST."""

    @pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN)
    async def test_no_json(self, shared: Api, body: bytes) -> None:
        """What is no JSON is a 400 that says where it breaks."""
        response = await shared.send("POST", content=body)

        assert response.status_code == 400, response.text
        assert len(Problem.model_validate(response.json()).message) > 10

    @pytest.mark.parametrize(("body", "path"), REFUSED.values(), ids=REFUSED)
    async def test_wrong(self, shared: Api, body: bytes, path: str) -> None:
        """JSON that is wrong is a 422 with the path of the fault, and stores nothing."""
        response = await shared.send("POST", content=body)

        problem = Problem.model_validate(response.json())
        assert response.status_code == 422, response.text
        assert [fault.path for fault in problem.errors] == [path]
        assert path in problem.message
        assert (await shared.catalogue())[0] == 0

    async def test_every_fault_at_once(self, shared: Api) -> None:
        """All faults are told, and the message repeats the first of them."""
        response = await shared.send("POST", content=around(b'{"a": 1, "b": 2, "c": 3, "d": 4}'))

        problem = response.json()
        assert [fault["path"] for fault in problem["errors"]] == [f"criteria.{key}" for key in "abcd"]
        assert problem["message"].endswith("; and 1 more")

    async def test_too_large(self, shared: Api) -> None:
        """A body above 1 MiB is a 413, whether its length is announced, withheld or a lie."""
        large = around(b" " * 1_048_576 + b"{}")

        async def chunks() -> AsyncIterator[bytes]:
            for start in range(0, len(large), 65_536):
                yield large[start : start + 65_536]

        for content, headers in ((large, {}), (chunks(), {}), (chunks(), {"content-length": "5"})):
            response = await shared.send("POST", content=content, headers=headers)

            assert response.status_code == 413
            assert "1048576" in response.json()["message"]

    async def test_just_small_enough(self, api: Api) -> None:
        """A body of exactly 1 MiB is read."""
        body = around(b"{}")
        response = await api.send("POST", content=body + b" " * (1_048_576 - len(body)))

        assert response.status_code == 201

    @pytest.mark.parametrize("coding", ["gzip", "br, gzip", "nonsense"])
    async def test_compressed(self, shared: Api, coding: str) -> None:
        """A compressed body is a 415 that says so; it is not read."""
        response = await shared.send("POST", content=around(b"{}"), headers={"content-encoding": coding})

        problem = Problem.model_validate(response.json())
        assert response.status_code == 415
        assert [fault.path for fault in problem.errors] == ["content-encoding"]
        assert response.headers["accept-encoding"] == "identity"

    async def test_empty(self, shared: Api) -> None:
        """A body that is missing is a 400 that says what it must have."""
        response = await shared.send("POST")

        assert response.status_code == 400
        assert response.json()["message"] == "body: is missing; send a JSON object with segment_name"

    async def test_the_token_comes_first(self, shared: Api) -> None:
        """Who may not write learns nothing about the body, and cannot make the service read it."""
        for headers, status in (({}, 401), (bearer(token()), 403)):
            for content in (b"{", b"[" * 2_000_000):
                assert (await shared.client.post(BASE, content=content, headers=headers)).status_code == status

    @pytest.mark.parametrize("kind", ["text/plain", "application/xml", "nonsense", ""])
    async def test_content_type_does_not_matter(self, api: Api, kind: str) -> None:
        """JSON is read whatever it is called; `curl -d` calls it a form."""
        body = json.dumps({"segment_name": "x", "criteria": BIG})
        response = await api.send("POST", content=body, headers={"content-type": kind})

        assert response.status_code == 201


class TestAddresses:
    """Addresses and methods."""

    @pytest.mark.parametrize(
        "path",
        ["/nope", "/api", "/api/customer-segments/x/y/z", "//", "/docs/assets/..%2fapp.py", "/docs/assets/x", "/é"],
    )
    async def test_unknown(self, shared: Api, path: str) -> None:
        """An unknown address is a 404 in the form of all errors."""
        response = await shared.client.get(path, headers=bearer(token()))

        assert response.status_code == 404
        Problem.model_validate(response.json())

    @pytest.mark.parametrize(("method", "path"), [("PATCH", ""), ("DELETE", ""), ("POST", "/x"), ("PUT", "/x/export")])
    async def test_method(self, shared: Api, method: str, path: str) -> None:
        """A method that an address does not have is a 405 that names those it has."""
        response = await shared.send(method, path)

        assert response.status_code == 405
        assert response.headers["allow"]

    @pytest.mark.parametrize("body", [b"{", b'{"status": 1}', b'{"criteria": {"x": 1}}'])
    async def test_put(self, api: Api, body: bytes) -> None:
        """PUT judges bodies like POST."""
        segment = await api.create()
        response = await api.send("PUT", f"/{segment['id']}", content=body)

        assert response.status_code in (400, 422)

    @pytest.mark.parametrize("emit", ["", "some", "ALL", "%00"])
    async def test_emit(self, shared: Api, emit: str) -> None:
        """emit is all or none."""
        for method in ("PUT", "DELETE"):
            response = await shared.send(method, f"/{uuid4()}?emit={emit}", json={"status": "draft"})

            assert response.status_code == 422
            assert response.json()["errors"][0]["path"] == "emit"


class TestForm:
    """The form of errors."""

    async def test_problem_document(self, shared: Api) -> None:
        """An error is an RFC 9457 problem document and the service's own form at once."""
        response = await shared.send("POST", json={"segment_name": "x", "criteria": {"shoe_size": 1}})

        body = response.json()
        assert response.headers["content-type"] == "application/problem+json"
        assert (body["type"], body["title"], body["status"]) == ("about:blank", "Unprocessable Content", 422)
        assert (body["instance"], body["success"]) == (BASE, False)
        assert body["detail"] == body["message"]
        assert body["errors"][0]["path"] == "criteria.shoe_size"
        assert body["errors"][0]["code"] == "invalid_criteria"

    async def test_what_nobody_foresaw(self, api: Api, capfd: pytest.CaptureFixture[str]) -> None:
        """A fault of our own is a 500 that gives nothing away, in the answer or in the log."""
        await api.run("ALTER TABLE customer_segments RENAME COLUMN description TO other")
        response = await api.send("POST", json={"segment_name": "Secret name", "criteria": BIG})

        logged: Any = capfd.readouterr()
        assert response.status_code == 500
        assert response.headers["x-request-id"] in logged.err + logged.out
        assert "Secret name" not in response.text + logged.err + logged.out
        assert "request failed" in logged.err + logged.out

    async def test_database_away(self, api: Api) -> None:
        """While the database is out of reach the answer is 503 with Retry-After."""
        await api.run("SELECT 1")
        await api.database.close()
        api.database.engine.pool._dialect.connect = _refuse  # type: ignore[method-assign]
        response = await api.send("GET")

        assert response.status_code == 503
        assert response.headers["retry-after"]


def _refuse(*_: Any, **__: Any) -> Any:
    raise ConnectionRefusedError
