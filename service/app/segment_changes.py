"""Use cases that change segments: create, change, delete, cancel a backfill.

Every change of a definition runs in one transaction that holds the catalogue exclusively, so that no batch or timer is
under way while it happens: one sees the definition before it or the one after it, never both. `introduced` and `since`
say when the membership of the customers who are already there must be looked at again; the backfill does that.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

from msgspec import UNSET

from service.app.catalogue_change import lock_catalogue
from service.app.exact_json import canonical
from service.app.segment_references import check_no_campaigns, check_references, check_unnamed
from service.app.segments import (
    ARCHIVED,
    DRAFT,
    NO_CRITERIA,
    STATIC,
    Author,
    NewSegment,
    RevisionMismatch,
    Segment,
    SegmentChange,
    SegmentConflict,
    SegmentRefused,
    SegmentStore,
    read_segment,
)
from service.clock import Clock
from service.core.criteria.parse import CriteriaError, parse_criteria


async def create_segment(
    store: SegmentStore, clock: Clock, author: Author, new: NewSegment, segment_id: UUID | None = None
) -> Segment:
    """Stores a new segment; its backfill starts with the commit. A static one begins without members.

    Args:
        store: the transaction's statements.
        clock: gives the instant from which the segment holds.
        author: who creates it.
        new: what it is.
        segment_id: its id, by default a new one. A segment that has it already was created by the same request.

    Raises:
        CriteriaError: with every fault of the criteria.
        SegmentRefused: criteria for a static segment.
    """
    segment = Segment(
        id=segment_id or uuid4(),
        segment_name=new.segment_name,
        description=new.description,
        segment_type=new.segment_type,
        status=new.status,
        criteria=_criteria_of(new.segment_type, new.criteria),
        version=1,
        created_by=author.id,
    )
    catalogue = await lock_catalogue(store, clock, author, is_counting=True)
    if (found := await store.get(segment.id)) is not None:
        return found
    await check_references(store, segment)
    if segment.is_live:
        before = replace(segment, status=DRAFT)
        segment = await catalogue.introduced(before, segment, is_silent=False, is_new=True)
    await store.note_author(author)
    await store.insert(segment)
    await store.add_version(segment, author)
    await catalogue.store_next()
    return await read_segment(store, segment.id)


async def update_segment(
    store: SegmentStore,
    clock: Clock,
    author: Author,
    segment_id: UUID,
    change: SegmentChange,
    *,
    is_silent: bool,
    expected: Collection[str] | None = None,
) -> Segment:
    """Changes a segment; a new definition starts a backfill with the commit. No change at all leaves no trace.

    Args:
        store: the transaction's statements.
        clock: gives the instant from which the change holds.
        author: who changes it.
        segment_id: which.
        change: what is to be different.
        is_silent: the joins and leaves that the change itself causes are stored, not published.
        expected: the revisions that the caller may have seen; None for any.

    Raises:
        SegmentMissing: no such segment.
        RevisionMismatch: it has changed since.
        CriteriaError: with every fault of the criteria.
        SegmentRefused: a type or criteria that the segment cannot take.
        SegmentConflict: it would be archived while campaigns to its members are under way.
    """
    # Before the lock, for it may take a while; what it looks at never changes.
    check_change(await read_segment(store, segment_id), change)
    catalogue = await lock_catalogue(store, clock, author, is_counting=change.touches_membership)
    before = await _expected(store, segment_id, expected)
    after = changed(before, change)
    if after == before:
        return before
    if after.version > before.version:
        await check_references(store, after)
    if after.status == ARCHIVED and before.status != ARCHIVED:
        await check_no_campaigns(store, before, "archived")
    return await catalogue.change(before, after, is_silent=is_silent)


async def cancel_backfill(
    store: SegmentStore,
    clock: Clock,
    author: Author,
    segment_id: UUID,
    *,
    is_silent: bool | None = None,
    expected: Collection[str] | None = None,
) -> Segment:
    """Goes back to the status and criteria before the definition whose backfill runs; a new segment becomes a draft.

    It is one more change of the definition: its own backfill brings back the customers who had switched already.

    Args:
        store: the transaction's statements.
        clock: gives the instant from which the change holds.
        author: who cancels.
        segment_id: which.
        is_silent: as of update_segment; None: as the change that is cancelled.
        expected: as of update_segment.

    Raises:
        SegmentMissing: no such segment.
        RevisionMismatch: it has changed since.
        SegmentConflict: no backfill is running, or the way back is barred by what other segments have become.
    """
    catalogue = await lock_catalogue(store, clock, author, is_counting=True)
    before = await _expected(store, segment_id, expected)
    if before.backfill_state != "running" or before.previous is None:
        msg = "No backfill of this segment is running, so there is nothing to cancel"
        raise SegmentConflict(msg)
    back = SegmentChange(status=before.previous["status"], criteria=before.previous["criteria"])
    after = changed(before, back)
    try:
        await check_references(store, after)
    except CriteriaError as error:
        msg = f"The criteria from before cannot come back: {error}; change the segment instead"
        raise SegmentConflict(msg) from None
    return await catalogue.change(before, after, is_silent=before.is_silent if is_silent is None else is_silent)


async def delete_segment(
    store: SegmentStore,
    clock: Clock,
    author: Author,
    segment_id: UUID,
    *,
    is_silent: bool,
    expected: Collection[str] | None = None,
) -> Segment:
    """Deletes a segment: nobody finds it any more, and its members leave with the backfill.

    Raises:
        SegmentMissing: no such segment.
        RevisionMismatch: it has changed since.
        SegmentConflict: other segments ask for its members, or campaigns to them are under way.
    """
    catalogue = await lock_catalogue(store, clock, author, is_counting=True)
    before = await _expected(store, segment_id, expected)
    await check_unnamed(store, before)
    await check_no_campaigns(store, before, "deleted")
    return await catalogue.change(before, replace(before, is_deleted=True), is_silent=is_silent)


def check_change(segment: Segment, change: SegmentChange) -> None:
    """Refuses what this segment cannot become, whatever the other segments are.

    Raises:
        CriteriaError: with every fault of the criteria.
        SegmentRefused: a type or criteria that the segment cannot take.
    """
    wanted = change.segment_type
    if wanted is not UNSET and (wanted == STATIC) != segment.is_static:
        others = '"static"' if segment.is_static else '"dynamic" or "behavioral"'
        msg = f"must be {others} for this segment: lists and criteria do not turn into each other; create a new segment"
        raise SegmentRefused("segment_type", msg)
    if change.criteria is not UNSET:
        _criteria_of(segment.segment_type, change.criteria)


def changed(before: Segment, change: SegmentChange) -> Segment:
    """The segment as it would be: what `change` leaves out stays, and the version rises with the criteria only."""
    after = replace(
        before,
        segment_name=before.segment_name if change.segment_name is UNSET else change.segment_name,
        description=before.description if change.description is UNSET else change.description,
        segment_type=before.segment_type if change.segment_type is UNSET else change.segment_type,
        status=before.status if change.status is UNSET else change.status,
    )
    if change.criteria is UNSET or before.is_static or canonical(change.criteria) == canonical(before.criteria):
        return after
    return replace(after, criteria=change.criteria, version=before.version + 1)


def _criteria_of(segment_type: str, criteria: Any) -> Any:
    """The criteria to store."""
    if segment_type != STATIC:
        parse_criteria(criteria)
        return criteria
    if criteria not in (None, NO_CRITERIA):
        msg = "a static segment has none: its members are listed; leave criteria out, or make the segment dynamic"
        raise SegmentRefused("criteria", msg)
    return NO_CRITERIA


async def _expected(store: SegmentStore, segment_id: UUID, expected: Collection[str] | None) -> Segment:
    """The segment, which nobody changes until the transaction ends, if the caller knows it as it is."""
    segment = await read_segment(store, segment_id)
    if expected is not None and str(segment.revision) not in expected:
        raise RevisionMismatch(segment.revision)
    return segment
