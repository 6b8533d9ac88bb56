"""Dead letters over HTTP."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError

from service.api.letters import Redriving
from service.app.tokens import Permission
from tests.api.support import Api, bearer, token

PATH = "/dead-letters"
INSERT = """
INSERT INTO dead_letters (reason, error, topic, partition, "offset", key, value, headers, at)
SELECT CASE n % 2 WHEN 0 THEN 'invalid_data' ELSE 'invalid_json' END, 'Wrong.', 'orders', 0, n, 'ann', '{"name":"Ann"}',
       '[["ce_id", "Ann"]]', TIMESTAMPTZ '2024-01-01 00:00:00Z' + make_interval(days => n)
FROM generate_series(1, CAST(:count AS integer)) n
"""
FAILS_AGAIN = """
INSERT INTO dead_letters (reason, error, topic, partition, "offset", value)
SELECT 'invalid_json', '', 'orders', 0, max("offset") + 1, 'x' FROM dead_letters
"""


class Sent:
    """A publisher that keeps what it is given, or a broker that is away."""

    def __init__(self) -> None:
        self.records: list[tuple] = []
        self.opened = 0
        self.error: Exception | None = None

    async def add(self, *record: Any) -> None:
        """Keeps it."""
        self.records.append(record)

    async def flush(self) -> None:
        """All is there."""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Sent]:
        """This one."""
        self.opened += 1
        if self.error:
            raise self.error
        yield self


@pytest.fixture
def sent(api: Api) -> Sent:
    """What redrives of this application publish."""
    made = Sent()
    api.app.state.redriving = Redriving(made.open, ("orders", "customers"))
    return made


class TestList:
    """GET /dead-letters."""

    async def test_pages(self, api: Api) -> None:
        """Newest first, by pages, each letter once, with the total; without what the records held."""
        await api.run(INSERT, count=5)
        offsets, cursor = [], None
        for _ in range(3):
            params = {"limit": 2, **({"cursor": cursor} if cursor else {})}
            response = await api.send("GET", PATH, params=params)
            assert response.status_code == 200
            data = response.json()["data"]
            offsets += [one["offset"] for one in data["items"]]
            assert data["total"] == 5
            assert "value" not in data["items"][0]
            cursor = data["next_cursor"]

        assert (offsets, cursor) == ([5, 4, 3, 2, 1], None)

    async def test_filters(self, api: Api) -> None:
        """By reason, topic and since."""
        await api.run(INSERT, count=6)

        async def total(**params: str) -> int:
            return (await api.send("GET", PATH, params=params)).json()["data"]["total"]

        assert await total(reason="invalid_json") == 3
        assert await total(topic="customers") == 0
        assert await total(since="2024-01-05T00:00:00Z") == 3
        assert await total(since="2024-01-05T00:00:00Z", reason="invalid_json") == 1

    @pytest.mark.parametrize(
        "params", [{"since": "soon"}, {"cursor": "x"}, {"cursor": "0"}, {"limit": 0}, {"reason": "\0"}, {"why": "a"}]
    )
    async def test_refused(self, shared: Api, params: dict) -> None:
        """Parameters that mean nothing are a 422 that names them."""
        response = await shared.send("GET", PATH, params=params)

        assert response.status_code == 422
        assert response.json()["errors"][0]["path"] == next(iter(params))


class TestShow:
    """GET /dead-letters/:id."""

    async def test_masked_without_permission(self, api: Api) -> None:
        """Who may not read personal data sees where and why, and not what the record held."""
        await api.run(INSERT, count=1)
        letter = (await api.send("GET", PATH)).json()["data"]["items"][0]["id"]

        whole = (await api.send("GET", f"{PATH}/{letter}")).json()["data"]
        headers = bearer(token(Permission.READ))
        masked = (await api.send("GET", f"{PATH}/{letter}", headers=headers)).json()["data"]

        assert (whole["key"], whole["value"], whole["headers"]) == ("ann", '{"name":"Ann"}', [["ce_id", "Ann"]])
        assert base64.b64decode(whole["value_base64"]) == b'{"name":"Ann"}'
        assert (masked["is_masked"], masked["error"], masked["offset"]) == (True, "Wrong.", 1)
        assert "nn" not in str({name: value for name, value in masked.items() if name != "at"})
        assert masked["headers"] == [["ce_id", "***"]]

    @pytest.mark.parametrize("letter", ["7", "0", "-1", "x", "9" * 19, "9" * 30, "redrive"])
    async def test_missing(self, shared: Api, letter: str) -> None:
        """What is no letter is a 404."""
        assert (await shared.send("GET", f"{PATH}/{letter}")).status_code == 404


class TestRedrive:
    """POST /dead-letters/redrive."""

    async def test_by_filter_and_once(self, api: Api, sent: Sent) -> None:
        """Oldest first, up to the limit, with what still waits; what was redriven is not taken again unless asked."""
        await api.run(INSERT, count=5)

        async def post(**body: Any) -> dict:
            response = await api.send("POST", f"{PATH}/redrive", json=body)
            assert response.status_code == 200, response.text
            return response.json()["data"]

        first = await post(reason="invalid_json", limit=2)
        second = await post(reason="invalid_json")
        third = await post(reason="invalid_json")
        again = await post(reason="invalid_json", again=True)

        assert (len(first["redriven"]), first["waiting"]) == (2, 1)
        assert (len(second["redriven"]), second["waiting"]) == (1, 0)
        assert third["redriven"] == []
        assert len(again["redriven"]) == 3
        assert sent.records[0] == ("orders", b"ann", b'{"name":"Ann"}', [("ce_id", b"Ann")])
        assert (len(sent.records), sent.opened) == (6, 3)
        items = (await api.send("GET", PATH)).json()["data"]["items"]
        assert [one["redrives"] for one in items] == [2, 0, 2, 0, 2]

    async def test_never_in_a_circle(self, api: Api, sent: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
        """What fails again at once is a new letter, and waits for another redrive."""
        monkeypatch.setattr("service.adapters.postgres.letters.LETTERS_MAX", 1)
        await api.run(INSERT, count=5)

        async def fails_again() -> None:
            await api.run(FAILS_AGAIN)

        monkeypatch.setattr(sent, "flush", fails_again)
        response = await api.send("POST", f"{PATH}/redrive", json={"reason": "invalid_json"})

        assert (len(response.json()["data"]["redriven"]), response.json()["data"]["waiting"]) == (3, 3)

    async def test_by_ids(self, api: Api, sent: Sent) -> None:
        """Each id that cannot be redriven is told with its reason; the others go out."""
        await api.run(INSERT, count=1)
        letter = (await api.send("GET", PATH)).json()["data"]["items"][0]["id"]

        data = (await api.send("POST", f"{PATH}/redrive", json={"ids": [letter, 99]})).json()["data"]

        assert data["redriven"] == [letter]
        assert data["refused"] == [{"id": 99, "error": "There is no dead letter 99."}]

    @pytest.mark.parametrize(
        "body", [{}, {"ids": []}, {"ids": [1], "reason": "x"}, {"ids": ["a"]}, {"ids": [0]}, {"since": "x"}, {"id": 1}]
    )
    async def test_refused(self, api: Api, sent: Sent, body: dict) -> None:
        """A body that does not say which letters are meant is a 422, and nothing is published."""
        response = await api.send("POST", f"{PATH}/redrive", json=body)

        assert (response.status_code, sent.records) == (422, [])

    async def test_paths_are_written_as_elsewhere(self, api: Api, sent: Sent) -> None:
        """An id that is none is named by its place in the list, in brackets."""
        response = await api.send("POST", f"{PATH}/redrive", json={"ids": [1, "a", 0]})

        assert [fault["path"] for fault in response.json()["errors"]] == ["ids[1]", "ids[2]"]

    async def test_broker_away(self, api: Api, sent: Sent) -> None:
        """Without a broker the answer is 503, and nothing is marked."""
        await api.run(INSERT, count=1)
        sent.error = KafkaConnectionError()

        response = await api.send("POST", f"{PATH}/redrive", json={"topic": "orders"})

        assert response.status_code == 503
        assert (await api.send("GET", PATH)).json()["data"]["items"][0]["redrives"] == 0
