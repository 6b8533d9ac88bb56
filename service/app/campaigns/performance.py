"""What came of a campaign: how many it reached, what they did, what it earned and what it cost.

docs/campaigns-measurement.md says how each figure is computed. Counts are always counts of messages, never tallies.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, Protocol
from uuid import UUID

from service.core import instants, money
from service.core.campaigns.model import Campaign
from service.core.campaigns.returns import Line, costs_of, discount_given, return_on
from service.core.campaigns.touches import WITHOUT_OPENS
from service.core.ratios import percent, ratio


@dataclass(frozen=True)
class Counts:
    """Messages of one campaign, of those that were sent (or may have been).

    Attributes:
        delivered: by SMTP of our own all that did not bounce; by others those that were reported as delivered.
        opened, clicked: by people, not by machines; each message once.
        machine_opened: opened by a person or a machine.
        converted: recipients with an order that is credited to the campaign.
        charged: messages as they are charged: parts of an SMS each, others once.
        control: customers who were held out.
    """

    recipients: int = 0
    delivered: int = 0
    opened: int = 0
    machine_opened: int = 0
    clicked: int = 0
    unsubscribed: int = 0
    complained: int = 0
    bounced: int = 0
    converted: int = 0
    charged: int = 0
    control: int = 0


NOTHING = Counts()


def mean_percent(parts: Iterable[tuple[int, int]]) -> Fraction:
    """The mean of shares in percent, exact; 0 where there is none. Each share counts alike, however much it is of."""
    shares = [Fraction(100 * part, whole) for part, whole in parts if whole]
    return sum(shares, Fraction(0)) / len(shares) if shares else Fraction(0)


def converted_by_campaign(credited: Iterable[tuple[UUID, UUID, UUID]]) -> Mapping[UUID, int]:
    """How many recipients bought, by campaign.

    Args:
        credited: campaign, customer and recipient of each order; who used another's code is no conversion of either.
    """
    found: dict[UUID, set[UUID]] = {}
    for campaign_id, customer_id, owner_id in credited:
        if customer_id == owner_id:
            found.setdefault(campaign_id, set()).add(customer_id)
    return {campaign_id: len(customers) for campaign_id, customers in found.items()}


@dataclass(frozen=True)
class Order:
    """An order credited to a campaign; money in minor units.

    Attributes:
        customer_id, owner_id: whose order it is, and to whom the message went.
        code: that was used with it and decided whose it is; None where a touch did.
        is_unique: the code was one recipient's alone.
        given, lines: what the order says of the code's worth; see core.campaigns.returns.
    """

    customer_id: UUID
    owner_id: UUID
    total: int
    revenue: int
    code: str | None = None
    is_unique: bool = False
    given: str | None = None
    lines: Sequence[Line] = ()


@dataclass(frozen=True)
class Found:
    """All that was read about a campaign at an instant."""

    counts: Counts
    orders: Sequence[Order]


class PerformanceStore(Protocol):
    """The reads of an answer, all of one instant."""

    async def found(self, campaign_id: UUID, as_of: int) -> Found:
        """Messages and orders of a campaign."""
        ...


async def performance(store: PerformanceStore, campaign: Campaign, as_of: int) -> dict[str, Any]:
    """What came of a campaign up to an instant (microseconds), as the API shows it."""
    return performance_data(campaign, await store.found(campaign.id, as_of), as_of)


def performance_data(campaign: Campaign, found: Found, as_of: int) -> dict[str, Any]:
    """The figures: the guide's names first."""
    counts, orders, options = found.counts, found.orders, campaign.options
    revenue = sum(one.revenue for one in orders)
    discounts = sum(_discount(campaign, one) for one in orders if one.code is not None)
    costs = costs_of(counts.charged, options.cost_per_message, options.fixed_cost, discounts)
    earned = return_on(revenue, costs, options.gross_margin)
    return {
        "campaign_id": campaign.id,
        "recipients_count": counts.recipients,
        "opened_count": counts.opened,
        "clicked_count": counts.clicked,
        "converted_count": counts.converted,
        **rates_of(counts),
        "roi": earned.percent,
        "roi_defined": earned.is_defined,
        "attributed_revenue": money.to_text(revenue),
        "cost": money.to_text(costs.total),
        "discount_given": money.to_text(discounts),
        "delivered": counts.delivered,
        "opened_incl_machine": counts.machine_opened,
        "unsubscribed_count": counts.unsubscribed,
        "complained_count": counts.complained,
        "bounced_count": counts.bounced,
        "control_count": counts.control,
        "attributed_orders": len(orders),
        "redeemed_count": sum(one.code is not None for one in orders),
        "redeemed_by_other": sum(one.is_unique and one.customer_id != one.owner_id for one in orders),
        "redeemed_again": _again(orders),
        "as_of": instants.to_text(as_of),
    }


def rates_of(counts: Counts) -> dict[str, Decimal]:
    """Shares in percent; 0 of nothing."""
    return {
        "delivery_rate": percent(counts.delivered, counts.recipients),
        "open_rate": percent(counts.opened, counts.delivered),
        "click_rate": percent(counts.clicked, counts.delivered),
        "conversion_rate": percent(counts.converted, counts.delivered),
        "click_to_open": percent(counts.clicked, counts.opened),
        "unsubscribe_rate": percent(counts.unsubscribed, counts.delivered),
        "complaint_rate": percent(counts.complained, counts.delivered),
        "bounce_rate": percent(counts.bounced, counts.recipients),
    }


def mean_rates(campaigns: Sequence[tuple[str, Counts]]) -> tuple[Decimal, Decimal, Decimal]:
    """Mean open, click and conversion rates of campaigns, given as (channel, counts).

    A campaign that reached nobody is left out, and so is one whose channel cannot tell opens from their mean.
    """
    opens = [(one.opened, one.delivered) for channel, one in campaigns if channel not in WITHOUT_OPENS]
    clicks = [(one.clicked, one.delivered) for _, one in campaigns]
    conversions = [(one.converted, one.delivered) for _, one in campaigns]
    means = [mean_percent(parts) for parts in (opens, clicks, conversions)]
    first, second, third = (ratio(mean.numerator, mean.denominator, 2) for mean in means)
    return first, second, third


def _discount(campaign: Campaign, order: Order) -> int:
    kind, amount = campaign.discount_type, campaign.discount_amount
    return discount_given(order.given, order.lines, order.total, kind, amount)


def _again(orders: Sequence[Order]) -> int:
    """How often a code that was good for one order was used once more."""
    used = Counter(one.code for one in orders if one.is_unique)
    return sum(count - 1 for count in used.values())
