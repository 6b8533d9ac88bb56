"""What a campaign would say and to how many, before anything is sent; nothing is stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from service.app.campaigns.templates import CampaignTemplate, RenderError
from service.app.dispatch.content import values_of
from service.app.dispatch.model import Person
from service.app.members import mask_email, mask_text
from service.core.campaigns import sms_text
from service.core.campaigns.model import Campaign

SAMPLE_MAX: Final = 20
SAMPLE_DEFAULT: Final = 3
#: Stands where a code of the recipient's own will; as long as one, and no valid one.
_CODE: Final = "XXXXXXXXXX"
_MASKS: Final = {"name": mask_text, "first_name": mask_text, "last_name": mask_text, "email": mask_email}


class Reach(NamedTuple):
    """Members of the segment by what would become of their message.

    Attributes:
        eligible: would get it, though quiet hours and caps may hold it back.
        control: held out, to compare with.
        suppressed: why the others would get nothing; only reasons that occur.
    """

    size: int
    eligible: int
    control: int
    suppressed: dict[str, int]


def rendered_for(
    people: Sequence[Person],
    template: CampaignTemplate,
    campaign: Campaign,
    segment_name: str,
    *,
    unsubscribe_url: str,
    code: str | None = None,
    can_read_pii: bool,
) -> list[dict[str, Any]]:
    """The campaign's parts for each of these, or why it cannot be rendered (PreviewedData). Pure CPU.

    Args:
        people: customers.
        template: the campaign's.
        campaign: what is sent.
        segment_name: of its segment.
        unsubscribe_url: leads nowhere.
        code: stands for the discount code; None: the shared one, or one that shows how long it is.
        can_read_pii: otherwise names and e-mails are masked.
    """
    shown = []
    for person in people:
        values = values_of(
            campaign,
            segment_name,
            person,
            joined_at=person.joined_at,
            code=code or sample_code(campaign),
            unsubscribe_url=unsubscribe_url if campaign.is_marketing else None,
        )
        if not can_read_pii:
            customer = values["customer"]
            customer |= {name: mask(customer[name]) for name, mask in _MASKS.items()}
        one = {"customer_id": str(person.customer_id), "external_id": person.external_id or str(person.customer_id)}
        shown.append({**one, **_parts(template, campaign, values)})
    return shown


def sample_code(campaign: Campaign) -> str | None:
    """The shared code, or one that shows what a recipient's own will look like."""
    generator = campaign.options.code_generator
    return campaign.discount_code if generator is None else f"{generator.prefix}{_CODE}"


def _parts(template: CampaignTemplate, campaign: Campaign, values: dict[str, Any]) -> dict[str, Any]:
    try:
        found = template.render(values)
    except RenderError as error:
        return {"subject": None, "title": None, "text": None, "html": None, "sms_segments": None, "error": str(error)}
    return {
        "subject": found.subject,
        "title": found.title,
        "text": found.text,
        "html": found.html,
        "sms_segments": sms_text.segments(found.text) if campaign.channel == "sms" else None,
        "error": None,
    }
