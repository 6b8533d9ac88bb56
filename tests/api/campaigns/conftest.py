"""Campaigns on an application of their own."""

from __future__ import annotations

import pytest

from tests.api.campaigns.support import Campaigns
from tests.api.support import Api


@pytest.fixture
async def campaigns(api: Api) -> Campaigns:
    """Campaigns of a segment without members."""
    return Campaigns(api, (await api.create())["id"])
