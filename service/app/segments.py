"""Use cases of segments: create, change, delete, read. Lists are plain reads (STYLE R10) and need none.

Every change of a definition runs in one transaction that holds the catalogue exclusively, so that no batch or timer is
under way while it happens: one sees the definition before it or the one after it, never both. `introduced` and `since`
say when the membership of the customers who are already there must be looked at again; the backfill does that.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, NamedTuple, Protocol
from uuid import UUID, uuid4

from msgspec import UNSET, UnsetType

from service.app.exact_json import canonical
from service.clock import Clock
from service.core.criteria.needs import needs_of
from service.core.criteria.parse import parse_criteria
from service.core.profiles.shape import Shape

ACTIVE: Final = "active"
DRAFT: Final = "draft"
ARCHIVED: Final = "archived"
STATUSES: Final = (ACTIVE, DRAFT, ARCHIVED)
SEGMENT_TYPES: Final = ("dynamic", "behavioral")
SORT_FIELDS: Final = (
    "created_at",
    "updated_at",
    "last_updated",
    "segment_name",
    "segment_type",
    "status",
    "customer_count",
)


class SegmentMissing(Exception):
    """There is no such segment, or it has been deleted."""

    def __init__(self, segment: str) -> None:
        super().__init__(f"There is no segment {segment}")


class Author(NamedTuple):
    """Who makes a change; kept in `users`."""

    id: str
    name: str


@dataclass(frozen=True)
class Segment:
    """A segment as it is stored; `criteria` is the JSON as given."""

    id: UUID
    segment_name: str
    description: str | None
    segment_type: str
    status: str
    criteria: Any
    version: int
    created_by: str
    introduced: int = 0
    since: int = 0
    is_silent: bool = False
    is_kept: bool = False
    customer_count: int = 0
    backfill_state: str = "none"
    backfill_done: int = 0
    backfill_total: int = 0
    is_deleted: bool = False
    creator_name: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    last_updated: datetime | None = None

    @property
    def is_live(self) -> bool:
        """Whether it has members by its criteria."""
        return self.status == ACTIVE and not self.is_deleted

    @property
    def backfill_progress(self) -> float:
        """From 0 to 1."""
        if self.backfill_state == "done":
            return 1.0
        return min(round(self.backfill_done / self.backfill_total, 4), 1.0) if self.backfill_total else 0.0


@dataclass(frozen=True)
class NewSegment:
    """What a caller gives to create one."""

    segment_name: str
    criteria: Any
    description: str | None = None
    segment_type: str = "dynamic"
    status: str = ACTIVE


@dataclass(frozen=True)
class SegmentChange:
    """What a caller gives to change one; UNSET stays as it is."""

    segment_name: str | UnsetType = UNSET
    description: str | UnsetType | None = UNSET
    status: str | UnsetType = UNSET
    criteria: Any | UnsetType = UNSET

    @property
    def touches_membership(self) -> bool:
        """Whether who is a member may change by it."""
        return self.status is not UNSET or self.criteria is not UNSET


@dataclass(frozen=True)
class SegmentQuery:
    """Which segments to list; `sort` is one of SORT_FIELDS."""

    page: int = 1
    limit: int = 20
    search: str | None = None
    status: str | None = None
    segment_type: str | None = None
    sort: str = "created_at"
    is_descending: bool = True


class SegmentStore(Protocol):
    """The statements of these use cases, all in one transaction."""

    async def count_profiles(self) -> int:
        """How many customers there are."""
        ...

    async def lock_catalogue(self) -> tuple[int, Shape]:
        """Takes the catalogue exclusively until the transaction ends: its version and shape."""
        ...

    async def store_catalogue(self, version: int, shape: Shape) -> None:
        """Writes version and shape."""
        ...

    async def note_author(self, author: Author) -> None:
        """Keeps who this is; a new name replaces the old one."""
        ...

    async def get(self, segment_id: UUID) -> Segment | None:
        """The segment unless it has been deleted."""
        ...

    async def insert(self, segment: Segment) -> None:
        """Stores a new segment."""
        ...

    async def update(self, before: Segment, after: Segment) -> None:
        """Stores what differs and nothing else, for others count the backfill and the members on meanwhile."""
        ...

    async def add_version(self, segment: Segment, author: Author) -> None:
        """Keeps the criteria of the segment's present version for later."""
        ...


