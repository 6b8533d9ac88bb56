"""Which campaign each order belongs to and what that comes to, in plain Python; shares nothing with the service.

It goes through the orders one by one and asks of each, where the service joins tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal

from tests.analytics_oracle import Purse, quotient

HOUR = 3_600_000_000
DAY = 24 * HOUR
SPANS = {
    ("email", "clicked"): 5 * DAY,
    ("email", "opened"): 5 * DAY,
    ("sms", "clicked"): 5 * DAY,
    ("sms", "delivered"): 12 * HOUR,
    ("notification", "clicked"): DAY,
    ("notification", "opened"): DAY,
}


@dataclass
class Sent:
    """A message; instants in microseconds. Contacts: (kind, at, is_machine)."""

    id: str
    campaign: str
    customer: str
    channel: str
    sent_at: int
    contacts: list[tuple[str, int, bool]] = field(default_factory=list)
    code: str | None = None

    def first(self, kind: str, at: int) -> bool:
        """Whether a person did so by then."""
        return any(one == kind and when <= at and not machine for one, when, machine in self.contacts)


@dataclass
class Result:
    """Of one campaign."""

    recipients: int = 0
    delivered: int = 0
    opened: int = 0
    clicked: int = 0
    converted: set[str] = field(default_factory=set)
    orders: set[tuple[str | None, str]] = field(default_factory=set)
    revenue: Decimal = Decimal(0)
    discounts: Decimal = Decimal(0)
    by_other: int = 0

    def figures(self) -> dict[str, object]:
        """Under the names of the API, as far as they follow from these."""
        return {
            "recipients_count": self.recipients,
            "delivered": self.delivered,
            "opened_count": self.opened,
            "clicked_count": self.clicked,
            "converted_count": len(self.converted),
            "delivery_rate": quotient(100 * self.delivered, self.recipients),
            "open_rate": quotient(100 * self.opened, self.delivered),
            "click_rate": quotient(100 * self.clicked, self.delivered),
            "conversion_rate": quotient(100 * len(self.converted), self.delivered),
            "click_to_open": quotient(100 * self.clicked, self.opened),
            "attributed_orders": len(self.orders),
            "attributed_revenue": str(self.revenue.quantize(Decimal("0.01"))),
            "discount_given": str(self.discounts.quantize(Decimal("0.01"), ROUND_HALF_UP)),
            "redeemed_by_other": self.by_other,
        }


class Attribution:
    """A world at an instant.

    Args:
        purses: customer (None for guests) -> orders and refunds up to the instant.
        codes: (customer, order) -> codes used with it and what each took off.
        sent: every message of every campaign.
        shared: campaign -> its code that is the same for all.
        at: the instant.
    """

    def __init__(
        self,
        purses: dict[str | None, Purse],
        codes: dict[tuple[str | None, str], list[tuple[str, Decimal]]],
        sent: Sequence[Sent],
        shared: dict[str, str],
        at: int,
    ) -> None:
        self.purses, self.codes, self.shared, self.at = purses, codes, shared, at
        self.sent = [one for one in sent if one.sent_at <= at]

    def results(self) -> dict[str, Result]:
        """By campaign; those that sent nothing are left out."""
        found: dict[str, Result] = {}
        for one in self.sent:
            result = found.setdefault(one.campaign, Result())
            result.recipients += 1
            result.delivered += one.first("delivered", self.at)
            result.opened += one.first("opened", self.at)
            result.clicked += one.first("clicked", self.at)
        for customer, purse in self.purses.items():
            for order, placed in purse.placed(self.at).items():
                self._credit(found, customer, order, placed)
        return found

    def _credit(self, found: dict[str, Result], customer: str | None, order: str, placed: int) -> None:
        by_code = self._by_code(customer, order, placed)
        winner = by_code[0] if by_code else self._by_touch(customer, placed)
        if winner is None:
            return
        result = found.setdefault(winner.campaign, Result())
        result.orders.add((customer, order))
        result.revenue += self._revenue(customer, order)
        if by_code is not None:
            result.discounts += by_code[1]
        if winner.customer == customer:
            result.converted.add(winner.customer)
        elif by_code is not None:
            result.by_other += 1

    def _revenue(self, customer: str | None, order: str) -> Decimal:
        purse = self.purses[customer]
        back = sum((one[2] for one in purse.refunds if one[1] == order and one[0] <= self.at), Decimal(0))
        return purse.orders[order][2] - back

    def _by_code(self, customer: str | None, order: str, placed: int) -> tuple[Sent, Decimal] | None:
        own, common = [], []
        for code, amount in self.codes.get((customer, order), []):
            name = code.strip().upper()
            own += [(one, amount) for one in self.sent if one.code == name]
            common += [
                (one, amount)
                for one in self.sent
                if self.shared.get(one.campaign, "").upper() == name
                and one.customer == customer
                and one.sent_at <= placed
            ]
        best = own or common
        return max(best, key=lambda pair: (pair[0].sent_at, pair[0].id), default=None)

    def _by_touch(self, customer: str | None, placed: int) -> Sent | None:
        touches = [
            (when, kind == "clicked", one.id, one)
            for one in self.sent
            if one.customer == customer
            for kind, when, machine in one.contacts
            if not machine
            and when <= min(placed, self.at)
            and placed <= one.sent_at + SPANS.get((one.channel, kind), -(10**18))
        ]
        return max(touches, key=lambda touch: touch[:3])[3] if touches else None
