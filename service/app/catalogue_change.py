"""The catalogue, held exclusively for one transaction, on its way to its next version."""

from __future__ import annotations

from dataclasses import dataclass, replace

from service.app.segment_references import dependants
from service.app.segments import Author, Segment, SegmentConflict, SegmentStore, read_segment
from service.clock import Clock
from service.core.criteria.needs import needs_of
from service.core.criteria.parse import parse_criteria
from service.core.profiles.shape import Shape
from service.crash import crash_point


async def lock_catalogue(
    store: SegmentStore, clock: Clock, author: Author, *, is_counting: bool, is_recovering: bool = False
) -> CatalogueChange:
    """Takes the catalogue; `is_counting` where membership may change.

    Raises:
        SegmentConflict: a recovery is under way, and this change is not part of it (`is_recovering`).
    """
    profiles = await store.count_profiles() if is_counting else 0  # before the lock, for it may take a while
    version, shape = await store.lock_catalogue()
    if not is_recovering and await store.is_recovering():
        msg = "Memberships are being recovered from the input topics; segments can be changed when that is done"
        raise SegmentConflict(msg)
    return CatalogueChange(store, clock, author, version + 1, shape, profiles)


@dataclass
class CatalogueChange:
    """The catalogue, held exclusively, on its way to its next version; `profiles` may be out of date."""

    store: SegmentStore
    clock: Clock
    author: Author
    version: int
    shape: Shape
    profiles: int

    async def change(self, before: Segment, after: Segment, *, is_silent: bool) -> Segment:
        """Stores a segment that differs, with a new definition where its membership may differ; gives it as stored."""
        after = replace(after, revision=before.revision + 1)
        is_redefined = after.version > before.version and after.is_live
        if is_redefined or after.is_live != before.is_live:
            after = await self.introduced(before, after, is_silent=is_silent)
        await self.store.note_author(self.author)
        await self.store.update(before, after)
        if after.version > before.version:
            await self.store.add_version(after, self.author)
        await self.store_next()
        return after if after.is_deleted else await read_segment(self.store, after.id)

    async def introduced(self, before: Segment, after: Segment, *, is_silent: bool, is_new: bool = False) -> Segment:
        """The segment with a definition that the customers who are already there do not know yet.

        The count of profiles must be exact about none: then nobody has to be told, and no backfill would ever come by.
        A new static segment has no pins, so nobody has to be told either. The segments that depend on this one are
        introduced again with it.
        """
        profiles = 0 if is_new and after.is_static else self.profiles or await self.store.count_profiles()
        if after.is_live and not after.is_static:
            self.shape = self.shape.grown_for(needs_of([parse_criteria(after.criteria)]))
        since = self.clock()
        # They stay as new as this change, even when the segment that changed is gone and forgotten.
        await self.store.introduce_again(await dependants(self.store, after.id), self.version, since)
        return replace(
            after,
            introduced=self.version,
            since=since,
            is_silent=is_silent,
            is_kept=after.is_live or profiles > 0,
            backfill_state="running" if profiles else "done",
            backfill_done=0,
            backfill_total=profiles,
            previous={"status": before.status, "criteria": before.criteria} if profiles else None,
        )

    async def store_next(self) -> None:
        """Writes the next version, so that every process compiles its catalogue anew."""
        await self.store.store_catalogue(self.version, self.shape)
        crash_point("definition-written")
