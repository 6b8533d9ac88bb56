"""A segment to pin customers in."""

from __future__ import annotations

import pytest

from tests.api.people import People
from tests.api.pins.support import Segment
from tests.api.support import Api


@pytest.fixture
async def big(api: Api, people: People) -> Segment:
    """A dynamic segment with one member, rich, and one who is none, poor."""
    made = await api.create()
    await people.order("rich", 600)
    await people.order("poor", 10)
    return Segment(api, made)
