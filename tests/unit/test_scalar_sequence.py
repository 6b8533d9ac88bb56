"""Sequences in the reference interpreter, against examples and against every choice of instants."""

from __future__ import annotations

import random
from itertools import pairwise, product

import pytest

from service.core import instants
from service.core.criteria.model import SequencePredicate, Step, Stream
from service.core.criteria.parse import parse_criteria
from service.core.criteria.scalar import value_of, verdict
from service.core.criteria.scalar_facts import ActivityFact, Fact, Life, OrderFact, stamp_of
from service.core.criteria.scalar_sequence import match_of

MINUTE = instants.MINUTE


def life(story: str) -> Life:
    """A letter a minute, from minute 1 on: an activity of that name, O an order, - nothing; (ab) at the same minute."""
    facts: list[Fact] = []
    minute, is_same = 0, False
    for place, letter in enumerate(story):
        if letter in "()":
            is_same = letter == "("
            minute += is_same
            continue
        minute += not is_same
        stamp = stamp_of(minute * MINUTE, None, f"e{place}")
        if letter == "O":
            facts.append(OrderFact(stamp, f"o{place}", "placed", 100))
        elif letter == "X":
            facts.append(OrderFact(stamp, "o0", "cancelled"))
        elif letter != "-":
            facts.append(ActivityFact(stamp, letter, {"n": minute}))
    return Life(facts)


def sequence(steps: str, within: int) -> dict:
    """Steps as letters, O an order, ! before what must not happen."""
    found: list[dict] = []
    is_not = False
    for letter in steps:
        if letter == "!":
            is_not = True
            continue
        step: dict = {"order": {}} if letter == "O" else {"activity": {"name": letter}}
        found.append({**step, "not": True} if is_not else step)
        is_not = False
    return {"sequence": {"steps": found, "within": {"minutes": within}}}


