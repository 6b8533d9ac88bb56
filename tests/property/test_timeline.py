"""The core against the contract read literally: any history, any criteria, any batching."""

from __future__ import annotations

import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.core import instants
from tests import oracle
from tests.offline import Engine, catalogue_of, collapsed
from tests.property.criteria_cases import line_of
from tests.property.effort import examples
from tests.strategies import GRID, START, situations

NOW = START + 30 * instants.DAY


def engine_for(segments: dict[str, dict]) -> Engine:
    """An engine with these definitions, there before any event."""
    return Engine(catalogue_of([{"key": key, "criteria": one} for key, one in segments.items()]), NOW)


def feed(engine: Engine, events: list[dict], sizes: list[int]) -> None:
    """Feeds events in batches of these sizes, over and over."""
    decoded = engine.read(map(line_of, events))
    assert not engine.rejected, engine.rejected
    place = turn = 0
    while place < len(decoded):
        size = sizes[turn % len(sizes)]
        engine.batch(decoded[place : place + size])
        place, turn = place + size, turn + 1


def by_customer(engine: Engine) -> list[tuple]:
    """What was published, each customer's in its order."""
    return sorted(engine.published, key=lambda change: change[0])


#: (instant, the event whose customer it is, the segment's place, in or out or neither)
PINS = st.tuples(
    st.integers(0, 40).map(lambda n: START + n * GRID),
    st.integers(0, 99),
    st.integers(0, 9),
    st.sampled_from([True, True, False, False, None]),
)
UNCHECKED = [HealthCheck.too_slow, HealthCheck.data_too_large]
SIZES = st.lists(st.integers(1, 9), min_size=1, max_size=4)


class TestTimeOrderedInput:
    """Input in the order of its timeline."""

    @settings(max_examples=examples(300), deadline=None, suppress_health_check=UNCHECKED)
    @given(situations(), SIZES)
    def test_joined_and_left_are_the_function_of_time(self, situation: tuple, sizes: list) -> None:
        """However the input is split, joined/left are membership as a function of time, edges included."""
        events, segments = situation
        engine = engine_for(segments)
        ordered = sorted(events, key=oracle.stamp)

        feed(engine, ordered, sizes)
        engine.expire(NOW)

        expected = oracle.transitions(events, segments, NOW)
        assert collapsed((c, s, at, change) for c, s, at, change, _, _ in engine.published) == expected
        assert engine.members() == oracle.members_at(events, segments, NOW)

    @settings(max_examples=examples(100), deadline=None, suppress_health_check=UNCHECKED)
    @given(situations(4), SIZES, st.integers(0, 2**32))
    def test_repeats_change_nothing(self, situation: tuple, sizes: list, seed: int) -> None:
        """Events that come again, anywhere later, neither change a membership nor cause a joined or left."""
        events, segments = situation
        once, twice = engine_for(segments), engine_for(segments)
        ordered = sorted(events, key=oracle.stamp)
        again = list(ordered)
        chance = random.Random(seed)
        for event in chance.choices(ordered, k=len(ordered)):
            again.insert(chance.randint(again.index(event) + 1, len(again)), event)

        feed(once, ordered, sizes)
        feed(twice, again, sizes)

        assert by_customer(twice) == by_customer(once)
        assert twice.members() == once.members()


class TestAnyOrder:
    """Input in any order."""

    @settings(max_examples=examples(300), deadline=None, suppress_health_check=UNCHECKED)
    @given(situations(), SIZES, st.randoms(use_true_random=False))
    def test_membership_converges(self, situation: tuple, sizes: list, chance: random.Random) -> None:
        """Shuffled and repeated input ends in the same membership; joined and left alternate and never go back."""
        events, segments = situation
        engine = engine_for(segments)
        shuffled = [*events, *chance.choices(events, k=3)]
        chance.shuffle(shuffled)

        feed(engine, shuffled, sizes)
        engine.expire(NOW)

        assert engine.members() == oracle.members_at(events, segments, NOW)
        latest: dict[tuple[str, str], tuple[int, int, str]] = {}
        for customer, segment, at, change, _, ordinal in engine.published:
            known = latest.get((customer, segment), (0, at, "left"))
            assert (ordinal, change != known[2], at >= known[1]) == (known[0] + 1, True, True)
            latest[customer, segment] = (ordinal, at, change)

    @settings(max_examples=examples(100), deadline=None, suppress_health_check=UNCHECKED)
    @given(situations(4), st.integers(0, 40), SIZES)
    def test_timers_between_batches_lose_nothing(self, situation: tuple, hours: int, sizes: list) -> None:
        """Timers that fired between batches, ahead of late events, leave the membership right all the same."""
        events, segments = situation
        engine = engine_for(segments)
        half = len(events) // 2

        feed(engine, events[:half], sizes)
        engine.expire(START + hours * 6 * instants.HOUR)
        feed(engine, events[half:], sizes)
        engine.expire(NOW)

        assert engine.members() == oracle.members_at(events, segments, NOW)


class TestPins:
    """Changes by hand among the events."""

    @settings(max_examples=examples(150), deadline=None, suppress_health_check=UNCHECKED)
    @given(situations(4), st.lists(PINS, min_size=1, max_size=6))
    def test_pins_count_from_their_instant(self, situation: tuple, drafts: list) -> None:
        """Joined and left are the function of time that events and pins make, also for segments that ask for others."""
        events, segments = situation
        engine = engine_for(segments)
        ordered = engine.read(map(line_of, sorted(events, key=oracle.stamp)))
        pins: list[oracle.Pin] = []
        for at, event, place, pin in sorted(drafts, key=lambda one: one[0]):
            who, key = events[event % len(events)]["data"]["customer_id"], sorted(segments)[place % len(segments)]
            due, ordered = [one for one in ordered if one.at <= at], [one for one in ordered if one.at > at]
            engine.now = at
            engine.batch(due)
            engine.expire(at)
            if any(profile.external_id == who for profile in engine.profiles.values()):
                engine.pin(who, key, pin)
                pins.append((at, who, key, pin))
        engine.now = NOW
        engine.batch(ordered)
        engine.expire(NOW)

        expected = oracle.transitions(events, segments, NOW, pins)
        assert collapsed((c, s, at, change) for c, s, at, change, _, _ in engine.published) == expected
        assert engine.members() == oracle.members_at(events, segments, NOW, pins)
