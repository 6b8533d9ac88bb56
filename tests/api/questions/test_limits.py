"""What protects the database from questions."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import text

from service.api import questions
from tests.api.people import People
from tests.api.support import Api


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
