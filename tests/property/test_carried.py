"""Figures and sequences that are carried from row to row say what they say when computed anew."""

from __future__ import annotations

from bisect import insort_right
from decimal import Decimal
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from service.core.criteria.fields import Figure
from service.core.profiles.entries import Entries
from service.core.profiles.sequences import Matching, Occurrences, Pattern
from service.core.profiles.series import Series
from tests.property import carried_reference as reference
from tests.property.effort import examples

SPAN = 12
#: Big and small ones, so that a sum of rounded numbers would differ; equal ones of different types.
VALUES = (
    None,
    "x",
    "1",
    True,
    False,
    0,
    1,
    1,
    Decimal("1.0"),
    2,
    -3,
    Decimal("0.1"),
    10**37,
    -(10**37),
    Decimal("1E-38"),
)
BOUNDS = (Decimal("-2.5"), 0, Decimal("0.1"), 1, 2, Decimal("2.5"), 10**37)
CHANCES = st.randoms(use_true_random=True)


def an_instant(chance: Random, now: int) -> int:
    """Mostly now, sometimes late."""
    return now if chance.random() < 0.7 else now - chance.randrange(SPAN)


@settings(max_examples=examples(300), deadline=None)
@given(chance=CHANCES, rows=st.integers(1, 60))
def test_figures(chance: Random, rows: int) -> None:
    """However entries come, and at whatever instants one asks, ahead of the last entry and back again."""
    windows = [chance.randint(1, SPAN) for _ in range(3)]
    series, entries = Series(None), list[tuple[int, Any]]()
    values = chance.sample(VALUES, chance.randint(1, len(VALUES)))
    now = trimmed = 0
    for _ in range(rows):
        now += chance.choice((0, 0, 1, 2, 9))
        for _ in range(chance.choice((0, 1, 1, 3))):
            at, value = an_instant(chance, now), chance.choice(values)
            series.put(at, value, True)
            insort_right(entries, (at, value), key=lambda one: one[0])
        if chance.random() < 0.1:
            trimmed = now
            series.trim(now - SPAN)
            entries = [one for one in entries if one[0] > now - SPAN]
        as_of = max(now, trimmed) + chance.choice((0, 0, 0, 5))
        for figure in chance.sample(list(Figure), 3):
            window = chance.choice(windows)
            expected = reference.place_of_figure(entries, figure, window, BOUNDS, as_of)

            assert series.place(figure, window, BOUNDS, as_of) == expected, (figure, window, as_of, entries)


@settings(max_examples=examples(200), deadline=None)
@given(chance=CHANCES, changes=st.integers(1, 40))
def test_sums_of_orders(chance: Random, changes: int) -> None:
    """However orders come, late or not, are taken back or forgotten, sums are those of what is kept."""
    entries, told, now = Entries([], [], []), list[tuple[int, int, int]](), 0
    for _ in range(changes):
        now += chance.choice((0, 1, 3))
        if told and chance.random() < 0.2:
            entries.drop(*told.pop(chance.randrange(len(told))))
        else:
            told.append((an_instant(chance, now), chance.randint(-9, 9), chance.randint(0, 1)))
            entries.put(*told[-1])
        if chance.random() < 0.1:
            entries.trim(now - SPAN)
            told = [one for one in told if one[0] > now - SPAN]
        if chance.random() < 0.7:
            orders, amounts = entries.sums()
            for place, at in enumerate([*entries.instants, now + 1]):
                before = [one for one in told if one[0] < at]
                if place == 0 or entries.instants[place - 1] != at:
                    assert orders[place] == sum(one[2] for one in before)
                    assert amounts[place] == sum(one[1] for one in before)


def a_pattern(chance: Random, length: int = 6) -> Pattern:
    """Two to six steps, of which the later ones may be nots."""
    wanted, barred = [1], [0]
    for place in range(1, chance.randint(2, length)):
        if chance.random() < 0.45:
            barred[-1] |= 1 << place
        else:
            wanted.append(1 << place)
            barred.append(0)
    return Pattern(tuple(wanted), tuple(barred), chance.randint(1, SPAN), False)


class Pair:
    """Occurrences as they are kept, and the same computed anew."""

    def __init__(self, pattern: Pattern) -> None:
        self.pattern = pattern
        self.kept, self.told = Occurrences(), reference.Occurrences()

    def change(self, chance: Random, now: int) -> None:
        """Something happens, mostly now, or an order is taken back."""
        if self.told.told and chance.random() < 0.15:
            at, mask = chance.choice(self.told.told)
            self.kept.drop(at, mask)
            self.told.drop(at, mask)
            return
        steps = sum(self.pattern.wanted) + sum(self.pattern.barred)
        # One or two steps, now and then all of them.
        mask = (
            chance.choice((1 << chance.randrange(6) | 1 << chance.randrange(6), 1 << chance.randrange(6), 63)) & steps
        )
        at = an_instant(chance, now)
        self.kept.put(at, mask)
        self.told.put(at, mask)

    def trim(self, now: int) -> None:
        """Both forget."""
        self.kept.trim(now, self.pattern)
        self.told.trim(now, self.pattern)

    def agree(self, as_of: int) -> None:
        """They say the same, at this instant and of the next."""
        pattern, kept, told = self.pattern, self.kept, self.told

        assert list(zip(kept.instants, sorted_masks(kept), strict=True)) == told.told
        assert (kept.is_settled, kept.dropped_to) == (told.is_settled, told.dropped_to)
        assert kept.holds(pattern, as_of) == told.holds(pattern, as_of), (pattern, told.told, as_of)
        assert kept.edge(pattern, as_of) == told.edge(pattern, as_of), (pattern, told.told, as_of)


def sorted_masks(kept: Occurrences) -> list[int]:
    """The masks; those of one instant stand in any order."""
    return [mask for _, mask in sorted(zip(kept.instants, kept.masks, strict=True))]


@settings(max_examples=examples(1_500), deadline=None)
@given(chance=CHANCES, rows=st.integers(1, 60))
def test_sequences(chance: Random, rows: int) -> None:
    """Whatever happens, in any order, at one instant or apart, taken back or forgotten, ahead or not."""
    pair = Pair(a_pattern(chance))
    now = 0
    for _ in range(rows):
        now += chance.choice((0, 0, 1, 1, 2, 7))
        for _ in range(chance.choice((0, 1, 1, 2))):
            pair.change(chance, now)
        if chance.random() < 0.1:
            pair.trim(now)
        if chance.random() < 0.8:
            pair.agree(now + chance.choice((0, 0, 0, 1, SPAN)))


@settings(max_examples=examples(200), deadline=None)
@given(chance=CHANCES)
def test_matches_wait_in_few_groups(chance: Random) -> None:
    """There are never more than two groups for each step, which is what keeps an occurrence cheap."""
    pattern = a_pattern(chance, length=10)
    pattern = Pattern(pattern.wanted, pattern.barred, 10_000, False)
    matching = Matching(pattern)
    steps = len(pattern.wanted) + sum(bin(one).count("1") for one in pattern.barred)
    for at in range(400):
        matching.take(at, 1 << chance.randrange(steps) | 1 << chance.randrange(steps))

        assert len(matching.groups) <= 2 * len(pattern.wanted)
