"""Segments as people know them: what is stored of one, what callers give, and what their use cases ask of a store.

Lists are plain reads (STYLE R10) and need no use case; changes are in segment_changes.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple, Protocol
from uuid import UUID

from msgspec import UNSET, UnsetType

from service.core.profiles.shape import Shape

ACTIVE: Final = "active"
DRAFT: Final = "draft"
ARCHIVED: Final = "archived"
STATUSES: Final = (ACTIVE, DRAFT, ARCHIVED)
#: Members are listed by hand or by import; there are no criteria.
STATIC: Final = "static"
#: What a static segment has in the place of criteria.
NO_CRITERIA: Final[dict[str, Any]] = {}
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


class SegmentConflict(Exception):
    """What is asked cannot be done to the segment as it is; the message says why and what to do first."""


class RevisionMismatch(Exception):
    """The segment, or another thing with a revision, has changed since the caller read it."""

    def __init__(self, revision: int, what: str = "segment") -> None:
        super().__init__(
            f'The {what} has changed since it was read: its ETag is "{revision}" now; read it again, then repeat'
        )
        self.revision = revision


class SegmentRefused(Exception):
    """A field of the request does not fit the segment; `path` names it."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(message)
        self.path = path


class Author(NamedTuple):
    """Who makes a change; kept in `users`."""

    id: str
    name: str


class Referrer(NamedTuple):
    """A segment whose criteria name other segments."""

    segment_id: UUID
    segment_name: str
    criteria: Any
    is_live: bool


@dataclass(frozen=True)
class Segment:
    """A segment as it is stored; `criteria` is the JSON as given.

    Attributes:
        revision: rises with every change of the segment; what ETag and If-Match compare.
        previous: {"status", "criteria"} before the definition whose backfill runs; None where none runs.
    """

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
    revision: int = 1
    previous: Any = None
    creator_name: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    last_updated: datetime | None = None

    @property
    def is_live(self) -> bool:
        """Whether it may have members."""
        return self.status == ACTIVE and not self.is_deleted

    @property
    def is_static(self) -> bool:
        """Whether its members are listed instead of following from criteria."""
        return self.segment_type == STATIC

    @property
    def backfill_progress(self) -> float:
        """From 0 to 1."""
        if self.backfill_state == "done":
            return 1.0
        return min(round(self.backfill_done / self.backfill_total, 4), 1.0) if self.backfill_total else 0.0


@dataclass(frozen=True)
class NewSegment:
    """What a caller gives to create one; a static one has no criteria."""

    segment_name: str
    criteria: Any = None
    description: str | None = None
    segment_type: str = "dynamic"
    status: str = ACTIVE


@dataclass(frozen=True)
class SegmentChange:
    """What a caller gives to change one; UNSET stays as it is."""

    segment_name: str | UnsetType = UNSET
    description: str | UnsetType | None = UNSET
    segment_type: str | UnsetType = UNSET
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

    async def is_recovering(self) -> bool:
        """Whether memberships are being recovered; the catalogue must be held."""
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

    async def names(self, segment_ids: Collection[UUID]) -> dict[UUID, str]:
        """The names of those of the segments that there are and that have not been deleted."""
        ...

    async def referrers(self) -> Sequence[Referrer]:
        """All segments, not deleted, whose criteria name other segments."""
        ...

    async def introduce_again(self, segment_ids: Collection[UUID], introduced: int, since: int) -> None:
        """Notes that the definitions of these segments are new to everybody, in that version and at that instant."""
        ...

    async def add_version(self, segment: Segment, author: Author) -> None:
        """Keeps the criteria of the segment's present version for later."""
        ...

    async def campaigns_under_way(self, segment_id: UUID) -> Sequence[str]:
        """The names of the segment's campaigns that wait for their time, send, listen or stand still."""
        ...


async def read_segment(store: SegmentStore, segment_id: UUID) -> Segment:
    """One segment.

    Raises:
        SegmentMissing: no such segment.
    """
    segment = await store.get(segment_id)
    if segment is None:
        raise SegmentMissing(str(segment_id))
    return segment
