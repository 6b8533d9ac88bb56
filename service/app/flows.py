"""Who came into a segment and who left it, day by day, and from where and to where (docs/analytics.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol
from uuid import UUID

from service.app.analytics import Flow, Question
from service.core import instants
from service.core.ratios import ratio

#: How many other segments an answer names on each side.
SEGMENTS_SHOWN_MAX: Final = 10


class Other(NamedTuple):
    """Another segment, and how many of those who moved were in it."""

    segment_id: UUID
    segment_name: str
    moves: int


@dataclass(frozen=True)
class Movers:
    """Those who joined, or those who left: how many different customers, and the segments most of them were in."""

    customers: int
    others: Sequence[Other]


class FlowStore(Protocol):
    """The reads of this use case, all of one instant."""

    async def flow(self, segment_id: UUID, moments: Sequence[int]) -> Flow:
        """See AnalyticsStore."""
        ...

    async def movers(self, question: Question, segments_max: int) -> tuple[Movers, Movers]:
        """Who joined and who left on the days of the question; each with so many other segments at most."""
        ...


async def flows(store: FlowStore, question: Question) -> dict[str, Any]:
    """The days as the API shows them; a customer who joins again counts again."""
    days = question.days
    edges = [days[0].start - 1, *(min(day.end - 1, question.as_of) for day in days)]
    flow = await store.flow(question.segment_id, sorted(set(edges)))
    rows = []
    for day, after, until in zip(days, edges[:-1], edges[1:], strict=True):
        came, went = flow.joined(after, until), flow.left(after, until)
        date = day.date.isoformat()
        rows.append({"date": date, "inflow": came, "outflow": went, "net": came - went, "count": flow.count_at(until)})
    joined, left = await store.movers(question, SEGMENTS_SHOWN_MAX)
    inflow, outflow = flow.joined(edges[0], edges[-1]), flow.left(edges[0], edges[-1])
    return {
        "days": rows,
        "inflow": inflow,
        "outflow": outflow,
        "net": inflow - outflow,
        "unique_in": joined.customers,
        "unique_out": left.customers,
        "sources": _others(joined, inflow),
        "destinations": _others(left, outflow),
        "as_of": instants.to_text(question.as_of),
        "timezone": question.zone_name,
    }


def _others(movers: Movers, moves: int) -> list[dict[str, Any]]:
    return [
        {
            "segment_id": str(one.segment_id),
            "segment_name": one.segment_name,
            "count": one.moves,
            "share": ratio(one.moves, moves),
        }
        for one in movers.others
    ]