def minutes(steps: str, within: int, story: str, now: int) -> list[int] | None:
    """The minutes that match by minute `now`, None where there are none; the verdict must agree."""
    criteria, told = parse_criteria(sequence(steps, within)), life(story)
    value = value_of(criteria, told, now * MINUTE, lambda _: False)
    assert verdict(criteria, told, now * MINUTE, lambda _: False) is (value is not None)
    return None if value is None else [instants.parse(text) // MINUTE for text in value]


class TestExamples:
    """What the language says, line by line."""

    @pytest.mark.parametrize(
        ("steps", "within", "story", "now", "found"),
        [
            ("ab", 5, "ab", 2, [1, 2]),
            ("ab", 5, "ab", 1, None),
            ("ab", 5, "ba", 9, None),
            ("ab", 5, "(ab)", 9, None),
            ("aa", 5, "a", 9, None),
            ("aa", 5, "aa", 9, [1, 2]),
            ("ab", 5, "a----b", 9, [1, 6]),
            ("ab", 4, "a----b", 9, None),
            ("ab", 5, "ab", 99, [1, 2]),
            ("abc", 3, "abbc", 9, [1, 3, 4]),
            ("abc", 2, "a-bc", 9, None),
            ("abc", 4, "a-abc", 9, [3, 4, 5]),
            ("a!xb", 9, "axb", 9, None),
            ("a!xb", 9, "axab", 9, [3, 4]),
            ("a!xb", 9, "a(xb)", 9, [1, 2]),
            ("a!xb", 9, "(ax)b", 9, [1, 2]),
            ("a!xb", 9, "a-bx", 9, [1, 3]),
            ("a!x!yb", 9, "a-y-b", 9, None),
            ("a!x!yb", 9, "a-x-b", 9, None),
            ("a!x!yb", 9, "a---b", 9, [1, 5]),
            ("a!x", 5, "a", 5, None),
            ("a!x", 5, "a", 6, [1]),
            ("a!x", 5, "a", 99, [1]),
            ("a!x", 5, "a----x", 9, None),
            ("a!x", 5, "a-----x", 9, [1]),
            ("a!x", 5, "(ax)", 9, [1]),
            ("a!x", 5, "axa", 9, [3]),
            ("a!x", 5, "axa", 7, None),
            ("ab!x", 5, "ab", 5, None),
            ("ab!x", 5, "ab", 6, [1, 2]),
            ("ab!x", 5, "axb", 9, [1, 3]),
            ("ab!x", 5, "abxb", 9, [1, 4]),
            ("ab!x", 5, "a(bx)", 9, [1, 2]),
            ("ab!x", 5, "abx", 9, None),
            ("a!x!y", 5, "a-y", 9, None),
            ("a!O", 5, "a-O", 9, None),
            ("aO", 5, "a-O", 9, [1, 3]),
            ("Oa", 5, "O-a", 9, [1, 3]),
            ("Oa", 5, "O-aX", 3, [1, 3]),
            ("Oa", 5, "O-aX", 4, None),
        ],
    )
    def test_examples(self, steps: str, within: int, story: str, now: int, found: list[int] | None) -> None:
        """Strictly after, at most the span after the first, nothing of a `not` strictly between or up to the end."""
        assert minutes(steps, within, story, now) == found

    def test_where(self) -> None:
        """A step may test properties."""
        criteria = sequence("aa", 9)
        criteria["sequence"]["steps"][1]["activity"]["where"] = {"n": {"operator": "gte", "value": 4}}

        assert not verdict(parse_criteria(criteria), life("aaa"), 9 * MINUTE, lambda _: False)
        assert verdict(parse_criteria(criteria), life("aaaa"), 9 * MINUTE, lambda _: False)


def read(steps: str) -> list[tuple[str, bool]]:
    """Letters, each with whether it must not happen."""
    return [(letter, steps[place - 1] == "!") for place, letter in enumerate(steps) if letter != "!"]


def every_choice(steps: str, within: int, story: dict[str, list[int]], now: int) -> bool:
    """The definition: does any choice of instants for the steps without `not` follow the rules by now?"""
    places: list[str] = []
    barred: list[list[str]] = []
    for letter, is_not in read(steps):
        if is_not:
            barred[-1].append(letter)
        else:
            places.append(letter)
            barred.append([])
    for choice in product(*(story[letter] for letter in places)):
        end = choice[0] + within
        # What is barred after the last step is barred up to the end, inclusive.
        limits = [*choice[1:], end + 1]
        is_match = all(one < other for one, other in pairwise(choice)) and choice[-1] <= end
        is_clear = not any(
            at < one < limit
            for at, limit, letters in zip(choice, limits, barred, strict=True)
            for letter in letters
            for one in story[letter]
        )
        if is_match and is_clear and (not barred[-1] or end <= now):
            return True
    return False


class TestEveryChoice:
    """The algorithm against the definition."""

    @pytest.mark.parametrize("seed", range(20))
    def test_every_choice(self, seed: int) -> None:
        """On random stories the answer is the one that trying every choice of instants gives."""
        chance = random.Random(seed)
        answers = {True: 0, False: 0}
        for _ in range(150):
            length = chance.randint(2, 4)
            steps = "a" + "".join(chance.choice(["", "", "!"]) + chance.choice("abx") for _ in range(length - 1))
            story = {letter: sorted(chance.sample(range(1, 13), chance.randint(0, 4))) for letter in "abx"}
            within, now = chance.randint(1, 8), chance.randint(6, 20)
            known = {letter: [at for at in some if at <= now] for letter, some in story.items()}
            parts = tuple(Step(Stream(letter), is_not) for letter, is_not in read(steps))
            predicate = SequencePredicate(parts, within)
            match = match_of(predicate, lambda step, known=known: known[step.stream.name])
            is_true = match is not None and match.true_from <= now
            answers[is_true] += 1

            assert is_true == every_choice(steps, within, known, now), (steps, within, known, now)
            if match is not None:
                assert list(match.instants) == sorted(set(match.instants))
                assert match.instants[-1] - match.instants[0] <= within
        assert min(answers.values()) > 10
