"""Customers to ask about."""

from __future__ import annotations

import pytest

from tests.api.people import People
from tests.api.questions.support import DAY
from tests.api.support import NOW, Api


@pytest.fixture
async def people(api: Api) -> People:
    """Ann has bought for 700, Bob for 40 long ago, Cleo nothing."""
    made = People(api)
    attributes = {"name": "Ann Ash", "email": "ann@example.com", "phone": "+15550142", "location": {"country": "GB"}}
    await made.event("customer.registered", "ann", NOW - 5 * DAY, **attributes)
    await made.order("ann", 600, NOW - 3 * DAY)
    await made.order("ann", 100, NOW - 2 * DAY)
    await made.order("bob", 40, NOW - 30 * DAY)
    await made.event("customer.logged_in", "cleo")
    return made
