"""Recovery: memberships that came back from the input topics go on where the membership topic ended.

While it is under way everything is stored and nothing published (`catalogue.is_recovering`). At its end, in one
transaction that holds the catalogue, each customer's ordinal in each segment is compared with the last one published.
Where both say the same, the numbers of the memberships that came back are shifted to the topic's; where they differ,
the difference is published under the next number: it is what the database had not yet sent when it was lost.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol
from uuid import UUID

from service.app.ports import DeadLetter
from service.core.profiles.profile import Profile
from service.core.segments.catalogue import NOBODY, Definition
from service.core.segments.customer import DEFINITION
from service.core.segments.ordinals import with_ordinal
from service.core.segments.walk import Transition

#: Of a change that no stored membership tells of.
REBUILD: Final = "rebuild"
ERASURE: Final = "erasure"
CUSTOMERS_AT_ONCE_MAX: Final = 500


class Published(NamedTuple):
    """The last record of the membership topic for one customer and segment; an odd ordinal means joined."""

    customer_id: UUID
    external_id: str
    segment_id: UUID
    ordinal: int


class Named(NamedTuple):
    """A segment as its changes name it."""

    id: UUID
    slot: int
    name: str
    version: int
    is_live: bool

    def definition(self) -> Definition:
        """For a transition."""
        return Definition(self.id, self.slot, self.name, self.version, NOBODY, 0, 0)


class Difference(NamedTuple):
    """A customer and a segment of which topic and table do not say the same.

    Attributes:
        ordinals: of the customer's profile.
        published: the last ordinal on the topic; 0 where there is none.
        stored: the last ordinal by the table of memberships; 0 where there is none.
        at, reason: of the last stored change; None where there is none.
    """

    customer_id: UUID
    external_id: str
    ordinals: bytes
    segment: Named
    published: int
    stored: int
    at: int | None
    reason: str | None


class Renumbered(NamedTuple):
    """By how much the ordinals of a customer's memberships in a segment change; those of the past may end below 1."""

    customer_id: UUID
    segment_id: UUID
    shift: int


@dataclass
class Aligned:
    """What came of it.

    Attributes:
        agreed: memberships that topic and database had alike.
        renumbered: customers and segments whose ordinals were shifted to the topic's.
        published: differences that were published.
        forgotten: memberships on the topic whose customer or segment is not here; nobody will say that they end.
    """

    agreed: int = 0
    renumbered: int = 0
    published: int = 0
    forgotten: int = 0


class RecoveryOver(Exception):
    """Somebody else has ended the recovery meanwhile."""


class RecoverStore(Protocol):
    """The statements of the last step, all in one transaction."""

    async def note_published(self, last: Sequence[Published]) -> None:
        """Keeps these until the transaction ends; a later one of the same customer and segment replaces an earlier."""
        ...

    async def hold_catalogue(self) -> bool:
        """Keeps everybody else from changing memberships until the transaction ends; whether a recovery still runs."""
        ...

    async def counts(self) -> tuple[int, int]:
        """How many of the published memberships agree, and how many nobody here knows."""
        ...

    def differences(self) -> AsyncIterator[Difference]:
        """All, ascending by customer."""
        ...

    def erased_members(self) -> AsyncIterator[tuple[UUID, str, Named, int]]:
        """(customer, external id, segment, last ordinal) of erased customers who were published as members last."""
        ...

    async def renumber(self, memberships: Sequence[Renumbered]) -> None:
        """Shifts the ordinals of stored memberships."""
        ...

    async def put_ordinals(self, ordinals: Sequence[tuple[UUID, bytes]]) -> None:
        """Stores profiles' ordinals."""
        ...

    async def write_outbox(
        self, transitions: Sequence[Transition], recorded_at: int, letters: Sequence[DeadLetter]
    ) -> None:
        """See Store."""
        ...

    async def end_recovery(self) -> None:
        """From the commit on everything is published again."""
        ...


def settled(published: int, stored: int) -> tuple[int, bool]:
    """The ordinal to go on from, and whether the last change must be published."""
    is_same = published % 2 == stored % 2
    return (published, False) if is_same else (published + 1, True)


async def align(store: RecoverStore, log: AsyncIterator[Sequence[Published]], now: int, recorded_at: int) -> Aligned:
    """The last step.

    Args:
        store: the transaction's statements.
        log: the membership topic from its beginning to its end, some records at a time, in order per customer.
        now: the clock, microseconds; the instant of changes that no stored membership tells of.
        recorded_at: real time.

    Raises:
        RecoveryOver: nothing is left to do.
    """
    async for some in log:
        last: dict[tuple[UUID, UUID], Published] = {}
        for told in some:
            known = last.get((told.customer_id, told.segment_id))
            if known is None or told.ordinal > known.ordinal:
                last[told.customer_id, told.segment_id] = told
        await store.note_published(list(last.values()))
    if not await store.hold_catalogue():
        raise RecoveryOver
    done = Aligned()
    done.agreed, done.forgotten = await store.counts()
    writer = _Writer(store, now, recorded_at, done)
    found: list[Difference] = []
    async for one in store.differences():
        if len(found) >= CUSTOMERS_AT_ONCE_MAX and one.customer_id != found[-1].customer_id:
            await writer.write(found)
            found = []
        found.append(one)
    await writer.write(found)
    await writer.say_farewell([one async for one in store.erased_members()])
    await store.end_recovery()
    return done


class _Writer:
    """Writes differences, all of a customer's at once."""

    def __init__(self, store: RecoverStore, now: int, recorded_at: int, done: Aligned) -> None:
        self._store = store
        self._now, self._recorded_at, self._done = now, recorded_at, done

    async def write(self, differences: Sequence[Difference]) -> None:
        """Some customers; nothing to do where there are none."""
        ordinals: dict[UUID, bytes] = {}
        renumbered: list[Renumbered] = []
        transitions: list[Transition] = []
        for one in differences:
            segment = one.segment
            ordinal, must_publish = settled(one.published, one.stored)
            ordinals[one.customer_id] = with_ordinal(ordinals.get(one.customer_id, one.ordinals), segment.slot, ordinal)
            if one.stored and ordinal != one.stored:
                renumbered.append(Renumbered(one.customer_id, segment.id, ordinal - one.stored))
            if must_publish:
                at = self._now if one.at is None else one.at
                profile = Profile(one.customer_id, one.external_id)
                reason = one.reason or (REBUILD if segment.is_live else DEFINITION)
                has_joined = bool(ordinal % 2)
                transitions.append(Transition(profile, segment.definition(), ordinal, has_joined, at, reason, None))
        if renumbered:
            await self._store.renumber(renumbered)
        if ordinals:
            await self._store.put_ordinals(list(ordinals.items()))
        if transitions:
            await self._store.write_outbox(transitions, self._recorded_at, [])
        self._done.renumbered += len(renumbered)
        self._done.published += len(transitions)

    async def say_farewell(self, members: Sequence[tuple[UUID, str, Named, int]]) -> None:
        """Members on the topic whom the input erased and the lost database had not."""
        transitions = [
            Transition(
                Profile(customer_id, external_id), segment.definition(), ordinal + 1, False, self._now, ERASURE, None
            )
            for customer_id, external_id, segment, ordinal in members
        ]
        if transitions:
            await self._store.write_outbox(transitions, self._recorded_at, [])
        self._done.published += len(transitions)
