"""Pins: people put into a segment or kept out of it by hand, and the segments that ask for its members."""

from __future__ import annotations

from service.core.segments.catalogue import NOBODY, compile_catalogue
from tests.offline import SPACE, Engine, catalogue_of, uuid5
from tests.unit.test_definitions import BUYER, DAY, RECENT, START, changes, event, feed

LIST = {"key": "list", "criteria": {"any": [{"total_orders": {"operator": "lt", "value": 0}}]}}
LISTED = {"key": "listed", "criteria": {"member_of": str(uuid5(SPACE, "list"))}}
UNLISTED_BUYER = {"key": "unlisted", "criteria": {**BUYER["criteria"], "not_member_of": str(uuid5(SPACE, "list"))}}


def engine_of(*segments: dict) -> Engine:
    """An engine at day 50 with these definitions."""
    return Engine(catalogue_of(segments), START + 50 * DAY)


class TestPins:
    """What a pin does to membership."""

    def test_included_until_it_is_removed(self) -> None:
        """A pinned member stays whatever the criteria say; without the pin the criteria decide again."""
        engine = engine_of(RECENT)
        feed(engine, event(1, 1))
        engine.pin("c", "recent", True)
        engine.expire(START + 50 * DAY)
        engine.now = START + 60 * DAY
        engine.pin("c", "recent", None)

        assert changes(engine) == [
            ("recent", 1, "joined", "event"),
            ("recent", 60, "left", "manual"),
        ]

    def test_excluded_until_it_is_removed(self) -> None:
        """Who is pinned out leaves at the instant of the change and does not come back by an event."""
        engine = engine_of(BUYER)
        feed(engine, event(1, 1))
        engine.pin("c", "buyer", False)
        engine.now = START + 51 * DAY
        feed(engine, event(2, 51))
        engine.pin("c", "buyer", None)

        assert changes(engine) == [
            ("buyer", 1, "joined", "event"),
            ("buyer", 50, "left", "manual"),
            ("buyer", 51, "joined", "manual"),
        ]

    def test_a_pin_that_changes_nothing_is_silent(self) -> None:
        """Including a member publishes nothing."""
        engine = engine_of(BUYER)
        feed(engine, event(1, 1))
        engine.pin("c", "buyer", True)

        assert changes(engine) == [("buyer", 1, "joined", "event")]

    def test_other_segments_do_not_move_on(self) -> None:
        """A change by hand ahead of unread input leaves the instants of every other segment as they are."""
        engine = engine_of(LIST, RECENT)
        feed(engine, event(1, 1))
        engine.pin("c", "list", True)
        feed(engine, event(2, 5))
        engine.expire(START + 49 * DAY)

        assert changes(engine) == [
            ("recent", 1, "joined", "event"),
            ("list", 50, "joined", "manual"),
            ("recent", 15, "left", "time"),
        ]

    def test_erasure_ends_pins(self) -> None:
        """An erased customer is in nothing, at an instant not before the change by hand."""
        engine = engine_of(LIST)
        feed(engine, event(1, 1))
        engine.pin("c", "list", True)
        feed(engine, event(2, 2, "customer.deleted"))

        assert changes(engine) == [("list", 50, "joined", "manual"), ("list", 50, "left", "erasure")]

    def test_archiving_wins_over_pins(self) -> None:
        """When the segment goes, pinned members leave; when it comes back, they are there again."""
        engine = engine_of(LIST)
        feed(engine, event(1, 1))
        engine.pin("c", "list", True)
        before = engine.catalogue.definitions[0]
        gone = before._replace(criteria=NOBODY, introduced=2, since=START + 60 * DAY, is_live=False)
        engine.catalogue = compile_catalogue(2, [gone], engine.catalogue.shape)
        engine.now = START + 70 * DAY
        engine.expire(START)
        back = before._replace(introduced=3, since=START + 80 * DAY)
        engine.catalogue = compile_catalogue(3, [back], engine.catalogue.shape)
        engine.now = START + 90 * DAY
        engine.expire(START)

        assert [(day, change) for _, day, change, _ in changes(engine)] == [
            (50, "joined"),
            (60, "left"),
            (80, "joined"),
        ]


