"""What is wrong with a campaign, all of it at once: of a draft little, of one that is to begin everything."""

from __future__ import annotations

from collections.abc import Sequence

from service.app.campaigns.campaigns import CampaignRefused
from service.app.campaigns.templates import CampaignTemplate, TemplateError, Templates
from service.core.campaigns.faults import Fault
from service.core.campaigns.model import Campaign
from service.core.campaigns.validate import faults_of_draft, faults_of_whole


def check_draft(campaign: Campaign) -> None:
    """Refuses what cannot even be kept as a draft.

    Raises:
        CampaignRefused: with every fault.
    """
    faults = faults_of_draft(campaign)
    if faults:
        raise CampaignRefused(faults)


def check_whole(campaign: Campaign, now: int, templates: Templates, found: Sequence[Fault] = ()) -> None:
    """Refuses a campaign that cannot begin as it is.

    Args:
        campaign: as it would begin.
        now: by the service's clock, microseconds.
        templates: compile what it says.
        found: what was found wrong already.

    Raises:
        CampaignRefused: with every fault.
    """
    faults = [*found, *faults_of_whole(campaign, now)]
    try:
        templates.compile(campaign)
    except TemplateError as error:
        faults += [Fault(*one) for one in error.faults]
    if faults:
        raise CampaignRefused(faults)


def compiled(templates: Templates, campaign: Campaign) -> CampaignTemplate:
    """What the campaign says, ready to be rendered.

    Raises:
        CampaignRefused: with every fault of its templates.
    """
    try:
        return templates.compile(campaign)
    except TemplateError as error:
        raise CampaignRefused([Fault(*one) for one in error.faults]) from None
