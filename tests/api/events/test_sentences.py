"""What is said of events that cannot be taken: the place of each fault, and how to mend it."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from service.app.tokens import Permission
from tests.api.events.support import Door, event
from tests.api.support import bearer, token

GOOD = json.dumps([event(1)]).encode()


def with_total(raw: bytes) -> bytes:
    """A list of one event with this total."""
    return GOOD.replace(b'"9.90"', raw)


#: Body -> the path of the fault, and words of the sentence.
NO_JSON: dict[str, tuple[bytes, str, str]] = {
    "empty": (b"", "body", "is empty; send a JSON array"),
    "blank": (b" \n", "body", "is empty; send a JSON array"),
    "cut": (GOOD[:-5], "body", "line 1, column"),
    "gzip": (gzip.compress(GOOD), "body", "must be JSON in UTF-8; byte 2"),
    "UTF-16": (GOOD.decode().encode("utf-16"), "body", "must be JSON in UTF-8; byte 1"),
    "byte order mark": (b"\xef\xbb\xbf" + GOOD, "body", "without a byte order mark"),
    "NaN": (with_total(b"NaN"), "body", "NaN"),
    "deep": (with_total(b"[" * 5_000 + b"]" * 5_000), "body", "nested too deeply"),
    "deeper": (b"[" * 100_000, "body", "nested too deeply"),
    "half a pair in the id": (json.dumps([event(1), {**event(2), "id": "a\ud800"}]).encode(), "[1].id", "half a"),
    "half a pair in data": (json.dumps([event(1, order_id="\udfff")]).encode(), "[0].data.order_id", "half a"),
    "half a pair, unknown": (json.dumps([event(1, x=[[0, "\udfff"]])]).encode(), "[0].data.x[0][1]", "half a"),
    "half a pair, deep": (with_total(b"[" * 700 + b'"\\ud800"' + b"]" * 700), "[0].data.total" + "[0]" * 700, "half a"),
}
#: What an event has in place of a good value -> the path of the fault, and the sentence.
WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "id": ({"id": 5}, "[0].id", "must be a text; it is a whole number"),
    "time": ({"time": "noon"}, "[0].time", "must be RFC 3339 with an offset, such as 2024-02-29T12:00:00Z"),
    "version": ({"specversion": "0.3"}, "[0].specversion", 'must be "1.0"'),
    "data": ({"data": [1]}, "[0].data", "must be an object; it is a list"),
    "customer": ({"data": {**event(1)["data"], "customer_id": 5}}, "[0].data.customer_id", "must be a text or null"),
    "items": ({"data": {**event(1)["data"], "items": {}}}, "[0].data.items", "must be a list or null; it is an object"),
}


class TestSentences:
    """Faults with their places."""

    @pytest.mark.parametrize(("body", "path", "said"), NO_JSON.values(), ids=NO_JSON)
    async def test_no_json(self, lonely: Door, body: bytes, path: str, said: str) -> None:
        """What is no JSON is a 400 that says where and why."""
        response = await lonely.raw(body, **bearer(token(Permission.WRITE_EVENTS)))

        assert response.status_code == 400, response.text
        (fault,) = response.json()["errors"]
        assert fault["path"] == path[:1_000]
        assert said in fault["message"]
        assert said in response.json()["message"] or len(path) > 500

    @pytest.mark.parametrize(("changes", "path", "said"), WRONG.values(), ids=WRONG)
    async def test_wrong_kinds(self, lonely: Door, changes: dict[str, Any], path: str, said: str) -> None:
        """A value of another kind is a 422 that says what it must be, in no programmer's words."""
        response = await lonely.post([{**event(1), **changes}])

        (fault,) = response.json()["errors"]
        assert (response.status_code, fault["path"]) == (422, path)
        assert fault["message"].startswith(said)
        assert "`" not in fault["message"]

    @pytest.mark.parametrize("key", [b'"total": "9.90"', b'"id": "e1"'])
    async def test_repeated_keys(self, lonely: Door, key: bytes) -> None:
        """A key that stands twice in an object is a 422: one of the two would be lost silently."""
        body = GOOD.replace(key, key + b", " + key, 1)
        response = await lonely.raw(body, **bearer(token(Permission.WRITE_EVENTS)))

        assert response.status_code == 422, response.text
        (fault,) = response.json()["errors"]
        assert fault["path"] == "[0]"
        assert f"{key.decode().split(':')[0]} twice" in fault["message"]

    async def test_compressed(self, lonely: Door) -> None:
        """A compressed body is a 415, and the answer says which coding is taken."""
        headers = {**bearer(token(Permission.WRITE_EVENTS)), "content-encoding": "gzip"}
        response = await lonely.raw(gzip.compress(GOOD), **headers)

        assert response.status_code == 415
        assert response.headers["accept-encoding"] == "identity"
        assert response.json()["errors"][0]["path"] == "content-encoding"