class TestUnknownCustomers:
    """People on a list whom no event has named yet."""

    def test_they_are_members_and_nothing_else(self) -> None:
        """An unknown id joins the list; it is in no other segment, not even one that asks for the list's members."""
        everybody = {"key": "all", "criteria": {}}
        engine = engine_of(LIST, LISTED, everybody)
        engine.pin("n", "list", True)
        engine.expire(START + 50 * DAY)

        assert changes(engine) == [("list", 50, "joined", "manual")]

    def test_their_first_event_finds_them(self) -> None:
        """With the first event they exist for other segments; for the list's dependants not before they were listed."""
        engine = engine_of(LIST, LISTED, BUYER)
        engine.pin("c", "list", True)
        feed(engine, event(1, 3))

        assert sorted(changes(engine)) == [
            ("buyer", 3, "joined", "event"),
            ("list", 50, "joined", "manual"),
            ("listed", 50, "joined", "event"),
        ]

    def test_definitions_that_came_between_are_as_for_anybody_new(self) -> None:
        """A segment made after the pin and before the first event knows the customer from that event on."""
        engine = engine_of(LIST)
        engine.pin("c", "list", True)
        old = engine.catalogue
        new = catalogue_of([BUYER], 2, START + 55 * DAY).definitions[0]._replace(slot=1)
        engine.catalogue = compile_catalogue(2, [*old.definitions, new], old.shape)
        engine.now = START + 60 * DAY
        engine.expire(START)
        feed(engine, event(1, 3))

        assert changes(engine) == [("list", 50, "joined", "manual"), ("buyer", 3, "joined", "event")]


class TestReferences:
    """Segments that ask for the members of others."""

    def test_dependants_change_in_the_same_step(self) -> None:
        """One event, one edge or one change by hand moves a segment and all that refer to it, at one instant."""
        inner = {"key": "a", "criteria": RECENT["criteria"]}
        outer = {"key": "b", "criteria": {"not_member_of": str(uuid5(SPACE, "a"))}}
        last = {"key": "c", "criteria": {"member_of": str(uuid5(SPACE, "b")), **BUYER["criteria"]}}
        engine = engine_of(last, outer, inner)
        feed(engine, event(1, 1, "customer.logged_in"), event(2, 2))
        engine.expire(START + 50 * DAY)

        assert [(s, day, change) for s, day, change, _ in changes(engine)] == [
            ("b", 1, "joined"),
            ("b", 2, "left"),
            ("a", 2, "joined"),
            ("c", 12, "joined"),
            ("b", 12, "joined"),
            ("a", 12, "left"),
        ]

    def test_by_hand(self) -> None:
        """A pin in one segment joins and leaves those that refer to it, with the reason of the change."""
        engine = engine_of(LIST, LISTED, UNLISTED_BUYER)
        feed(engine, event(1, 1))
        engine.pin("c", "list", True)
        feed(engine, event(2, 2))
        engine.now = START + 60 * DAY
        engine.pin("c", "list", None)

        assert changes(engine) == [
            ("unlisted", 1, "joined", "event"),
            ("list", 50, "joined", "manual"),
            ("listed", 50, "joined", "manual"),
            ("unlisted", 50, "left", "manual"),
            ("list", 60, "left", "manual"),
            ("listed", 60, "left", "manual"),
            ("unlisted", 60, "joined", "manual"),
        ]

    def test_a_pin_before_an_edge_that_had_not_fired(self) -> None:
        """What a pin lets in is looked at again when time has changed the other segment it asks for."""
        recent = {"member_of": str(uuid5(SPACE, "recent"))}
        both = {"key": "both", "criteria": {"member_of": str(uuid5(SPACE, "list")), "all": [recent]}}
        engine = engine_of(LIST, RECENT, both)
        feed(engine, event(1, 1))
        engine.pin("c", "list", True)
        engine.expire(START + 49 * DAY)
        engine.now = START + 60 * DAY
        engine.expire(START + 60 * DAY)

        assert engine.members() == {"list": {"c"}, "recent": set(), "both": set()}

    def test_a_changed_definition_changes_its_dependants(self) -> None:
        """When the segment that another refers to gets new criteria, both change at that instant."""
        inner = {"key": "a", "criteria": BUYER["criteria"]}
        outer = {"key": "b", "criteria": {"member_of": str(uuid5(SPACE, "a"))}}
        engine = engine_of(inner, outer)
        feed(engine, event(1, 1))
        first, second = engine.catalogue.definitions
        other = catalogue_of([RECENT]).definitions[0].criteria
        came = {"introduced": 2, "since": START + 40 * DAY}
        changed = [first._replace(criteria=other, **came), second._replace(**came)]
        engine.catalogue = compile_catalogue(2, changed, engine.catalogue.shape)
        engine.expire(START)
        feed(engine, event(2, 39))

        assert changes(engine) == [
            ("a", 1, "joined", "event"),
            ("b", 1, "joined", "event"),
            ("a", 40, "left", "definition"),
            ("b", 40, "left", "definition"),
            ("a", 40, "joined", "event"),
            ("b", 40, "joined", "event"),
        ]
