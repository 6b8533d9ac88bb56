"""Templates are read beside the event loop: a hostile one holds up nobody else's requests."""

from __future__ import annotations

import dataclasses
import threading

from service.adapters.liquid import LiquidTemplates
from service.api.campaign_rules import CampaignRules
from service.app.campaigns.templates import CampaignTemplate
from service.core.campaigns.model import Campaign
from tests.api.campaigns.support import LATER, Campaigns


class Watched(LiquidTemplates):
    """Notes the threads that it works in."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: list[int] = []

    def compile(self, campaign: Campaign) -> CampaignTemplate:
        """See LiquidTemplates."""
        self.threads.append(threading.get_ident())
        return super().compile(campaign)


class TestCompiling:
    """Previews and beginnings."""

    async def test_not_in_the_event_loop(self, campaigns: Campaigns) -> None:
        """Wherever a template is read."""
        rules: CampaignRules = campaigns.api.app.state.campaigns
        watched = Watched()
        campaigns.api.app.state.campaigns = dataclasses.replace(rules, templates=watched)
        made = (await campaigns.create())["id"]
        assert (await campaigns.act(made, "preview", json={"sample": 0})).status_code == 200
        assert (await campaigns.act(made, "schedule", json={"scheduled_at": LATER})).status_code == 200
        other = (await campaigns.create())["id"]
        assert (await campaigns.act(other, "send")).status_code == 200
        assert len(watched.threads) >= 4
        assert threading.get_ident() not in watched.threads
