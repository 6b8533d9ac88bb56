"""What analytics must say, from events and stays in plain Python; shares nothing with the service.

It asks what a customer's orders had come to at instants, where the service sums a ledger of what changed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
DAY = 86_400_000_000
#: (customer, joined_at, left_at or None), microseconds.
Stay = tuple[str, int, int | None]


def micros(text: str) -> int:
    """Microseconds since the epoch."""
    return (datetime.fromisoformat(text) - EPOCH) // timedelta(microseconds=1)


def rounded(value: Fraction, decimals: int) -> Decimal:
    """Half away from zero."""
    exact = Decimal(value.numerator) / Decimal(value.denominator)
    return exact.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)


def quotient(part: Decimal | int, whole: Decimal | int, decimals: int = 2) -> Decimal:
    """0 where there is nothing to divide by."""
    return rounded(Fraction(part) / Fraction(whole) if whole else Fraction(0), decimals)


def amount_of(refund: dict) -> Decimal | None:
    """The amount of a refund; None for the order in full."""
    return None if refund["amount"] == "full" else Decimal(str(refund["amount"]))


class Purse:
    """Orders and refunds of one customer, as known at an instant; the guest's too."""

    def __init__(self, events: Iterable[dict]) -> None:
        orders: dict[str, list[dict]] = defaultdict(list)
        refunds: dict[str, list[dict]] = defaultdict(list)
        for event in sorted(events, key=lambda one: (micros(one["time"]), one.get("sequence", ""), one["id"])):
            if event["type"] == "order.refunded":
                refunds[event["data"]["refund_id"]].append(event)
            elif event["type"].startswith("order."):
                orders[event["data"]["order_id"]].append(event)
        self.refunds = [  # (instant, order or None, amount or None for in full)
            (micros(told[0]["time"]), told[-1]["data"]["order_id"], amount_of(told[-1]["data"]))
            for told in refunds.values()
        ]
        self.orders: dict[str, tuple[int, int | None, Decimal]] = {}  # placed, cancelled, total
        for order_id, told in orders.items():
            placed = [one for one in told if one["type"] == "order.placed"]
            if not placed or any(one["data"].get("test") for one in placed):
                continue
            ended = [micros(one["time"]) for one in told if one["type"] == "order.cancelled"]
            totals = [Decimal(str(one["data"]["total"])) for one in told if one["data"].get("total") is not None]
            total = totals[-1] if totals else Decimal(0)
            self.orders[order_id] = (micros(placed[0]["time"]), min(ended, default=None), total)

    def placed(self, at: int) -> dict[str, int]:
        """The orders that count at an instant, with their dates."""
        return {
            order_id: placed
            for order_id, (placed, cancelled, _) in self.orders.items()
            if placed <= at and (cancelled is None or cancelled > at)
        }

    def spent(self, at: int) -> Decimal:
        """total_spent at an instant."""
        there = self.placed(at)
        known = [refund for refund in self.refunds if refund[0] <= at]
        in_full = {order for _, order, amount in known if amount is None}
        totals = sum((self.orders[one][2] for one in there if one not in in_full), Decimal(0))
        back = (amount for _, order, amount in known if order is None or (order in there and order not in in_full))
        return totals - sum(back, Decimal(0))

    @cached_property
    def instants(self) -> list[int]:
        """When anything may change."""
        found = {one for placed, cancelled, _ in self.orders.values() for one in (placed, cancelled) if one is not None}
        return sorted(found | {refund[0] for refund in self.refunds})


