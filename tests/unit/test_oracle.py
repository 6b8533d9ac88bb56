"""The oracle on cases whose answers were worked out by hand: what all other answers are held against."""

from __future__ import annotations

from typing import Any

import pytest

from service.core import instants
from tests import offline, oracle

START = instants.parse("2024-01-01T00:00:00Z")
HOUR = instants.HOUR
DAY = instants.DAY
NEVER = 10_000 * HOUR

Draft = tuple[str, int, dict[str, Any]]


def did(at: int, name: str, **properties: Any) -> Draft:
    """An activity."""
    return "customer.activity", at, {"name": name, "properties": properties}


def placed(at: int, order_id: str = "o1", **more: Any) -> Draft:
    """An order."""
    return "order.placed", at, {"order_id": order_id, "currency": "USD", "total": "10", **more}


def cancelled(at: int, order_id: str = "o1") -> Draft:
    """The end of an order."""
    return "order.cancelled", at, {"order_id": order_id}


def updated(at: int, **data: Any) -> Draft:
    """Attributes."""
    return "customer.updated", at, data


def events_of(drafts: list[Draft]) -> list[dict]:
    """One customer's events at so many microseconds after START."""
    return [
        {
            "id": f"e{number}",
            "type": kind,
            "time": instants.to_text(START + at),
            "data": {"customer_id": "ann", **data},
        }
        for number, (kind, at, data) in enumerate(drafts)
    ]


def figure(name: str, operator: str, value: Any, **more: Any) -> dict:
    """A figure of what was seen."""
    test = {"operator": operator, "value": value}
    if name != "count":
        test["property"] = "n"
    return {"activity": {"name": "seen", name: test, **more}}


def seen(*values: Any) -> list[Draft]:
    """Activities an hour apart, each with a property n."""
    return [did(number * HOUR, "seen", n=value) for number, value in enumerate(values)]


def a(name: str, **test: Any) -> dict:
    """A step that happens; a test of the property n may follow."""
    return {"activity": {"name": name, **({"where": {"n": test}} if test else {})}}


def no(name: str, **test: Any) -> dict:
    """A step that must not happen."""
    return {**a(name, **test), "not": True}


ORDER: dict = {"order": {}}
NO_ORDER: dict = {"order": {}, "not": True}


def sequence(*steps: dict, **within: int) -> dict:
    """A sequence; a day unless something else is named."""
    return {"sequence": {"steps": list(steps), "within": within or {"days": 1}}}


BIG = 10**37
WINDOW = {"window": {"days": 1}}
WHERE = {"where": {"n": {"operator": "gte", "value": 2}}}

