"""Changes by hand at the same time as others, and at which instant."""

from __future__ import annotations

import asyncio

import pytest

from service.app import pins
from tests.api.people import People, ids
from tests.api.pins.support import Segment
from tests.api.support import NOW, Api


class TestAtOnce:
    """Requests at the same time."""

    async def test_the_same_customers(self, api: Api, people: People) -> None:
        """Of many requests at once for the same unknown customers each customer is made and published once."""
        listed = Segment(api, await api.create(segment_type="static", criteria={}))
        names = [f"C-{number}" for number in range(40)]
        found = await asyncio.gather(*(listed.add(*names[start:], *names[:start]) for start in range(0, 40, 8)))

        assert sum(one.get("added", 0) for one in found) == 40
        assert sum(one.get("unchanged", 0) for one in found) == 160
        assert sorted(await people.changes("Big spenders")) == sorted((one, "joined", "manual") for one in names)

    async def test_with_events(self, api: Api, people: People) -> None:
        """A customer whose first event comes at the same time is one customer, in the list and known."""
        listed = Segment(api, await api.create(segment_type="static", criteria={}))

        async def order(name: str) -> None:
            for _ in range(5):
                try:
                    return await people.order(name, 10)
                except Exception as error:
                    assert "unique" in str(error)  # noqa: PT017 - as the consumer, which tries again
            raise AssertionError

        names = [f"C-{number}" for number in range(10)]
        await asyncio.gather(*(order(name) for name in names), *(listed.add(name) for name in names))

        assert await people.members(listed.id) == names
        assert len(await people.changes("Big spenders")) == 10

    async def test_others_keep_coming_first(self, api: Api, big: Segment, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where the same rows are changed again and again by others, the answer is a 503 that says to try again."""

        async def refuse(*_: object) -> None:
            raise pins.Contention

        monkeypatch.setattr(pins, "_pin", refuse)
        response = await api.send("POST", f"/{big.id}/customers", json=ids("poor"))

        assert response.status_code == 503
        assert response.headers["retry-after"]

    async def test_the_instant(self, people: People, big: Segment) -> None:
        """A change by hand takes effect at the clock's instant."""
        await big.add("poor")

        assert (await people.published())[-1].at == NOW
