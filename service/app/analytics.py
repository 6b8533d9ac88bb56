"""Analytics of one segment: figures of its members, what each means and how it is rounded (docs/analytics.md)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo
from decimal import Decimal
from functools import cached_property
from itertools import accumulate
from typing import Any, Final, Protocol
from uuid import UUID
from zoneinfo import ZoneInfo

from service.app.segments import Segment
from service.core import instants, money
from service.core.calendar import Bucket, days_to
from service.core.instants import DAY
from service.core.ratios import mean_text, percent, ratio

WINDOW_DAYS: Final = 30
TREND_DAYS: Final = 30
ACTIVE_DAYS: Final = 90
DAYS_MAX: Final = 366
#: Orders a member a year.
FREQUENCY_DAYS: Final = 365
_NOTHING: Final = percent(0, 0)
#: Before it no span of these questions would still be a date.
AS_OF_MIN: Final = instants.parse("0100-01-01T00:00:00Z")


class ZoneError(ValueError):
    """The time zone is not known."""


@dataclass(frozen=True)
class Question:
    """What is asked about a segment.

    Attributes:
        as_of: microseconds; what happened later does not count.
        is_live: as_of is now, so that what the service keeps up to date may answer; else the facts do.
        window_days: of growth and retention, in days of 24 hours, like `active_days`.
        trend_days: local days of `zone`, the last one that of as_of.
        is_at_time: revenue counts where its customer was a member at that instant, not all of today's members.
    """

    segment_id: UUID
    as_of: int
    is_live: bool
    window_days: int = WINDOW_DAYS
    trend_days: int = TREND_DAYS
    active_days: int = ACTIVE_DAYS
    zone: tzinfo = UTC
    zone_name: str = "UTC"
    is_at_time: bool = False

    @property
    def days(self) -> list[Bucket]:
        """The days of the trends."""
        return days_to(self.as_of, self.trend_days, self.zone)

    def ago(self, days: int) -> int:
        """The instant so many times 24 hours before."""
        return self.as_of - days * DAY


@dataclass(frozen=True)
class Flow:
    """Joins and leaves of a segment between ascending instants.

    Attributes:
        instants: microseconds; the last one is as_of.
        stays: (place of the join, place of the leave or None) -> how many; the place of what happened at t is the first
            whose instant is not before t.
    """

    instants: Sequence[int]
    stays: Mapping[tuple[int, int | None], int]

    def count_at(self, instant: int) -> int:
        """Members at one of the instants."""
        return self._joins[instant] - self._leaves[instant]

    def joined(self, after: int, until: int) -> int:
        """Joins between two of the instants, without the first, with the last."""
        return self._joins[until] - self._joins[after]

    def left(self, after: int, until: int) -> int:
        """Leaves between two of the instants, without the first, with the last."""
        return self._leaves[until] - self._leaves[after]

    @cached_property
    def _joins(self) -> Mapping[int, int]:
        return self._up_to((joined, count) for (joined, _), count in self.stays.items())

    @cached_property
    def _leaves(self) -> Mapping[int, int]:
        return self._up_to((left, count) for (_, left), count in self.stays.items() if left is not None)

    def _up_to(self, counts: Iterable[tuple[int, int]]) -> Mapping[int, int]:
        """How many there were up to each of the instants; a stay never ends at a place before its own."""
        places = [0] * (len(self.instants) + 1)
        for place, count in counts:
            places[min(place, len(self.instants))] += count
        return dict(zip(self.instants, accumulate(places), strict=False))


@dataclass(frozen=True)
class Figures:
    """Sums over the members; money in minor units.

    Attributes:
        revenue, orders: of the population asked for, all the way back.
        revenue_of_members: as revenue, of those who are members at as_of.
        business: of everybody, guests included.
        active: members with an order within active_days.
        orders_in_year, buyers_in_year: within FREQUENCY_DAYS.
        buyers_before, buyers_again: members with an order in the window before the last, and of these in the last too.
        revenue_by_day: place of the day -> revenue of the population; days without are left out.
    """

    revenue: int
    orders: int
    revenue_of_members: int
    business: int
    active: int
    orders_in_year: int
    buyers_in_year: int
    buyers_before: int
    buyers_again: int
    revenue_by_day: Mapping[int, int]


class AnalyticsStore(Protocol):
    """The reads of these use cases, all of one instant."""

    async def flow(self, segment_id: UUID, moments: Sequence[int]) -> Flow:
        """Joins and leaves up to the last of these ascending instants."""
        ...

    async def returned(self, question: Question) -> int:
        """How many were members at the start of the window, left within it and are members at its end all the same."""
        ...

    async def figures(self, question: Question, members: int) -> Figures:
        """The sums, over so many members at as_of."""
        ...

    async def campaigns(self, question: Question) -> Campaigns:
        """What was sent to the segment, and how it was taken."""
        ...


@dataclass(frozen=True)
class Campaigns:
    """What was sent to a segment; rates are means in percent (docs/campaigns-measurement.md)."""

    sent: int = 0
    open_rate: Decimal = _NOTHING
    click_rate: Decimal = _NOTHING
    conversion_rate: Decimal = _NOTHING


@dataclass(frozen=True)
class Analytics:
    """All that was read for one answer."""

    question: Question
    flow: Flow
    returned: int
    figures: Figures
    campaigns: Campaigns


def zone_of(name: str) -> ZoneInfo:
    """A time zone by its IANA name.

    Raises:
        ZoneError: there is no such zone.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        msg = f'"{name[:100]}" is no IANA time zone; use a name such as UTC or Europe/Berlin'
        raise ZoneError(msg) from None


