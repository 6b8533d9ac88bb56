"""Criteria meant to harm, sent by HTTP: a 4xx that names the place, in a time that the body's size bounds."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from service.api.schemas import Problem
from tests.api.support import Api, api_on_a_copy

#: What a body may have.
BODY_BYTES_MAX = 1_048_576
ORDERS = b'{"total_orders": {"operator": "gte", "value": 1}}'


@pytest.fixture(scope="module")
async def untouched(server_url: str, template: str) -> AsyncIterator[Api]:
    """A client on a database of these tests alone: after each of them its catalogue is still the first."""
    async with api_on_a_copy(server_url, template) as made:
        yield made


def around(criteria: bytes) -> bytes:
    """A body with these criteria."""
    return b'{"segment_name": "x", "criteria": ' + criteria + b"}"


def filled(head: bytes, one: bytes, tail: bytes) -> bytes:
    """A body as long as a body may be: `one` over and over, each with its number where it has a place for it."""
    room = BODY_BYTES_MAX - len(around(head + tail))
    if b"%" not in one:
        return around(head + b",".join([one] * (room // (len(one) + 1))) + tail)
    parts: list[bytes] = []
    while room > len(one) + 8:
        parts.append(one % len(parts))
        room -= len(parts[-1]) + 1
    return around(head + b",".join(parts) + tail)


def activity(rest: bytes) -> bytes:
    """A body with criteria on activities."""
    return around(b'{"activity": {"name": "a"' + rest + b"}}")


def sequence(*steps: bytes, within: bytes = b'{"days": 1}') -> bytes:
    """A body with criteria on a sequence."""
    return around(b'{"sequence": {"steps": [' + b",".join(steps) + b'], "within": ' + within + b"}}")


A = b'{"activity": {"name": "a"}}'
STEPS = "criteria.sequence.steps"
#: What it is -> (body, the paths of all faults).
REFUSED: dict[str, tuple[bytes, list[str]]] = {
    "an activity without a name": (around(b'{"activity": {}}'), ["criteria.activity.name"]),
    "a test of a property": (
        activity(b', "where": {"price": {"operator": "gt", "value": {}}}'),
        ["criteria.activity.where.price.value"],
    ),
    "a property that is half a pair": (
        activity(b', "where": {"\\ud800": {"operator": "exists"}}'),
        ["criteria.activity.where.\\ud800"],
    ),
    "10^400 as a sum": (
        activity(b', "sum": {"property": "p", "operator": "gt", "value": 1e400}'),
        ["criteria.activity.sum.value"],
    ),
    "two figures, both wrong": (
        activity(b', "count": {}, "avg": 1'),
        ["criteria.activity.count.operator", "criteria.activity.avg", "criteria.activity"],
    ),
    "a window without end": (activity(b', "window": {"days": 1e99}'), ["criteria.activity.window.days"]),
    "a sequence of one": (sequence(A), [STEPS]),
    "a sequence of eleven": (sequence(*[A] * 11), [STEPS]),
    "a sequence that begins with a not": (sequence(b'{"order": {}, "not": true}', A), [f"{STEPS}[0].not"]),
    "a step that is two": (sequence(A, b'{"order": {}, "activity": {"name": "b"}}'), [f"{STEPS}[1]"]),
    "a sequence without a span": (sequence(A, A, within=b"{}"), ["criteria.sequence.within"]),
    "U+0000 in a step": (
        sequence(A, b'{"activity": {"name": "a\\u0000"}}'),
        [f"{STEPS}[1].activity.name"],
    ),
    "no id": (around(b'{"member_of": "big spenders"}'), ["criteria.member_of"]),
    "an id in braces": (around(b'{"not_member_of": "{%b}"}' % str(uuid4()).encode()), ["criteria.not_member_of"]),
    "everything at once": (
        around(b'{"activity": {"name": 1, "where": []}, "sequence": 5, "member_of": [], "x": 1, "all": []}'),
        [f"criteria.{key}" for key in ("activity.name", "activity.where", "sequence", "member_of", "x", "all")],
    ),
}

#: The dearest bodies that fit: what it is -> (body, the status).
WORST: dict[str, tuple[bytes, int]] = {
    "blanks": (around(b"[" + b" " * 1_000_000 + b"]"), 422),
    "nested objects": (around(b'{"not":' * 100_000 + b"1" + b"}" * 100_000), 400),
    "nested lists": (around(b"[" * 500_000 + b"]" * 500_000), 400),
    "unknown criteria": (filled(b"{", b'"%d":1', b"}"), 422),
    "unknown criteria by hundreds": (filled(b'{"any":[' + b'{"any":[' * 8, ORDERS[:-1] + b',"x":1}', b"]}" * 9), 422),
    "empty criteria": (filled(b'{"any":[', b'{"all":[' + b"{}," * 199 + b"{}]}", b"]}"), 422),
    "predicates": (filled(b'{"any":[', b'{"all":[' + b",".join([ORDERS] * 200) + b"]}", b"]}"), 422),
    "entries of a list": (filled(b'{"purchased_products":[', b'"%d"', b"]}"), 422),
    "numbers of a list": (filled(b'{"traits":{"t":{"operator":"in","value":[', b"%d", b"]}}}"), 422),
    "fractions of a list": (filled(b'{"traits":{"t":{"operator":"in","value":[', b"0.%d", b"]}}}"), 422),
    "traits": (filled(b'{"traits":{', b'"%d":{"operator":"exists"}', b"}}"), 422),
    "one text": (around(b'{"member_of": "' + b"x" * 1_048_000 + b'"}'), 422),
    "one text of escapes": (around(b'{"activity": {"name": "' + b"\\ud83d\\ude00" * 87_000 + b'"}}'), 422),
    "one number": (around(b'{"total_spent": {"operator": "gt", "value": ' + b"9" * 1_048_000 + b"}}"), 400),
    "one fraction": (around(b'{"total_spent": {"operator": "gt", "value": 0.' + b"9" * 1_048_000 + b"}}"), 422),
}

ENTRIES = b",".join(b"%d" % number for number in range(1_000))
TEN_STEPS = sequence(
    *[b'{"activity": {"name": "a", "where": {"p": {"operator": "gt", "value": %d}}}}' % n for n in range(10)]
)
#: The largest that is right: what it is -> 200 predicates.
LARGEST = {
    "lists": b",".join([b'{"traits":{"t":{"operator":"in","value":[' + ENTRIES + b"]}}}"] * 200),
    "sequences": b",".join([TEN_STEPS[len(around(b"")) - 1 : -1]] * 200),
}


class TestRefused:
    """What does not follow the language."""

    @pytest.mark.parametrize("name", REFUSED)
    async def test_every_fault_with_its_path(self, untouched: Api, name: str) -> None:
        """The answer is a 422 with exactly these places, and nothing is stored."""
        body, paths = REFUSED[name]
        response = await untouched.send("POST", content=body)

        assert response.status_code == 422, response.text
        assert [fault.path for fault in Problem.model_validate(response.json()).errors] == paths
        assert (await untouched.catalogue())[0] == 0

    async def test_the_same_key_twice(self, untouched: Api) -> None:
        """Of two keys of one name one would be lost in silence, however deep they lie."""
        for criteria in (
            b'{"activity": {"name": "a", "name": "b"}}',
            b'{"activity": {"name": "a", "where": {"p": {"operator": "exists"}, "p": {"operator": "exists"}}}}',
            b'{"sequence": {"steps": [{"order": {}, "order": {}}], "within": {"days": 1}}}',
        ):
            response = await untouched.send("POST", content=around(criteria))

            assert response.status_code == 400
            assert "twice" in response.json()["message"]

    @pytest.mark.parametrize("method", ["POST", "PUT"])
    async def test_a_segment_that_is_not_there(self, api: Api, method: str) -> None:
        """An id that names nothing is refused where it stands."""
        segment = await api.create()
        path = f"/{segment['id']}" if method == "PUT" else ""
        criteria = {"any": [{}, {"not": {"member_of": str(uuid4())}}]}
        response = await api.send(method, path, json={"segment_name": "y", "criteria": criteria})

        assert response.status_code == 422
        assert [fault["path"] for fault in response.json()["errors"]] == ["criteria.any[1].not.member_of"]


class TestWorst:
    """The largest and most crooked bodies."""

    @pytest.mark.parametrize("name", WORST)
    async def test_answered(self, untouched: Api, name: str) -> None:
        """A body of 1 MiB is refused with few words, whatever is in it; `pytest -rP` shows how long that took."""
        body, status = WORST[name]
        assert len(body) <= BODY_BYTES_MAX
        started = time.perf_counter()
        response = await untouched.send("POST", content=body)
        print(f"{(time.perf_counter() - started) * 1_000:.0f} ms, {len(body)} bytes, {response.text[:200]}")  # noqa: T201

        problem = Problem.model_validate(response.json())
        assert response.status_code == status, response.text[:1_000]
        assert len(problem.errors) <= 100
        assert len(response.content) < 100_000
        assert (await untouched.catalogue())[0] == 0

    @pytest.mark.parametrize("name", LARGEST)
    async def test_the_largest_that_is_right(self, api: Api, name: str) -> None:
        """What is exactly as large as the limits allow is stored, and read again."""
        body = around(b'{"any":[' + LARGEST[name] + b"]}")
        assert len(body) <= BODY_BYTES_MAX
        started = time.perf_counter()
        response = await api.send("POST", content=body)
        print(f"{(time.perf_counter() - started) * 1_000:.0f} ms, {len(body)} bytes")  # noqa: T201

        assert response.status_code == 201, response.text[:1_000]
        known = (await api.send("GET", f"/{response.json()['data']['id']}")).json()["data"]
        assert len(known["criteria"]["any"]) == 200