class Oracle:
    """A world at an instant: events whose customers are texts or None, and stays of one segment."""

    def __init__(self, events: Iterable[dict], stays: Iterable[Stay], at: int) -> None:
        self.at = at
        mine: dict[str | None, list[dict]] = defaultdict(list)
        once = {(one["data"]["customer_id"], one["id"]): one for one in events if micros(one["time"]) <= at}
        for (customer, _), event in once.items():
            mine[customer].append(event)
        self.purses = {customer: Purse(told) for customer, told in mine.items()}
        self.stays = [one for one in stays if one[1] <= at]

    def purse(self, customer: str | None) -> Purse:
        """Of anybody."""
        return self.purses.get(customer) or Purse([])

    def members(self, at: int) -> set[str]:
        """Members at an instant."""
        return {one[0] for one in self.stays if one[1] <= at and (one[2] is None or one[2] > at)}

    def revenue(self, customers: Iterable[str | None], at: int) -> Decimal:
        """Of these, up to an instant."""
        return sum((self.purse(one).spent(at) for one in customers), Decimal(0))

    def revenue_at_time(self, since: int, until: int) -> Decimal:
        """What came in, from `since` to `until` both included, of whom was a member at each instant."""
        found = Decimal(0)
        for customer, purse in self.purses.items():
            for at in (one for one in purse.instants if since <= one <= until):
                if customer is not None and customer in self.members(at):
                    found += purse.spent(at) - purse.spent(at - 1)
        return found

    def bought(self, customer: str, since: int, until: int) -> int:
        """Orders within (since, until], as they count at the instant of the world."""
        return sum(1 for at in self.purse(customer).placed(self.at).values() if since < at <= until)

    def analytics(
        self, zone: str = "UTC", window: int = 30, trend: int = 30, active: int = 90, *, is_at_time: bool = False
    ) -> dict[str, Any]:
        """The figures under the names of the API."""
        at, span = self.at, window * DAY
        now, before = self.members(at), self.members(at - span)
        year = [self.bought(one, at - 365 * DAY, at) for one in now]
        was_there = [one for one in now if self.bought(one, at - 2 * span, at - span)]
        total = self.revenue_at_time(-(10**17), at) if is_at_time else self.revenue(now, at)
        business = self.revenue(self.purses, at)
        orders = self._orders(now, is_at_time=is_at_time)
        growth = quotient(100 * (len(now) - len(before)), len(before)) if before else Decimal(100 if now else 0)
        days = days_of(at, trend, zone)
        return {
            "total_customers": len(now),
            "active_customers": sum(1 for one in now if self.bought(one, at - active * DAY, at)),
            "growth_rate": growth,
            "total_revenue": rounded(Fraction(total), 2),
            "average_revenue_per_customer": quotient(total, len(now)),
            "revenue_contribution": quotient(100 * total, business) if business > 0 else Decimal(0),
            "average_order_frequency": quotient(sum(year), len(now), 4),
            "customer_lifetime_value": quotient(self.revenue(now, at), len(now)),
            "retention_rate": quotient(100 * len(now & before), len(before)),
            "customer_growth_trend": [(day, len(self.members(min(end - 1, at)))) for day, _, end in days],
            "revenue_trend": [
                (day, self._day(now, start, min(end - 1, at), is_at_time=is_at_time)) for day, start, end in days
            ],
            "growth_absolute": len(now) - len(before),
            "growth_base": len(before),
            "average_order_value": quotient(total, orders),
            "orders_per_buyer": quotient(sum(year), sum(1 for one in year if one), 4),
            "retention_base": len(before),
            "purchase_retention_rate": quotient(
                100 * sum(1 for one in was_there if self.bought(one, at - span, at)), len(was_there)
            ),
            "purchase_retention_base": len(was_there),
        }

    def _orders(self, now: set[str], *, is_at_time: bool) -> int:
        if not is_at_time:
            return sum(len(self.purse(one).placed(self.at)) for one in now)
        return sum(
            1
            for customer, purse in self.purses.items()
            for placed in purse.placed(self.at).values()
            if customer in self.members(placed)
        )

    def _day(self, now: set[str], start: int, last: int, *, is_at_time: bool) -> Decimal:
        if is_at_time:
            return self.revenue_at_time(start, last)
        return self.revenue(now, last) - self.revenue(now, start - 1)


def days_of(at: int, count: int, zone: str) -> list[tuple[str, int, int]]:
    """(date, first instant, first instant of the next) of so many local days."""
    place = ZoneInfo(zone)
    last = (EPOCH + timedelta(microseconds=at)).astimezone(place).date()

    def start(day: Any) -> int:
        return micros(datetime.combine(day, datetime.min.time(), place).isoformat())

    dates: Sequence[Any] = [last - timedelta(days=back) for back in reversed(range(count))]
    return [(str(day), start(day), start(day + timedelta(days=1))) for day in dates]
