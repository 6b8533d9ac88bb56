"""Taking definitions over from a file: segments and campaigns with their ids, then pins."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import groupby
from typing import Final, NamedTuple, Protocol
from uuid import UUID

from service.app.catalogue_change import lock_catalogue
from service.app.definitions import Definitions, DefinitionsError, PinDefinition, SegmentDefinition
from service.app.pins import ADD, CUSTOMERS_AT_ONCE_MAX, REMOVE, Named, PinChange
from service.app.segment_references import check_references
from service.app.segments import DRAFT, Author, SegmentStore
from service.clock import Clock
from service.core.campaigns.model import Campaign
from service.core.criteria.parse import CriteriaError
from service.core.identity import customer_uuid

#: How many names a message repeats.
NAMES_MAX: Final = 10
#: Who imports, where the file names nobody.
IMPORTER: Final = Author("import-definitions", "import-definitions")


class DefinitionStore(SegmentStore, Protocol):
    """The statements of an import, all in one transaction."""

    async def deleted(self, segment_ids: Collection[UUID]) -> set[UUID]:
        """Those of the segments that were there and were deleted."""
        ...

    async def others(self, segment_ids: Collection[UUID]) -> int:
        """How many segments there are, or were, beside these."""
        ...

    async def campaigns(self, campaign_ids: Collection[UUID]) -> dict[UUID, Campaign]:
        """Those of the campaigns that are there or were."""
        ...

    async def insert_campaign(self, campaign: Campaign) -> None:
        """Stores a campaign with the instants it comes with."""
        ...

    async def put_versions(self, definition: SegmentDefinition) -> None:
        """Keeps when a segment was made and changed, and its criteria of before."""
        ...

    async def put_users(self, names: Sequence[tuple[str, str]]) -> None:
        """Keeps these names, but for those that are known."""
        ...

    async def names_and_now(self) -> tuple[dict[str, str], datetime]:
        """The names of all users by their ids, and the instant by the database's clock."""
        ...

    async def stamp_pins(
        self, segment_id: UUID, customer_ids: Sequence[UUID], at: Sequence[datetime], since: datetime
    ) -> None:
        """Notes when these pins were made, but for those that were here before `since`."""
        ...

    async def begin_recovery(self, read_to: Mapping[tuple[str, int], int]) -> None:
        """From the commit on nothing of memberships is published, and no input counts as read.

        Args:
            read_to: the next offset that the group had to read; dead letters of what lies before it were published.
        """
        ...


class Imported(NamedTuple):
    """What an import did to segments, or to campaigns."""

    created: list[UUID]
    unchanged: int


async def import_segments(
    store: DefinitionStore, clock: Clock, definitions: Definitions, *, is_silent: bool, is_recovering: bool = False
) -> Imported:
    """Stores the segments that are not there yet; their backfills start with the commit.

    Args:
        store: the transaction's statements.
        clock: the instant from which the definitions hold for customers who are there.
        definitions: each segment after those that it names.
        is_silent: what the definitions themselves cause is stored, not published.
        is_recovering: as a step of a recovery, which bars all other changes.

    Raises:
        SegmentConflict: a recovery is under way, and this is not part of it.
        DefinitionsError: a segment is there and says something else, or has been deleted.
    """
    catalogue = await lock_catalogue(store, clock, IMPORTER, is_counting=True, is_recovering=is_recovering)
    ids = [one.id for one in definitions.segments]
    gone = await store.deleted(ids)
    new: list[SegmentDefinition] = []
    faults = []
    for one in definitions.segments:
        stored = await store.get(one.id)
        if one.id in gone:
            faults.append(f'segment "{one.segment_name}" ({one.id}) has been deleted here, and its id is spent')
        elif stored is None:
            new.append(one)
        elif not one.is_same(stored):
            faults.append(f'segment "{one.segment_name}" ({one.id}) is here and says something else')
    if faults:
        raise _nothing(faults)
    await store.put_users(list(definitions.users.items()))
    for one in new:
        segment = one.to_segment()
        try:
            await check_references(store, segment)
        except CriteriaError as error:
            msg = f'Nothing was imported: segment "{one.segment_name}" ({one.id}): {error}.'
            raise DefinitionsError(msg) from None
        if segment.is_live:
            before = replace(segment, status=DRAFT)
            segment = await catalogue.introduced(before, segment, is_silent=is_silent, is_new=True)
        await store.insert(segment)
        await store.put_versions(one)
    if new:
        await catalogue.store_next()
    return Imported([one.id for one in new], len(definitions.segments) - len(new))


async def import_campaigns(store: DefinitionStore, definitions: Definitions) -> Imported:
    """Stores the campaigns that are not there yet, in the transaction of their segments; nothing of them is sent.

    Raises:
        DefinitionsError: a campaign is there and says something else, or has been deleted.
    """
    known = await store.campaigns([one.id for one in definitions.campaigns])
    faults = []
    for one in definitions.campaigns:
        stored = known.get(one.id)
        if stored is not None and stored.is_deleted:
            faults.append(f"{one.said} has been deleted here, and its id is spent")
        elif stored is not None and not one.is_same(stored):
            faults.append(f"{one.said} is here and says something else")
    if faults:
        raise _nothing(faults)
    new = [one for one in definitions.campaigns if one.id not in known]
    for one in new:
        await store.insert_campaign(one.to_campaign())
    return Imported([one.id for one in new], len(definitions.campaigns) - len(new))


def _nothing(faults: Sequence[str]) -> DefinitionsError:
    more = f"; and {len(faults) - NAMES_MAX} more" if len(faults) > NAMES_MAX else ""
    return DefinitionsError("Nothing was imported: " + "; ".join(faults[:NAMES_MAX]) + more + ".")


class PinGroup(NamedTuple):
    """Pins of one kind and author, as app.pins takes them, with when each was made."""

    change: PinChange
    customers: list[Named]
    made_at: list[datetime]


def pin_groups(definitions: Definitions, names: Mapping[str, str], recorded_at: int) -> Iterator[PinGroup]:
    """All pins of the file, some at a time; `names` are those of users who are known, and stay."""
    for segment in definitions.segments:
        ordered = sorted(segment.pins, key=_kind)
        for (pin, source, created_by), some in groupby(ordered, key=_kind):
            author = Author(created_by, names.get(created_by, definitions.users.get(created_by, created_by)))
            change = PinChange(segment.id, ADD if pin == "included" else REMOVE, author, recorded_at, source)
            pins = list(some)
            for first in range(0, len(pins), CUSTOMERS_AT_ONCE_MAX):
                portion = pins[first : first + CUSTOMERS_AT_ONCE_MAX]
                named = [Named(customer_uuid(one.customer), one.customer) for one in portion]
                yield PinGroup(change, named, [one.created_at for one in portion])


def _kind(pin: PinDefinition) -> tuple[str, str, str]:
    return pin.pin, pin.source, pin.created_by
