"""Definitions that come or change while customers are there (DESIGN, Segments change)."""

from __future__ import annotations

import json
from uuid import uuid5

from service.core import instants
from service.core.segments.catalogue import NOBODY, compile_catalogue
from tests.offline import SPACE, Engine, catalogue_of, collapsed

DAY = instants.DAY
START = instants.parse("2024-01-01T00:00:00Z")
RECENT = {"key": "recent", "criteria": {"last_order_date": {"operator": "within_last", "days": 10}}}
BUYER = {"key": "buyer", "criteria": {"total_orders": {"operator": "gte", "value": 1}}}


def event(number: int, day: float, kind: str = "order.placed", **data: object) -> bytes:
    """An event of customer c on a day after the start."""
    body = {"customer_id": "c", **data}
    if kind == "order.placed":
        body = {"order_id": f"o{number}", "currency": "USD", "total": 10, **body}
    time = instants.to_text(START + int(day * DAY))
    return json.dumps(
        {"specversion": "1.0", "id": f"e{number}", "source": "/t", "type": kind, "time": time, "data": body}
    ).encode()


def feed(engine: Engine, *lines: bytes) -> None:
    """One batch."""
    engine.batch(engine.read(lines))


def changes(engine: Engine) -> list[tuple[str, float, str, str]]:
    """(segment, day, change, reason) as published."""
    return [(s, (at - START) / DAY, change, reason) for _, s, at, change, reason, _ in engine.published]


def with_segment(engine: Engine, segment: dict, day: float, version: int) -> None:
    """Adds a definition at a day; nobody is backfilled yet."""
    old = engine.catalogue
    new = catalogue_of([segment], version, START + int(day * DAY)).definitions[0]
    new = new._replace(slot=len(old.definitions))
    shape = old.shape.grown_for(
        compile_catalogue(version, [new], old.shape.grown_for(catalogue_of([segment]).plan.needs)).plan.needs
    )
    engine.catalogue = compile_catalogue(version, [*old.definitions, new], shape)


