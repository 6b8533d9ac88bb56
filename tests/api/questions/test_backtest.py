"""Whom a definition would have had at past instants."""

from __future__ import annotations

from uuid import uuid4

import pytest

from service.core import instants
from tests.api.people import People
from tests.api.questions.support import DAY, RECENT, backtest
from tests.api.support import NOW, Api


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