#: What it shows -> (events, criteria, the instant asked after START, the answer).
ACTIVITIES: dict[str, tuple[list[Draft], dict, int, bool]] = {
    "one is enough without a figure": (seen(1), {"activity": {"name": "seen"}}, 0, True),
    "another name is another activity": ([did(0, "Seen")], {"activity": {"name": "seen"}}, 0, False),
    "a name is composed of code points": ([did(0, "e\u0301")], {"activity": {"name": "é"}}, 0, False),
    "count eq 0 is has not done": ([did(0, "other")], figure("count", "eq", 0), 0, True),
    "the future is not yet": ([updated(0), did(HOUR, "seen")], figure("count", "eq", 0), HOUR - 1, True),
    "what happens now counts": ([did(HOUR, "seen")], figure("count", "eq", 1), HOUR, True),
    "where passes by value": (seen(1, 2, 3), figure("count", "eq", 2, **WHERE), NEVER, True),
    "where of a text among numbers": (seen("2", True, None), figure("count", "eq", 0, **WHERE), NEVER, True),
    "every test of where must pass": (
        [did(0, "seen", n=2, m="x"), did(1, "seen", n=2, m="y"), did(2, "seen", m="x")],
        figure("count", "eq", 1, where={"n": {"operator": "eq", "value": 2}, "m": {"operator": "eq", "value": "x"}}),
        NEVER,
        True,
    ),
    "where without the property": (
        [did(0, "seen"), did(1, "seen", n=None), did(2, "seen", n=0)],
        figure("count", "eq", 2, where={"n": {"operator": "exists", "value": False}}),
        NEVER,
        True,
    ),
    "where ne of another type": (
        seen("2"),
        figure("count", "eq", 1, where={"n": {"operator": "ne", "value": 2}}),
        0,
        True,
    ),
    "where ne of nothing": (seen(None), figure("count", "eq", 0, where={"n": {"operator": "ne", "value": 2}}), 0, True),
    "a window holds what is a microsecond younger": (seen(1), figure("count", "eq", 1, **WINDOW), DAY - 1, True),
    "a window leaves out what is exactly as old": (seen(1), figure("count", "eq", 0, **WINDOW), DAY, True),
    "an average over an empty window is missing": (seen(1), figure("avg", "lt", 5, **WINDOW), DAY, False),
    "a sum over an empty window is 0": (seen(1), figure("sum", "eq", 0, **WINDOW), DAY, True),
    "a sum takes numbers only": (seen(1, "2", True, None, 2.5), figure("sum", "eq", 3.5), NEVER, True),
    "a sum of tenths is exact": (seen(0.1, 0.2), figure("sum", "eq", 0.3), NEVER, True),
    "a sum of what is huge and what is small": (seen(BIG, 1), figure("sum", "eq", BIG + 1), NEVER, True),
    "a sum of texts is 0": (seen("a", "b"), figure("sum", "lte", 0), NEVER, True),
    "an average is exact": (seen(1, 1, 2), figure("avg", "gt", "1.33333333333333333333333333333"), NEVER, True),
    "an average counts numbers only": (seen(1, "x", True, 3), figure("avg", "eq", 2), NEVER, True),
    "an average over texts is missing": (seen("1"), figure("avg", "lte", 5), NEVER, False),
    "min over nothing is missing": ([did(0, "other", n=1)], figure("min", "lt", 5), NEVER, False),
    "not of missing is true": ([did(0, "other", n=1)], {"not": figure("max", "lt", 5)}, NEVER, True),
    "min and max leave booleans out": (
        seen(False, 3, 4, True),
        {"all": [figure("min", "eq", 3), figure("max", "eq", 4)]},
        NEVER,
        True,
    ),
    "distinct takes numbers by value": (seen(1, 1.0, 2), figure("distinct", "eq", 2), NEVER, True),
    "distinct keeps types apart": (seen(1, True, "1", "true"), figure("distinct", "eq", 4), NEVER, True),
    "distinct leaves missing out": (seen(None, "a", None), figure("distinct", "eq", 1), NEVER, True),
    "distinct over nothing is 0": ([did(0, "other")], figure("distinct", "lt", 1), NEVER, True),
    "between includes both ends": (
        seen(1, 2),
        {
            "all": [
                {"activity": {"name": "seen", "count": {"operator": "between", "min_value": low, "max_value": high}}}
                for low, high in ((1, 2), (2, 3))
            ]
        },
        NEVER,
        True,
    ),
    "the same instant twice is twice": ([did(0, "seen"), did(0, "seen")], figure("count", "eq", 2), 0, True),
    "null for traits removes all of them": (
        [updated(0, traits={"k": 1, "l": 2}), updated(1, traits=None)],
        {"traits": {"k": {"operator": "exists", "value": False}, "l": {"operator": "exists", "value": False}}},
        1,
        True,
    ),
    "what comes after is there again": (
        [updated(0, traits={"k": 1}), updated(1, traits=None), updated(2, traits={"l": 2})],
        {"traits": {"k": {"operator": "exists", "value": False}, "l": {"operator": "eq", "value": 2}}},
        2,
        True,
    ),
}

