"""Customers with more entries of a kind than a profile keeps: looked at now and then, never silently wrong."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from uuid import UUID

from service.core.events.model import Event
from service.core.profiles.ledger import Ledger
from tests.offline import Engine, catalogue_of
from tests.unit.test_definitions import DAY, START, changes, event, feed, with_segment

LIMIT = 100
#: As many as the window of a customer around the limit holds now and then.
MANY = {
    "key": "many",
    "criteria": {"activity": {"name": "v", "count": {"operator": "gte", "value": 99}, "window": {"days": 5}}},
}
ORDERED = {"key": "ordered", "criteria": {"total_orders": {"operator": "gte", "value": 98, "window": {"days": 5}}}}
REPEATED = {
    "key": "repeated",
    "criteria": {
        "sequence": {
            "steps": [{"activity": {"name": "v"}}, {"activity": {"name": "w"}, "not": True}],
            "within": {"days": 5},
        }
    },
}
OTHER = {
    "key": "other",
    "criteria": {"activity": {"name": "w", "count": {"operator": "gte", "value": 1}, "window": {"days": 5}}},
}


@dataclass
class Counting(Engine):
    """Counts how often somebody is folded anew from all facts."""

    refolds: int = 0

    def _ledger(self, customer_id: UUID, events: list[Event] | None) -> Ledger:
        self.refolds += events is None
        return super()._ledger(customer_id, events)


def engine_of(*segments: dict) -> Counting:
    """An engine at day 300 that keeps 100 entries of a kind."""
    return Counting(catalogue_of(segments), START + 300 * DAY, entries_max=LIMIT)


def visited(number: int, day: float) -> bytes:
    """An activity that the streams count."""
    return event(number, day, "customer.activity", name="v")


def is_over(engine: Engine) -> bool:
    """Whether the one customer is over the limit."""
    (profile,) = engine.profiles.values()
    return bool(profile.over)


class TestAroundTheLimit:
    """Somebody whose window holds now more, now fewer than are kept."""

    def test_it_is_looked_at_once_for_many_events(self) -> None:
        """A steady customer a little over the limit is folded anew once for a tenth of the limit, not every event."""
        engine = engine_of(MANY)
        for number in range(1_000):
            feed(engine, visited(number, 10 + number * 5 / 103))

        assert is_over(engine)
        assert 5 <= engine.refolds <= 1_000 / (LIMIT / 10)

    def test_so_are_orders_and_sequences(self) -> None:
        """Orders within a window and occurrences of a sequence are kinds like any other."""
        for segment, kind in ((ORDERED, "order.placed"), (REPEATED, "customer.activity")):
            engine = engine_of(segment)
            for number in range(500):
                name = {"name": "w" if number % 7 == 0 else "v"} if kind == "customer.activity" else {}
                feed(engine, event(number, 10 + number * 5 / 103, kind, **name))

            assert is_over(engine)
            assert 2 <= engine.refolds <= 500 / (LIMIT / 10)

    def test_what_is_not_over_is_exact(self) -> None:
        """At every event the membership is what the window holds, or the profile says that it is over the limit."""
        engine = engine_of(MANY)
        chance = Random(1)
        days: list[float] = []
        day, pace = 10.0, 1.0
        states = {True: 0, False: 0}
        for number in range(1_500):
            pace = chance.choice((0.9, 1.0, 1.3)) if number % 120 == 0 else pace
            day += pace * 5 / 100
            days.append(round(day, 3))
            feed(engine, visited(number, days[-1]))
            states[is_over(engine)] += 1
            if not is_over(engine):
                held = sum(int(days[-1] * DAY) - int(one * DAY) < 5 * DAY for one in days)

                assert (engine.members()["many"] == {"c"}) == (held >= 99), (number, held)
        assert min(states.values()) > 300

        engine.expire(START + 300 * DAY)

        assert not is_over(engine)
        assert engine.members() == {"many": set()}


class TestVisitedMeanwhile:
    """Somebody over the limit who is folded anew for another reason."""

    def test_nothing_is_taken_for_known_that_was_not_evaluated(self) -> None:
        """A new definition visits the customer; what stood still goes on to, until it is looked at."""
        engine = engine_of(MANY)
        feed(engine, *(visited(number, 10) for number in range(3)))
        feed(engine, *(visited(number, 11 + number / 100) for number in range(3, 101)))
        # From day 15 on there are few enough, but nobody looks before ten more have left.
        feed(engine, event(500, 15.5, "customer.logged_in"))
        assert is_over(engine)
        refolds = engine.refolds
        with_segment(engine, OTHER, day=15.6, version=2)
        engine.expire(START)

        assert engine.refolds == refolds + 1
        assert is_over(engine)
        assert engine.members() == {"many": {"c"}, "other": set()}

        engine.expire(START + 300 * DAY)

        assert not is_over(engine)
        assert changes(engine)[1:] == [("many", 16.1, "left", "time")]