async def create_segment(store: SegmentStore, clock: Clock, author: Author, new: NewSegment) -> Segment:
    """Stores a new segment; its backfill starts with the commit.

    Raises:
        CriteriaError: with every fault of the criteria.
    """
    needs = needs_of([parse_criteria(new.criteria)])
    segment = Segment(
        id=uuid4(),
        segment_name=new.segment_name,
        description=new.description,
        segment_type=new.segment_type,
        status=new.status,
        criteria=new.criteria,
        version=1,
        created_by=author.id,
    )
    profiles = await store.count_profiles()  # before the lock, for it may take a while
    version, shape = await store.lock_catalogue()
    if segment.is_live:
        segment = _introduced(segment, version + 1, clock(), profiles or await store.count_profiles(), is_silent=False)
        shape = shape.grown_for(needs)
    await store.note_author(author)
    await store.insert(segment)
    await store.add_version(segment, author)
    await store.store_catalogue(version + 1, shape)
    return await read_segment(store, segment.id)


async def update_segment(
    store: SegmentStore, clock: Clock, author: Author, segment_id: UUID, change: SegmentChange, *, is_silent: bool
) -> Segment:
    """Changes a segment; a new definition starts a backfill with the commit. No change at all leaves no trace.

    Args:
        store: the transaction's statements.
        clock: gives the instant from which the change holds.
        author: who changes it.
        segment_id: which.
        change: what is to be different.
        is_silent: the joins and leaves that the change itself causes are stored, not published.

    Raises:
        SegmentMissing: no such segment.
        CriteriaError: with every fault of the criteria.
    """
    if change.criteria is not UNSET:
        parse_criteria(change.criteria)
    profiles = await store.count_profiles() if change.touches_membership else 0
    version, shape = await store.lock_catalogue()
    before = await read_segment(store, segment_id)
    after = _changed(before, change)
    if after == before:
        return before
    if after.is_live and (after.version > before.version or not before.is_live):
        shape = shape.grown_for(needs_of([parse_criteria(after.criteria)]))
        is_introduced = True
    else:
        is_introduced = before.is_live and not after.is_live
    if is_introduced:
        profiles = profiles or await store.count_profiles()
        after = _introduced(after, version + 1, clock(), profiles, is_silent=is_silent)
    await store.note_author(author)
    await store.update(before, after)
    if after.version > before.version:
        await store.add_version(after, author)
    await store.store_catalogue(version + 1, shape)
    return await read_segment(store, segment_id)


async def delete_segment(
    store: SegmentStore, clock: Clock, author: Author, segment_id: UUID, *, is_silent: bool
) -> Segment:
    """Deletes a segment: nobody finds it any more, and its members leave with the backfill.

    Raises:
        SegmentMissing: no such segment.
    """
    profiles = await store.count_profiles()
    version, shape = await store.lock_catalogue()
    before = await read_segment(store, segment_id)
    after = replace(before, is_deleted=True)
    if before.is_live:
        profiles = profiles or await store.count_profiles()
        after = _introduced(after, version + 1, clock(), profiles, is_silent=is_silent)
    await store.note_author(author)
    await store.update(before, after)
    await store.store_catalogue(version + 1, shape)
    return after


async def read_segment(store: SegmentStore, segment_id: UUID) -> Segment:
    """One segment.

    Raises:
        SegmentMissing: no such segment.
    """
    segment = await store.get(segment_id)
    if segment is None:
        raise SegmentMissing(str(segment_id))
    return segment


def _changed(before: Segment, change: SegmentChange) -> Segment:
    after = replace(
        before,
        segment_name=before.segment_name if change.segment_name is UNSET else change.segment_name,
        description=before.description if change.description is UNSET else change.description,
        status=before.status if change.status is UNSET else change.status,
    )
    if change.criteria is UNSET or canonical(change.criteria) == canonical(before.criteria):
        return after
    return replace(after, criteria=change.criteria, version=before.version + 1)


def _introduced(segment: Segment, version: int, now: int, profiles: int, *, is_silent: bool) -> Segment:
    """The segment with a definition that the customers who are already there do not know yet.

    `profiles` must be exact about none: then nobody has to be told, and no backfill would ever come by.
    """
    return replace(
        segment,
        introduced=version,
        since=now,
        is_silent=is_silent,
        is_kept=segment.is_live or profiles > 0,
        backfill_state="running" if profiles else "done",
        backfill_done=0,
        backfill_total=profiles,
    )
