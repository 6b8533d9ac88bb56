"""What the use cases ask of the outside; adapters implement it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol
from uuid import UUID

from service.core.events.model import Event
from service.core.profiles.ledger import Fact, OrderChange
from service.core.profiles.profile import Profile
from service.core.segments.catalogue import Catalogue
from service.core.segments.walk import Transition


class StoredProfile(NamedTuple):
    """One row of `profiles`, locked. Instants are microseconds, None where missing."""

    customer_id: UUID
    total_orders: int
    total_spent: int
    last_order_at: int | None
    evaluated_to: int
    born: int
    mark: int
    shape_version: int
    ordinals: bytes
    state: bytes


class StoredFact(NamedTuple):
    """A fact of a customer with the id of its event."""

    customer_id: UUID
    event_id: str
    fact: Fact


class DeadLetter(NamedTuple):
    """A record set aside. `value` is cut and `size` tells the original one where it was too large."""

    reason: str
    error: str
    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    size: int
    headers: Sequence[tuple[str, bytes | None]]
    customer_id: UUID | None = None


class Offset(NamedTuple):
    """The next offset to read of an input partition."""

    topic: str
    partition: int
    next_offset: int


class Store(Protocol):
    """The statements of one batch, all in one transaction.

    Attributes:
        entries_max: how many entries of one kind a profile keeps.
    """

    entries_max: int

    async def catalogue(self) -> Catalogue:
        """The current definitions; holds the catalogue shared until the transaction ends."""
        ...

    async def lock_profiles(self, customer_ids: Sequence[UUID]) -> list[StoredProfile]:
        """Locks the rows in the order of ids; ids must ascend. Customers without a profile are left out."""
        ...

    async def lock_due(self, limit_instant: int, customers_max: int, but: Sequence[UUID] = ()) -> list[StoredProfile]:
        """Locks customers whose next_due_at has come, that nobody else works on and that are not in `but`."""
        ...

    async def lock_behind(
        self, introduced: int, after: UUID, customers_max: int, but: Sequence[UUID] = ()
    ) -> list[StoredProfile]:
        """Locks customers beyond `after` and not in `but` that this catalogue version has not reached, ascending."""
        ...

    async def hold_erasures(self, *, is_erasing: bool) -> None:
        """Holds tombstones as they are until the transaction ends, or (who erases) keeps all others from storing.

        For who stores something about a customer without that profile's lock: the first event, a pin of somebody
        unknown, a dead letter. Otherwise an erasure beside it would not see it.
        """
        ...

    async def erased(self, customer_ids: Sequence[UUID]) -> set[UUID]:
        """Those of the customers whose id is a tombstone."""
        ...

    async def touched_facts(self, events: Collection[Event]) -> list[StoredFact]:
        """Facts of the orders and refunds that these events touch."""
        ...

    async def all_facts(self, customer_ids: Sequence[UUID], activities: Sequence[str]) -> list[StoredFact]:
        """All order facts and refunds of these customers, and their activities of these names."""
        ...

    async def known_ids(self, events: Collection[Event]) -> set[tuple[UUID, str]]:
        """Which of these events without a natural id are stored already."""
        ...

    async def write_facts(self, events: Sequence[Event]) -> None:
        """Stores what the events say; none of them is stored yet."""
        ...

    async def write_profiles(self, profiles: Sequence[Profile], due: Mapping[UUID, int | None]) -> None:
        """Stores new and changed profiles; a row count that differs stops the batch."""
        ...

    async def write_orders(self, changes: Sequence[tuple[Profile, OrderChange]]) -> None:
        """Stores what became of orders: one row for each that counts."""
        ...

    async def write_memberships(self, transitions: Sequence[Transition], recorded_at: int) -> None:
        """Opens and closes memberships."""
        ...

    async def write_outbox(
        self, transitions: Sequence[Transition], recorded_at: int, letters: Sequence[DeadLetter]
    ) -> None:
        """One row with all that must leave."""
        ...

    async def write_dead_letters(self, letters: Sequence[DeadLetter]) -> list[DeadLetter]:
        """Stores dead letters; gives those that were not stored before."""
        ...

    async def erase(self, customer_ids: Sequence[UUID]) -> None:
        """Deletes all that is known of these customers and leaves tombstones."""
        ...

    async def frontier(self) -> Mapping[tuple[str, int], int]:
        """The next offset of each input partition that has not been applied."""
        ...

    async def future_letters(self, places: Collection[tuple[str, int, int]]) -> set[tuple[str, int, int]]:
        """Which of these places (topic, partition, offset) hold dead letters with the reason future_event."""
        ...

    async def advance_frontier(self, offsets: Iterable[Offset]) -> None:
        """Notes how far the input has been applied; never goes back."""
        ...