class TestNewDefinition:
    """A definition that comes when customers are there."""

    def test_it_holds_from_its_own_instant(self) -> None:
        """Backfilled members join at the definition's instant, with reason definition."""
        engine = Engine(catalogue_of([]), START + 100 * DAY)
        feed(engine, event(1, 1))
        with_segment(engine, BUYER, day=5, version=2)
        engine.expire(START)

        assert changes(engine) == [("buyer", 5, "joined", "definition")]

    def test_it_is_evaluated_at_its_own_instant(self) -> None:
        """A window that has passed by then lets nobody in, though it held at the customer's last event."""
        engine = Engine(catalogue_of([]), START + 100 * DAY)
        feed(engine, event(1, 1))
        with_segment(engine, RECENT, day=50, version=2)
        engine.expire(START)

        assert changes(engine) == []

    def test_edges_after_it_fire_and_edges_before_it_do_not(self) -> None:
        """Time goes on from the definition's instant: members leave when their window ends."""
        engine = Engine(catalogue_of([]), START + 100 * DAY)
        feed(engine, event(1, 1))
        with_segment(engine, RECENT, day=5, version=2)
        engine.expire(START)
        engine.expire(START + 30 * DAY)

        assert changes(engine) == [("recent", 5, "joined", "definition"), ("recent", 11, "left", "time")]

    def test_an_event_first_brings_the_definition_in(self) -> None:
        """A customer whom the backfill has not reached switches at the definition's instant, then the event counts."""
        engine = Engine(catalogue_of([]), START + 100 * DAY)
        feed(engine, event(1, 1))
        with_segment(engine, BUYER, day=5, version=2)
        feed(engine, event(2, 8, "order.cancelled", order_id="o1"))

        assert changes(engine) == [("buyer", 5, "joined", "definition"), ("buyer", 8, "left", "event")]

    def test_what_late_input_does_is_not_put_down_to_the_definition(self) -> None:
        """An event from before the definition joins by itself, whether the backfill came first, after it or never."""
        found = []
        for is_backfilled in (True, False):
            engine = Engine(catalogue_of([]), START + 100 * DAY)
            feed(engine, event(1, 1, "customer.logged_in"))
            with_segment(engine, BUYER, day=5, version=2)
            if is_backfilled:
                engine.expire(START)
            feed(engine, event(2, 2), event(3, 8, "customer.logged_in"))
            found.append(changes(engine))

        assert found == [[("buyer", 5, "joined", "event")]] * 2

    def test_late_input_at_the_very_instant_of_the_definition(self) -> None:
        """Where the customer stands at the definition's instant already, the definition comes first as well."""
        engine = Engine(catalogue_of([]), START + 100 * DAY)
        feed(engine, event(1, 5, "customer.logged_in"))
        with_segment(engine, BUYER, day=5, version=2)
        feed(engine, event(2, 2))

        assert engine.members()["buyer"] == {"c"}

    def test_time_that_had_not_come_by_changes_dependants(self) -> None:
        """A dependant that came before the other segment's edge had fired is looked at again when it does."""
        engine = Engine(catalogue_of([RECENT]), START + 100 * DAY)
        feed(engine, event(1, 1))
        asks = {"key": "dep", "criteria": {"member_of": str(uuid5(SPACE, "recent"))}}
        dependant = catalogue_of([asks]).definitions[0]._replace(slot=1, introduced=2, since=START + 12 * DAY)
        engine.catalogue = compile_catalogue(2, [*engine.catalogue.definitions, dependant], engine.catalogue.shape)
        engine.expire(START)
        engine.expire(START + 100 * DAY)

        assert changes(engine)[-1] == ("dep", 12, "left", "time")
        assert engine.members() == {"recent": set(), "dep": set()}

    def test_an_event_at_the_very_instant_of_the_definition(self) -> None:
        """The definition comes first, by what was known before; then the event."""
        engine = Engine(catalogue_of([]), START + 100 * DAY)
        feed(engine, event(1, 1, "customer.logged_in"))
        with_segment(engine, BUYER, day=5, version=2)
        feed(engine, event(2, 5))

        assert changes(engine) == [("buyer", 5, "joined", "event")]
        assert engine.members()["buyer"] == {"c"}

    def test_late_input_never_goes_back_behind_it(self) -> None:
        """Events older than the definition change it at its own instant, not before."""
        engine = Engine(catalogue_of([]), START + 100 * DAY)
        feed(engine, event(1, 1, "customer.logged_in"))
        with_segment(engine, BUYER, day=5, version=2)
        engine.expire(START)
        feed(engine, event(2, 2))

        assert changes(engine) == [("buyer", 5, "joined", "event")]

    def test_late_input_shows_at_its_instant_however_it_is_split(self) -> None:
        """Events from before and after the definition, in one batch or in two, let the customer join at one instant."""
        found = []
        for batches in ([[2, 3]], [[2], [3]]):
            engine = Engine(catalogue_of([]), START + 100 * DAY)
            feed(engine, event(1, 1, "customer.logged_in"))
            with_segment(engine, BUYER, day=5, version=2)
            engine.expire(START)
            lines = {2: event(2, 2), 3: event(3, 8, "customer.logged_in")}
            for batch in batches:
                feed(engine, *(lines[number] for number in batch))
            found.append(changes(engine))

        assert found == [[("buyer", 5, "joined", "event")]] * 2

    def test_other_segments_keep_their_timeline(self) -> None:
        """Unread input of another segment stays exact when a definition comes in between."""
        engine = Engine(catalogue_of([RECENT]), START + 100 * DAY)
        feed(engine, event(1, 1))
        with_segment(engine, BUYER, day=60, version=2)
        engine.expire(START)
        feed(engine, event(2, 20))
        engine.expire(START + 100 * DAY)

        got = [one for one in changes(engine) if one[0] == "recent"]
        assert [(day, change) for _, day, change, _ in got] == [
            (1, "joined"),
            (11, "left"),
            (20, "joined"),
            (30, "left"),
        ]

    def test_new_customers_know_it_from_their_first_event(self) -> None:
        """For a customer born after the definition, membership is the pure function of time, however old the events."""
        engine = Engine(catalogue_of([BUYER], 3, START + 90 * DAY), START + 100 * DAY)
        feed(engine, event(1, 1))

        assert changes(engine) == [("buyer", 1, "joined", "event")]


