"""Customers with more entries than a profile keeps, pinned and not; and a pin beside a timer that waits."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.test_by_hand import LIST, engine_of
from tests.unit.test_definitions import BUYER, DAY, START, changes, event, feed


def many(count: int, first: int = 10, spread: float = 1.0) -> list[bytes]:
    """Activities `v` of customer c, evenly spread over some days from day `first` on."""
    return [
        event(1_000 + n, first + spread * n / count, "customer.activity", name="v", properties={"p": n})
        for n in range(count)
    ]


AT_LEAST_3 = {"name": "v", "count": {"operator": "gte", "value": 3}, "window": {"days": 5}}
COUNTED = {"key": "many", "criteria": {"activity": AT_LEAST_3}}


class TestLimits:
    """More entries than a profile keeps."""

    def test_nothing_wrong_is_published_and_it_comes_back(self) -> None:
        """Beyond the limit the membership stays as it was and the profile says so; with fewer it is exact again."""
        engine = replace(engine_of(COUNTED, BUYER), entries_max=100)
        feed(engine, event(1, 1), *many(50))
        feed(engine, *many(200, first=11)[50:])
        (profile,) = engine.profiles.values()
        assert profile.over
        assert [(s, change) for s, _, change, _ in changes(engine)] == [("buyer", "joined"), ("many", "joined")]

        engine.expire(START + 45 * DAY)
        (profile,) = engine.profiles.values()

        assert not profile.over
        assert engine.members() == {"many": set(), "buyer": {"c"}}
        assert [one[0] for one in changes(engine)] == ["buyer", "many", "many"]

    def test_other_segments_go_on(self) -> None:
        """What does not need those entries is kept as ever."""
        engine = replace(engine_of(COUNTED, BUYER), entries_max=100)
        feed(engine, *many(200))
        feed(engine, event(1, 20))

        assert ("buyer", 20, "joined", "event") in changes(engine)

    def test_one_look_at_the_right_instant_is_enough(self) -> None:
        """The timer that looks again moves the customer on, so that it is not due at that instant for ever."""
        engine = replace(engine_of(COUNTED), entries_max=100)
        feed(engine, *many(200))
        looked = []
        while (due := engine.next_due()) <= START + 45 * DAY:
            engine.expire(due)
            looked.append(due)
            assert looked == sorted(set(looked))
            assert len(looked) < 10

        assert changes(engine)[-1][2:] == ("left", "time")

    def test_erasure_leaves_and_pins_hold_all_the_same(self) -> None:
        """Beyond the limit a pin takes effect, and an erased customer leaves."""
        engine = replace(engine_of(COUNTED), entries_max=100)
        feed(engine, *many(200))
        engine.pin("c", "many", False)
        engine.pin("c", "many", True)
        feed(engine, event(9, 12, "customer.deleted"))

        assert [(change, reason) for _, _, change, reason in changes(engine)] == [
            ("joined", "event"),
            ("left", "manual"),
            ("joined", "manual"),
            ("left", "erasure"),
        ]


LOOKED_ONLY = {
    "key": "only looked",
    "criteria": {
        "sequence": {
            "steps": [{"activity": {"name": "v"}}, {"order": {}, "not": True}],
            "within": {"days": 1},
        }
    },
}


class TestAhead:
    """Rows ahead of the customer's timeline leave the timeline as it is."""

    def test_a_pin_elsewhere_loses_no_timer(self) -> None:
        """After a change by hand beyond an edge, the edge is still due."""
        engine = engine_of(LOOKED_ONLY, LIST)
        feed(engine, event(1, 10, "customer.activity", name="v"))
        engine.pin("c", "list", True)

        assert engine.next_due() == START + 11 * DAY
        engine.expire(START + 40 * DAY)
        assert ("only looked", 11, "joined", "time") in changes(engine)
