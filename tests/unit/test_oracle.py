"""The oracle on changes by time, other segments and pins: what all other answers are held against, by hand."""

from __future__ import annotations

import pytest

from tests import offline, oracle
from tests.unit.oracle_support import (
    DAY,
    HOUR,
    NEVER,
    NO_ORDER,
    ORDER,
    START,
    WINDOW,
    Draft,
    a,
    cancelled,
    did,
    events_of,
    figure,
    no,
    placed,
    sequence,
)

#: What it shows -> (events, criteria, (after START, change) up to NEVER).
CHANGES: dict[str, tuple[list[Draft], dict, list[tuple[int, str]]]] = {
    "a window ends by itself": (
        [did(HOUR, "seen")],
        figure("count", "gte", 1, **WINDOW),
        [(HOUR, "joined"), (HOUR + DAY, "left")],
    ),
    "a sequence that nothing followed": ([did(0, "a")], sequence(a("a"), no("b")), [(DAY, "joined")]),
    "which a cancellation makes true, long after": (
        [did(0, "a"), placed(1), cancelled(9 * DAY)],
        sequence(a("a"), NO_ORDER),
        [(9 * DAY, "joined")],
    ),
    "which a cancellation makes true before its end": (
        [did(0, "a"), placed(1), cancelled(2)],
        sequence(a("a"), NO_ORDER),
        [(DAY, "joined")],
    ),
    "a sequence that a cancellation ends": (
        [did(0, "a"), placed(1), cancelled(2)],
        sequence(a("a"), ORDER),
        [(1, "joined"), (2, "left")],
    ),
    "a minimum that moves out of its window": (
        [did(0, "seen", n=1), did(HOUR, "seen", n=5)],
        figure("min", "gt", 2, **WINDOW),
        [(DAY, "joined"), (DAY + HOUR, "left")],
    ),
    "what cancels out within one instant": (
        [placed(0), cancelled(0)],
        {"total_orders": {"operator": "gte", "value": 1}},
        [],
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_changes_by_hand(name: str) -> None:
    """The oracle finds the instants at which time alone changes something."""
    drafts, criteria, expected = CHANGES[name]
    found = oracle.transitions(events_of(drafts), {"s0": criteria}, START + NEVER)

    assert [(at - START, change) for _, _, at, change in found] == expected


class TestOtherSegments:
    """Definitions that ask for others."""

    EVENTS = events_of([did(0, "a"), did(HOUR, "b")])

    def test_members(self) -> None:
        """Whoever is a member there is one here, through any number of segments, whatever the order of keys."""
        segments = {
            "s0": {"member_of": oracle.segment_id("s1")},
            "s1": {"not_member_of": oracle.segment_id("s2")},
            "s2": {"activity": {"name": "b"}},
        }

        assert oracle.members_at(self.EVENTS, segments, START) == {"s0": {"ann"}, "s1": {"ann"}, "s2": set()}
        assert oracle.transitions(self.EVENTS, segments, START + NEVER) == [
            ("ann", "s0", START, "joined"),
            ("ann", "s0", START + HOUR, "left"),
            ("ann", "s1", START, "joined"),
            ("ann", "s1", START + HOUR, "left"),
            ("ann", "s2", START + HOUR, "joined"),
        ]

    def test_the_span_of_another(self) -> None:
        """A segment without a span changes by time alone where it asks for one that does."""
        segments = {"s0": {"not_member_of": oracle.segment_id("s1")}, "s1": sequence(a("a"), no("c"))}

        assert oracle.transitions(self.EVENTS, segments, START + NEVER) == [
            ("ann", "s0", START, "joined"),
            ("ann", "s0", START + DAY, "left"),
            ("ann", "s1", START + DAY, "joined"),
        ]

    def test_a_segment_that_is_not_there(self) -> None:
        """Nobody is a member of what does not exist."""
        segments = {
            "s0": {"member_of": oracle.segment_id("gone")},
            "s1": {"not_member_of": oracle.segment_id("gone").upper()},
        }

        assert oracle.members_at(self.EVENTS, segments, START) == {"s0": set(), "s1": {"ann"}}

    def test_ids_are_those_of_the_engine(self) -> None:
        """The ids of these tests are those that tests/offline.py gives."""
        catalogue = offline.catalogue_of([{"key": "s1", "criteria": {}}])

        assert [str(one.segment_id) for one in catalogue.definitions] == [oracle.segment_id("s1")]


class TestPins:
    """People put into a segment or kept out of it by hand."""

    EVENTS = events_of([did(0, "a")])

    def test_until_they_are_taken_away(self) -> None:
        """A pin counts from its instant on, here and for whoever asks, whatever the criteria say."""
        segments = {"s0": figure("count", "gt", 0), "s1": {"member_of": oracle.segment_id("s0")}}
        pins: list[oracle.Pin] = [(START + 5, "ann", "s0", True), (START + 9, "ann", "s0", None)]

        assert oracle.transitions(self.EVENTS, segments, START + NEVER, pins) == [
            ("ann", "s0", START + 5, "joined"),
            ("ann", "s0", START + 9, "left"),
            ("ann", "s1", START + 5, "joined"),
            ("ann", "s1", START + 9, "left"),
        ]

    def test_out(self) -> None:
        """Who is pinned out of what is asked for is out of what asks; others are not touched."""
        segments = {"s0": {}, "s1": {"member_of": oracle.segment_id("s0")}}
        pins: list[oracle.Pin] = [(START + 5, "ann", "s0", False), (START + 5, "bob", "s0", True)]

        assert oracle.members_at(self.EVENTS, segments, START + 4, pins) == {"s0": {"ann"}, "s1": {"ann"}}
        assert oracle.members_at(self.EVENTS, segments, START + 5, pins) == {"s0": set(), "s1": set()}