class TestDefinitionGoes:
    """A definition on its way out."""

    def test_members_leave(self) -> None:
        """Members leave at the instant of the change, with reason definition."""
        engine = Engine(catalogue_of([BUYER]), START + 100 * DAY)
        feed(engine, event(1, 1))
        gone = engine.catalogue.definitions[0]._replace(criteria=NOBODY, introduced=2, since=START + 7 * DAY)
        engine.catalogue = compile_catalogue(2, [gone], engine.catalogue.shape)
        engine.expire(START)

        assert changes(engine)[-1] == ("buyer", 7, "left", "definition")


class TestFutureEvents:
    """Events whose time has not come."""

    def test_they_take_effect_at_their_own_time(self) -> None:
        """An event a little ahead of the clock is kept and counts from its own instant on."""
        engine = Engine(catalogue_of([BUYER]), START + DAY)
        engine.now = START + 2 * DAY
        events = engine.read([event(1, 2)])
        engine.now = START + DAY
        engine.batch(events)
        assert changes(engine) == []
        engine.now = START + 3 * DAY
        engine.expire(START + 3 * DAY)

        assert changes(engine) == [("buyer", 2, "joined", "event")]

    def test_nobody_exists_before_their_first_event(self) -> None:
        """A definition that comes while a customer's only event is ahead finds no customer."""
        everybody = {"key": "all", "criteria": {}}
        engine = Engine(catalogue_of([]), START + 2 * DAY)
        events = engine.read([event(1, 2)])
        engine.now = START + DAY
        engine.batch(events)
        with_segment(engine, everybody, day=1.5, version=2)
        engine.expire(START + DAY)
        assert changes(engine) == []
        engine.now = START + 3 * DAY
        engine.expire(START + 3 * DAY)

        assert [(s, day, change) for s, day, change, _ in changes(engine)] == [("all", 2, "joined")]

    def test_an_event_of_the_future_finds_its_order(self) -> None:
        """A cancellation that was ahead of the clock, once its time has come, takes its order away, also by timer."""
        for by_timer in (True, False):
            engine = Engine(catalogue_of([BUYER]), START + 2 * DAY)
            ahead = engine.read([event(2, 2, "order.cancelled", order_id="o1")])
            login = engine.read([event(3, 2, "customer.logged_in")])
            engine.now = START + DAY
            feed(engine, event(1, 1))
            engine.batch(ahead)
            engine.now = START + 3 * DAY
            if by_timer:
                engine.expire(START + 3 * DAY)
            else:
                engine.batch(login)

            assert changes(engine) == [("buyer", 1, "joined", "event"), ("buyer", 2, "left", "event")]


class TestErasure:
    """customer.deleted."""

    def test_definitions_newer_than_the_deletion_are_left_too(self) -> None:
        """A segment that came after the customer is left as well, not before it was joined."""
        engine = Engine(catalogue_of([]), START + 100 * DAY)
        feed(engine, event(1, 1))
        with_segment(engine, BUYER, day=5, version=2)
        engine.expire(START)
        feed(engine, event(2, 3, "customer.deleted"))

        assert changes(engine) == [("buyer", 5, "joined", "definition"), ("buyer", 5, "left", "erasure")]

    def test_the_customer_leaves_everything(self) -> None:
        """Erasure leaves every segment at the event's instant, with reason erasure."""
        engine = Engine(catalogue_of([BUYER, RECENT]), START + 100 * DAY)
        feed(engine, event(1, 1), event(2, 3, "customer.deleted"))

        assert sorted(changes(engine)[-2:]) == [("buyer", 3, "left", "erasure"), ("recent", 3, "left", "erasure")]
        assert collapsed((c, s, at, change) for c, s, at, change, _, _ in engine.published)
