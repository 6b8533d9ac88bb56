"""What a message says to one customer: the values of its templates, its links, and the text that comes of them."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from service.app.campaigns.templates import CampaignTemplate, Rendered
from service.app.dispatch.model import Person
from service.core.campaigns import links
from service.core.campaigns.links import Link, Purpose
from service.core.campaigns.model import Campaign
from service.core.instants import to_datetime

UNSUBSCRIBE_PATH: Final = "/u/"
CLICK_PATH: Final = "/t/c/"
OPEN_PATH: Final = "/t/o/"
OPEN_SUFFIX: Final = ".gif"


@dataclass(frozen=True)
class LinkWriter:
    """Addresses that lead to this API; none where it has no public one.

    Attributes:
        base: of the API as recipients reach it, without a slash at its end.
        key: signs.
    """

    base: str | None
    key: bytes

    def unsubscribe(self, campaign: Campaign, message_id: UUID) -> str | None:
        """Where this message's recipient says no; transactional messages have none."""
        if not campaign.is_marketing:
            return None
        return self._url(UNSUBSCRIBE_PATH, Link(Purpose.UNSUBSCRIBE, message_id))

    def click(self, message_id: UUID, index: int) -> str:
        """In place of the link with this index; only where there is a base."""
        return self._url(CLICK_PATH, Link(Purpose.CLICK, message_id, index)) or ""

    def pixel(self, message_id: UUID) -> str | None:
        """An image that says that the message was opened."""
        url = self._url(OPEN_PATH, Link(Purpose.OPEN, message_id))
        return None if url is None else url + OPEN_SUFFIX

    def _url(self, path: str, link: Link) -> str | None:
        return None if self.base is None else f"{self.base}{path}{links.sign(self.key, link)}"


def values_of(
    campaign: Campaign,
    segment_name: str,
    person: Person,
    *,
    joined_at: int | None,
    code: str | None,
    unsubscribe_url: str | None,
) -> dict[str, Any]:
    """What templates may name (app.campaigns.templates.VARIABLES); None where it is not there.

    Args:
        campaign: whose message.
        segment_name: of the campaign's segment.
        person: whom to.
        joined_at: when they joined it, microseconds.
        code: the discount code.
        unsubscribe_url: of this message.
    """
    return {
        "customer": {
            "id": str(person.customer_id),
            "first_name": person.first_name,
            "last_name": last_name(person),
            "name": person.name,
            "email": person.email,
            "country": person.country,
            "city": person.city,
            "total_orders": person.total_orders,
            "total_spent": Decimal(person.total_spent).scaleb(-2),
            "last_order_date": None if person.last_order_at is None else to_datetime(person.last_order_at),
        },
        "segment": {"name": segment_name, "joined_at": None if joined_at is None else to_datetime(joined_at)},
        "campaign": {"name": campaign.campaign_name},
        "discount": {"code": code, "amount": campaign.discount_amount, "type": campaign.discount_type},
        "unsubscribe_url": unsubscribe_url,
    }


def last_name(person: Person) -> str | None:
    """What follows the first name in the name, where it stands in front."""
    if not person.name or not person.first_name or not person.name.startswith(f"{person.first_name} "):
        return None
    return person.name[len(person.first_name) :].strip() or None


def render(
    template: CampaignTemplate, campaign: Campaign, message_id: UUID, values: dict[str, Any], writer: LinkWriter
) -> Rendered:
    """The message's parts; where it is tracked, links lead by way of this API.

    Raises:
        RenderError: it cannot be rendered for this customer.
    """
    if writer.base is None or not campaign.options.is_tracked:
        return template.render(values)
    pixel = writer.pixel(message_id) if campaign.channel == "email" else None
    return template.render(values, wrap=lambda index, _: writer.click(message_id, index), pixel_url=pixel)
