"""Verify: does what is stored follow from the facts? Answers only; repairs nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol
from uuid import UUID

from service.core.criteria.model import Criteria
from service.core.instants import to_text

#: How many examples of drift each part of the report shows.
EXAMPLES_MAX: Final = 10


class VerifyError(Exception):
    """Verify cannot be done as asked."""


class KeptSegment(NamedTuple):
    """An active segment whose membership the hot path keeps.

    Attributes:
        criteria: None for a static segment, whose members are its pins.
        introduced: the catalogue version that brought the definition, or that of a segment it depends on, the latest;
            since: the instant of that change.
        is_backfilling: customers may be left that one of these definitions has not reached.
        members: how many memberships are open.
    """

    segment_id: UUID
    name: str
    slot: int
    criteria: Criteria | None
    introduced: int
    since: int
    is_backfilling: bool
    members: int


class MembershipDrift(NamedTuple):
    """A customer whose membership in one segment is not what the facts say."""

    segment_id: UUID
    customer_id: UUID
    external_id: str
    as_of: int
    is_stored: bool  # an open row of customer_segment_memberships
    is_counted: bool  # an odd number of transitions in the profile
    is_true: bool  # by the facts


class ProfileDrift(NamedTuple):
    """A customer whose profile is not what the facts say; personal data are named, never shown."""

    customer_id: UUID
    external_id: str
    faults: Sequence[str]


class Evidence(Protocol):
    """What verify reads, all of it in one snapshot of the database."""

    async def segments(self, segment_ids: Collection[UUID] | None) -> list[KeptSegment]:
        """Those segments, or all, that the hot path keeps."""
        ...

    async def overdue(self, now: int) -> int:
        """How many customers have a timer that should have fired by now."""
        ...

    async def profiles(self) -> int:
        """How many profiles there are."""
        ...

    async def over_limit(self) -> int:
        """How many customers have more than a profile keeps; neither drift nor anything else is said of them."""
        ...

    def membership_drift(self, segments: Sequence[KeptSegment], now: int) -> AsyncIterator[MembershipDrift]:
        """Every customer and segment where stored and computed membership differ."""
        ...

    def profile_drift(self) -> AsyncIterator[ProfileDrift]:
        """Every profile that does not follow from the facts; a customer may come more than once."""
        ...


@dataclass
class SegmentReport:
    """Drift of one segment."""

    segment: KeptSegment
    drift: int = 0
    missing: int = 0  # members by the facts who are not stored as such
    surplus: int = 0  # stored as members, and are none by the facts
    examples: list[MembershipDrift] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """As `segments verify --json` prints it."""
        segment = self.segment
        found: dict[str, Any] = {"id": str(segment.segment_id), "name": segment.name, "members": segment.members}
        examples = [
            {
                "customer": one.external_id,
                "stored": one.is_stored,
                "counted": one.is_counted,
                "facts": one.is_true,
                "as_of": to_text(one.as_of),
            }
            for one in self.examples
        ]
        return found | {"drift": self.drift, "is_backfilling": segment.is_backfilling, "examples": examples}


@dataclass
class ProfilesReport:
    """Drift of profiles and customers."""

    checked: int
    drifted: set[UUID] = field(default_factory=set)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def note(self, found: ProfileDrift) -> None:
        """Counts each customer once; shows all faults of the first few."""
        self.drifted.add(found.customer_id)
        if found.external_id in self.examples or len(self.examples) < EXAMPLES_MAX:
            self.examples.setdefault(found.external_id, []).extend(found.faults)

    def to_json(self) -> dict[str, Any]:
        """As `segments verify --json` prints it."""
        examples = [{"customer": customer, "faults": faults} for customer, faults in self.examples.items()]
        return {"checked": self.checked, "drift": len(self.drifted), "examples": examples}


@dataclass
class Report:
    """All that verify found."""

    segments: list[SegmentReport]
    profiles: ProfilesReport
    overdue: int
    over_limit: int = 0
    #: Everybody of whom anything differs.
    customer_ids: set[UUID] = field(default_factory=set)

    @property
    def has_drift(self) -> bool:
        """Whether anything stored does not follow from the facts."""
        return bool(self.profiles.drifted) or any(one.drift for one in self.segments)

    def to_json(self) -> dict[str, Any]:
        """As `segments verify --json` prints it."""
        segments = [one.to_json() for one in self.segments]
        counts = {"overdue": self.overdue, "over_limit": self.over_limit}
        return {"segments": segments, "profiles": self.profiles.to_json(), **counts}


async def verify(evidence: Evidence, segment_ids: Collection[UUID] | None, now: int) -> Report:
    """Recomputes membership and profiles from the facts and compares them with what is stored.

    Args:
        evidence: one snapshot of the database.
        segment_ids: the segments to look at; None for all. Profiles are looked at either way.
        now: the clock, in microseconds since the epoch.

    Raises:
        VerifyError: a segment that is asked for is not kept, or stored criteria cannot be read.
    """
    segments = await evidence.segments(segment_ids)
    missing = set(segment_ids or ()) - {segment.segment_id for segment in segments}
    if missing:
        listed = ", ".join(sorted(map(str, missing)))
        msg = (
            f"No active dynamic or behavioral segment and no static one has the id {listed};"
            " segments status lists those there are."
        )
        raise VerifyError(msg)
    reports = {segment.segment_id: SegmentReport(segment) for segment in segments}
    customer_ids: set[UUID] = set()
    async for drift in evidence.membership_drift(segments, now):
        report = reports[drift.segment_id]
        report.drift += 1
        report.missing += drift.is_true and not drift.is_stored
        report.surplus += drift.is_stored and not drift.is_true
        customer_ids.add(drift.customer_id)
        if len(report.examples) < EXAMPLES_MAX:
            report.examples.append(drift)
    profiles = ProfilesReport(await evidence.profiles())
    async for found in evidence.profile_drift():
        profiles.note(found)
    counts = await evidence.overdue(now), await evidence.over_limit()
    return Report(list(reports.values()), profiles, *counts, customer_ids | profiles.drifted)