async def analytics(store: AnalyticsStore, question: Question) -> Analytics:
    """Reads what the answer needs."""
    since = question.ago(question.window_days)
    flow = await store.flow(question.segment_id, sorted({since, *_ends(question)}))
    figures = await store.figures(question, flow.count_at(question.as_of))
    returned = await store.returned(question)
    return Analytics(question, flow, returned, figures, await store.campaigns(question))


def _ends(question: Question) -> list[int]:
    """The last instant of each day of the trend; of the last day as_of."""
    return [min(day.end - 1, question.as_of) for day in question.days]


def warnings_of(segment: Segment, as_of: int, data_through: int) -> list[dict[str, str]]:
    """What the reader of figures should know: sentences with a code."""
    found = []
    if segment.backfill_state == "running":
        found.append({"code": "backfill_running", "message": "Members are still being found; figures will change"})
    if data_through < as_of:
        said = f"Memberships are complete up to {instants.to_text(data_through)}; what time changes later is due"
        found.append({"code": "behind", "message": said})
    return found


def analytics_data(found: Analytics) -> dict[str, Any]:
    """The figures as the API shows them: the guide's names first."""
    question, figures, flow = found.question, found.figures, found.flow
    total = flow.count_at(question.as_of)
    base = flow.count_at(question.ago(question.window_days))
    value = mean_text(figures.revenue_of_members, total)
    contribution = percent(figures.revenue, figures.business) if figures.business > 0 else percent(0, 0)
    return {
        "total_customers": total,
        "active_customers": figures.active,
        "growth_rate": percent(total - base, base) if base else percent(min(total, 1), 1),
        "total_revenue": money.to_text(figures.revenue),
        "average_revenue_per_customer": mean_text(figures.revenue, total),
        "revenue_contribution": contribution,
        "average_order_frequency": ratio(figures.orders_in_year, total),
        "customer_lifetime_value": value,
        "retention_rate": percent(_retained(found), base),
        "campaigns_sent": found.campaigns.sent,
        "average_open_rate": found.campaigns.open_rate,
        "average_click_rate": found.campaigns.click_rate,
        "average_conversion_rate": found.campaigns.conversion_rate,
        **_trends(found),
        "growth_absolute": total - base,
        "growth_base": base,
        "average_order_value": mean_text(figures.revenue, figures.orders),
        "orders_per_buyer": ratio(figures.orders_in_year, figures.buyers_in_year),
        "clv_method": "historic",
        "historic_clv": value,
        "predicted_clv": None,
        "retention_base": base,
        "purchase_retention_rate": percent(figures.buyers_again, figures.buyers_before),
        "purchase_retention_base": figures.buyers_before,
        "population": "at_time" if question.is_at_time else "current",
        "as_of": instants.to_text(question.as_of),
        "window_days": question.window_days,
        "timezone": question.zone_name,
    }


def _retained(found: Analytics) -> int:
    """Members at the start of the window who stayed, or left and came back."""
    place = found.flow.instants.index(found.question.ago(found.question.window_days))
    end = found.flow.instants.index(found.question.as_of)
    stayed = sum(
        count for (joined, left), count in found.flow.stays.items() if joined <= place and (left is None or left > end)
    )
    return stayed + found.returned


def _trends(found: Analytics) -> dict[str, Any]:
    days = found.question.days
    ends = _ends(found.question)
    return {
        "customer_growth_trend": [
            {"date": day.date.isoformat(), "count": found.flow.count_at(end)}
            for day, end in zip(days, ends, strict=True)
        ],
        "revenue_trend": [
            {"date": day.date.isoformat(), "amount": money.to_text(found.figures.revenue_by_day.get(place, 0))}
            for place, day in enumerate(days)
        ],
    }
