"""What becomes of a message that waits again while its campaign ends."""

from __future__ import annotations

from uuid import UUID

import pytest

from service.adapters.postgres.campaigns.attempts import _told_over
from service.app.dispatch.outcomes import Finished
from tests.unit.dispatch.test_outcomes import lease


@pytest.mark.parametrize(
    ("campaign", "state"),
    [
        ("active", "pending"),
        ("paused", "pending"),
        ("sent", "pending"),  # the campaign goes on for it
        ("cancelled", "suppressed"),
        ("failed", "suppressed"),
        (None, "suppressed"),
    ],
)
def test_by_the_state_of_its_campaign(campaign: str | None, state: str) -> None:
    """Of what was cancelled nothing waits; what asks for another attempt is no cancelled message."""
    one = lease()
    states = {} if campaign is None else {one.campaign_id: campaign}
    assert _told_over((one, Finished("pending")), states)[1].state == state
    assert one.campaign_id == UUID(int=1)