AB = [did(0, "a"), did(DAY, "b")]
SEQUENCES: dict[str, tuple[list[Draft], dict, int, bool]] = {
    "the last step at exactly within": (AB, sequence(a("a"), a("b")), DAY, True),
    "not before it happened": (AB, sequence(a("a"), a("b")), DAY - 1, False),
    "a microsecond too late": ([did(0, "a"), did(DAY + 1, "b")], sequence(a("a"), a("b")), NEVER, False),
    "once true, true for good": (AB, sequence(a("a"), a("b")), NEVER, True),
    "at one instant is not after": ([did(0, "a"), did(0, "b")], sequence(a("a"), a("b")), NEVER, False),
    "a microsecond after is after": ([did(0, "a"), did(1, "b")], sequence(a("a"), a("b")), 1, True),
    "the other way round is nothing": ([did(0, "b"), did(1, "a")], sequence(a("a"), a("b")), NEVER, False),
    "the same step twice asks for two instants": ([did(0, "a"), did(0, "a")], sequence(a("a"), a("a")), NEVER, False),
    "two instants are two steps": ([did(0, "a"), did(1, "a")], sequence(a("a"), a("a")), NEVER, True),
    "one activity is one step": ([did(0, "a", n=5)], sequence(a("a"), a("a", operator="gt", value=1)), NEVER, False),
    "a later first brings the last within": (
        [did(0, "a"), did(HOUR, "a"), did(DAY + 1, "b")],
        sequence(a("a"), a("b")),
        NEVER,
        True,
    ),
    "within is from the first, not from the one before": (
        [did(0, "a"), did(DAY // 2, "b"), did(DAY + 1, "c")],
        sequence(a("a"), a("b"), a("c")),
        NEVER,
        False,
    ),
    "an earlier middle serves": (
        [did(0, "a"), did(1, "b"), did(2, "c"), did(3, "b")],
        sequence(a("a"), a("b"), a("c")),
        NEVER,
        True,
    ),
    "where belongs to each step": (
        [did(0, "a", n=1), did(1, "a", n=2)],
        sequence(a("a", operator="eq", value=2), a("a", operator="eq", value=1)),
        NEVER,
        False,
    ),
    "between: it happened": (
        [did(0, "a"), did(1, "x"), did(2, "b")],
        sequence(a("a"), no("x"), a("b")),
        NEVER,
        False,
    ),
    "between: at the first's instant is not between": (
        [did(0, "a"), did(0, "x"), did(2, "b")],
        sequence(a("a"), no("x"), a("b")),
        NEVER,
        True,
    ),
    "between: at the second's instant is not between": (
        [did(0, "a"), did(2, "x"), did(2, "b")],
        sequence(a("a"), no("x"), a("b")),
        2,
        True,
    ),
    "between: another first avoids it": (
        [did(0, "a"), did(1, "x"), did(2, "a"), did(3, "b")],
        sequence(a("a"), no("x"), a("b")),
        NEVER,
        True,
    ),
    "between: another test of it": (
        [did(0, "a"), did(1, "x", n=1), did(2, "b")],
        sequence(a("a"), no("x", operator="eq", value=2), a("b")),
        NEVER,
        True,
    ),
    "several nots: each counts": (
        [did(0, "a"), did(1, "y"), did(2, "b")],
        sequence(a("a"), no("x"), no("y"), a("b")),
        NEVER,
        False,
    ),
    "at the end: not before first + within": ([did(0, "a")], sequence(a("a"), no("b")), DAY - 1, False),
    "at the end: at first + within": ([did(0, "a")], sequence(a("a"), no("b")), DAY, True),
    "at the end: what happens just then counts": (AB, sequence(a("a"), no("b")), DAY, False),
    "at the end: what happens after does not": (
        [did(0, "a"), did(DAY + 1, "b")],
        sequence(a("a"), no("b")),
        NEVER,
        True,
    ),
    "at the end: at the same instant is not after": ([did(0, "a"), did(0, "b")], sequence(a("a"), no("b")), DAY, True),
    "at the end: from the first on, though the last came later": (
        [did(0, "a"), did(HOUR, "b"), did(DAY, "x")],
        sequence(a("a"), a("b"), no("x")),
        NEVER,
        False,
    ),
    "at the end: before the step before is no matter": (
        [did(0, "a"), did(1, "x"), did(2, "b")],
        sequence(a("a"), a("b"), no("x")),
        DAY,
        True,
    ),
    "at the end: a later choice of the step before": (
        [did(0, "a"), did(1, "b"), did(2, "x"), did(3, "b")],
        sequence(a("a"), a("b"), no("x")),
        DAY,
        True,
    ),
    "at the end: several": (
        [did(0, "a"), did(2, "y")],
        sequence(a("a"), no("x"), no("y")),
        NEVER,
        False,
    ),
    "an abandoned cart": (
        [did(0, "cart"), placed(2 * DAY)],
        sequence(a("cart"), NO_ORDER),
        NEVER,
        True,
    ),
    "an order at its date": ([placed(0), did(1, "b")], sequence(ORDER, a("b")), 1, True),
    "an order that does not count": ([placed(0, test=True), did(1, "b")], sequence(ORDER, a("b")), NEVER, False),
    "two orders of one instant are one step": (
        [placed(0, "o1"), placed(0, "o2")],
        sequence(ORDER, ORDER),
        NEVER,
        False,
    ),
    "two orders": ([placed(0, "o1"), placed(1, "o2")], sequence(ORDER, ORDER), NEVER, True),
    "a cancelled order happened before it was cancelled": (
        [did(0, "a"), placed(1), cancelled(5)],
        sequence(a("a"), ORDER),
        4,
        True,
    ),
    "a cancelled order never happened": ([did(0, "a"), placed(1), cancelled(5)], sequence(a("a"), ORDER), 5, False),
    "a cancelled order was not in the way": (
        [did(0, "a"), placed(1), cancelled(3 * DAY)],
        sequence(a("a"), NO_ORDER),
        3 * DAY,
        True,
    ),
    "hours are hours": ([did(0, "a"), did(2 * HOUR, "b")], sequence(a("a"), a("b"), hours=2), NEVER, True),
    "minutes are minutes": ([did(0, "a"), did(2 * HOUR, "b")], sequence(a("a"), a("b"), minutes=119), NEVER, False),
}


@pytest.mark.parametrize("name", [*ACTIVITIES, *SEQUENCES])
def test_by_hand(name: str) -> None:
    """The oracle finds what the contract's words say."""
    drafts, criteria, at, expected = (ACTIVITIES | SEQUENCES)[name]
    segments = {"s0": criteria}

    assert oracle.members_at(events_of(drafts), segments, START + at) == {"s0": {"ann"} if expected else set()}


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
