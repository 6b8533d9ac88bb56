"""Ask before you save: whom criteria hold for now, and who would join and leave by a change. Nothing is stored."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol
from uuid import UUID, uuid4

from service.app.members import Member, average, customer_of
from service.app.segment_changes import changed, check_change
from service.app.segment_references import check_references
from service.app.segments import DRAFT, RevisionMismatch, Segment, SegmentChange, SegmentStore, read_segment
from service.core import instants, money
from service.core.criteria.model import Criteria
from service.core.criteria.parse import parse_criteria

SAMPLE_DEFAULT: Final = 10
SAMPLE_MAX: Final = 100
#: How many of those who would join, and of those who would leave, a dry run names.
CHANGES_SHOWN_MAX: Final = 10


class TooSlow(Exception):
    """The database was stopped before it had the answer, so that it stays free for events."""

    def __init__(self, seconds: float, setting: str) -> None:
        super().__init__(
            f"The answer took longer than {seconds:g} s and was stopped, so that the database stays free for events;"
            f" ask for less, or raise {setting}"
        )


@dataclass(frozen=True)
class Preview:
    """Whom criteria hold for at an instant.

    Attributes:
        count: how many customers.
        sample: the first of them by id, each a Member whose membership means nothing.
        total_orders, total_spent: of all of them; minor units.
        as_of: microseconds.
    """

    count: int
    sample: Sequence[Member]
    total_orders: int
    total_spent: int
    as_of: int


@dataclass(frozen=True)
class Side:
    """Customers on one side of a change: how many, and the external ids of the first of them by id."""

    count: int
    sample: Sequence[str]


@dataclass(frozen=True)
class Comparison:
    """A segment's members as they are and as they would be."""

    members_now: int
    members_then: int
    joining: Side
    leaving: Side


@dataclass(frozen=True)
class Definition:
    """What membership would follow from.

    Attributes:
        segment_id: whose pins and members.
        criteria: who belongs to it beside the pins; None for a static segment, where only pins count.
        is_live: False where nobody would be a member, pinned or not.
    """

    segment_id: UUID
    criteria: Criteria | None
    is_live: bool


class PreviewStore(Protocol):
    """The reads of these use cases, all of one instant."""

    async def preview(self, criteria: Criteria, now: int, sample: int) -> Preview:
        """Whom the criteria hold for; at most `sample` of them are read."""
        ...

    async def compare(self, definition: Definition, now: int, sample: int) -> Comparison:
        """The stored members beside those of the definition."""
        ...

    async def count_members(self, segment_id: UUID) -> int:
        """How many members are stored."""
        ...


async def preview(store: PreviewStore, segments: SegmentStore, now: int, criteria: Any, sample: int) -> Preview:
    """Whom criteria hold for, by what the service has stored by now.

    Args:
        store: reads customers.
        segments: reads the segments that the criteria name.
        now: the clock, microseconds.
        criteria: JSON in the form of docs/criteria.md.
        sample: how many customers to read.

    Raises:
        CriteriaError: with every fault of the criteria; a segment that is not there is one.
        TooSlow: see there.
    """
    parsed = parse_criteria(criteria)
    await check_references(segments, unnamed_segment(criteria))
    return await store.preview(parsed, now, sample)


async def dry_run(
    store: PreviewStore,
    segments: SegmentStore,
    now: int,
    segment_id: UUID,
    change: SegmentChange,
    expected: Collection[str] | None = None,
) -> tuple[Comparison, Segment]:
    """Who would join and leave by a change of a segment, and the segment as it would be.

    A change that brings no new definition moves nobody, as when it is made in earnest.

    Raises:
        SegmentMissing: no such segment.
        RevisionMismatch: it has changed since the revisions `expected`.
        CriteriaError: with every fault of the criteria.
        SegmentRefused: a type or criteria that the segment cannot take.
        TooSlow: see there.
    """
    before = await read_segment(segments, segment_id)
    if expected is not None and str(before.revision) not in expected:
        raise RevisionMismatch(before.revision)
    check_change(before, change)
    after = changed(before, change)
    is_redefined = after.version > before.version
    if is_redefined:
        await check_references(segments, after)
    if after.is_live == before.is_live and not (is_redefined and after.is_live):
        count = await store.count_members(segment_id)
        return Comparison(count, count, Side(0, ()), Side(0, ())), after
    criteria = None if after.is_static else parse_criteria(after.criteria)
    found = await store.compare(Definition(segment_id, criteria, after.is_live), now, CHANGES_SHOWN_MAX)
    return found, after


def preview_data(found: Preview, *, can_read_pii: bool) -> dict[str, Any]:
    """A preview as the API shows it; without `can_read_pii` names, e-mails and phones are masked."""
    nobody = {"membership_date": None, "membership_source": None}
    return {
        "count": found.count,
        "sample": [customer_of(one, can_read_pii=can_read_pii) | nobody for one in found.sample],
        "revenue": {
            "total_spent": money.to_text(found.total_spent),
            "total_orders": found.total_orders,
            "average_order_value": money.to_text(average(found.total_spent, found.total_orders)),
        },
        "as_of": instants.to_text(found.as_of),
    }


def comparison_data(found: Comparison, as_of: int) -> dict[str, Any]:
    """A dry run as the API shows it."""
    return {
        "would_join": {"count": found.joining.count, "sample": list(found.joining.sample)},
        "would_leave": {"count": found.leaving.count, "sample": list(found.leaving.sample)},
        "members_now": found.members_now,
        "members_then": found.members_then,
        "as_of": instants.to_text(as_of),
    }


def unnamed_segment(criteria: Any) -> Segment:
    """A segment that nobody can have named yet, so that it cannot be part of a circle."""
    return Segment(
        id=uuid4(),
        segment_name="",
        description=None,
        segment_type="dynamic",
        status=DRAFT,
        criteria=criteria,
        version=1,
        created_by="",
    )
