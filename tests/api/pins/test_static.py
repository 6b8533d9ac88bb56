"""Customers added to lists and removed from them by hand."""

from __future__ import annotations

import pytest

from service.app import pins
from tests.api.people import People
from tests.api.pins.support import Segment
from tests.api.support import Api


class TestStatic:
    """Pins of a list are its members."""

    async def test_add_and_remove(self, api: Api, people: People) -> None:
        """Added customers are members; removed ones leave and no pin remains."""
        listed = Segment(api, await api.create(segment_type="static", criteria={}))
        assert await listed.add("C-1", "C-2") == {"added": 2}
        assert await listed.add("C-2", "C-3") == {"added": 1, "unchanged": 1}
        assert await listed.remove("C-1", "C-1", "C-9") == {"removed": 1, "unknown": 1, "unknown_ids": ["C-9"]}
        assert await listed.remove("C-1") == {"unchanged": 1}

        assert await people.members(listed.id) == ["C-2", "C-3"]
        assert await people.pinned(listed.id) == {"C-2": "included", "C-3": "included"}
        assert sorted(await people.changes("Big spenders")) == [
            ("C-1", "joined", "manual"),
            ("C-1", "left", "manual"),
            ("C-2", "joined", "manual"),
            ("C-3", "joined", "manual"),
        ]

    async def test_unpin_all(self, api: Api, people: People, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without a body all pins go, however many transactions that takes; then there is nothing left to do."""
        monkeypatch.setattr(pins, "CUSTOMERS_AT_ONCE_MAX", 3)
        listed = Segment(api, await api.create(segment_type="static", criteria={}))
        other = Segment(api, await api.create(segment_type="static", criteria={}))
        await other.add("C-1")
        await listed.add(*(f"C-{number}" for number in range(10)))

        assert await listed.unpin() == {"removed": 10}
        assert await listed.unpin() == {}
        assert await people.members(listed.id) == []
        assert await people.members(other.id) == ["C-1"]
