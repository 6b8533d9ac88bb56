"""Repairs: memberships that are not what a customer's facts say are found, then brought there at one instant.

A profile is folded anew from its facts at the instant it had been evaluated to, and stays there: what time or unread
input does after it is theirs to do. So a membership is wrong only if it is not what must hold at that instant. One that
is wrong changes at the instant of the repair to what holds then, and is held until the customer's timeline has passed
it, as after a change by hand (ARCHITECTURE, Definitions change).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

from service.core.events.model import Event
from service.core.instants import MISSING
from service.core.profiles.ledger import Ledger
from service.core.profiles.profile import Profile
from service.core.segments.customer import CustomerWalk, Row
from service.core.segments.walk import Walk

REBUILD: Final = "rebuild"


class RepairWalk(Walk):
    """A walk without events; use once, to look or to mend.

    The profile is as its facts say, but for what a complete ledger folds; `ordinals` are those of what is stored.
    """

    def look(self, profile: Profile, ledger: Ledger, now: int) -> None:
        """Adds the rows whose transitions with the reason REBUILD are the memberships that are wrong.

        Args:
            profile: changed in place, and folded anew by `mend`.
            ledger: all orders, refunds and activities up to `evaluated_to`.
            now: the clock, microseconds.
        """
        customer = self._begin(profile, ledger)
        customer.look(now)
        self._end(profile)

    def mend(self, profile: Profile, ledger: Ledger, now: int, slots: Collection[int], reason: str = REBUILD) -> None:
        """Changes these memberships, and those that ask for their members, to what must hold, not before now.

        Args:
            profile: changed in place.
            ledger: as of `look`.
            now: the clock, microseconds.
            slots: of the segments whose membership is wrong.
            reason: of the transitions.
        """
        customer = self._begin(profile, ledger)
        if slots:
            customer.mend([self.catalogue.places[slot] for slot in slots], reason, now)
        self._end(profile)

    def _begin(self, profile: Profile, ledger: Ledger) -> _Customer:
        self.mark()
        self.profiles.append(profile)
        profile.over = {}
        profile.refold(ledger, self.catalogue.shape)
        customer = _Customer(self, self.catalogue, profile, ledger)
        customer.end()
        return customer

    def _end(self, profile: Profile) -> None:
        profile.mark = self.catalogue.version
        profile.trim(self.catalogue.shape, self._entries_max)


class _Customer(CustomerWalk):
    """One customer in a repair."""

    @property
    def _is_nobody(self) -> bool:
        return self.profile.first_seen_at == MISSING

    def look(self, now: int) -> None:
        """Shows every membership at the instant from which it must hold."""
        for row, columns in self._standing(range(len(self.catalogue.definitions)), now):
            self.rows.append(row, columns)

    def mend(self, places: Collection[int], reason: str, now: int) -> None:
        """Shows these memberships and their dependants as they are at an instant not before now, and holds them.

        First as they should have been: what time has changed since then must end what others have been told, too.
        """
        affected = self.catalogue.with_dependants(sorted(places))
        at = self._instant_of(affected, now)
        for row, columns in self._standing(places, now):
            self.rows.append(row._replace(as_of=at, reason=reason), columns)
        self._change(affected, affected, reason, now)

    def _standing(self, places: Collection[int], now: int) -> Iterator[tuple[Row, list[int]]]:
        """These memberships, each at the instant from which it must hold; who has no facts is looked at now."""
        evaluated_to = now if self._is_nobody else self.profile.evaluated_to
        since = dict.fromkeys(places, evaluated_to)
        for floor, place in self.floors:
            if place in since and not self._is_nobody:
                since[place] = max(since[place], floor)
        for at in sorted(set(since.values())):
            yield self._row(at, None, only=tuple(sorted(one for one in places if since[one] == at)), reason=REBUILD)

    def _row(
        self, at: int, event: Event | None, only: tuple[int, ...] | None = None, reason: str | None = None
    ) -> tuple[Row, list[int]]:
        row, columns = super()._row(at, event, only, reason)
        return (row._replace(is_nobody=True) if self._is_nobody else row), columns
