"""Sequences as SQL over the facts: each rule at its edge, and random timelines against a literal reading."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise, product
from typing import Any

import pytest

from service.adapters.postgres.criteria_sql import verdicts_at
from service.adapters.postgres.database import Database
from service.core import instants
from service.core.criteria.parse import parse_criteria
from service.core.events.model import Event
from service.core.identity import customer_uuid
from tests.drafts import DAY, NOW, Draft, cancelled, compare, done, each_done, events_of, placed, updated
from tests.facts import fetch, stored_facts

MINUTE = instants.MINUTE


def steps(*names: str, minutes: int = 10) -> dict[str, Any]:
    """A sequence of activities and `order`; `-` before a name is a not."""
    found = []
    for name in names:
        bare = name.removeprefix("-")
        step: dict[str, Any] = {"order": {}} if bare == "order" else {"activity": {"name": bare}}
        found.append(step if bare == name else {**step, "not": True})
    return {"sequence": {"steps": found, "within": {"minutes": minutes}}}


def ago(*moments: tuple[str, float]) -> list[Draft]:
    """Activities and orders so many minutes ago."""
    return each_done((name, round(minutes * MINUTE)) for name, minutes in moments)


def micros(*moments: tuple[str, int]) -> list[Draft]:
    """Activities and orders so many microseconds ago."""
    return each_done(moments)


WIDE = 10 * MINUTE
#: What it shows -> (events, criteria, whether it holds at NOW).
CASES: dict[str, tuple[list[Draft], dict[str, Any], bool]] = {
    "one and then the other": (ago(("a", 5), ("b", 3)), steps("a", "b"), True),
    "the other way round is another thing": (ago(("a", 3), ("b", 5)), steps("a", "b"), False),
    "at one instant is not after": (ago(("a", 3), ("b", 3)), steps("a", "b"), False),
    "a microsecond after is": (micros(("a", 3), ("b", 2)), steps("a", "b"), True),
    "the span holds its end": (micros(("a", WIDE), ("b", 0)), steps("a", "b"), True),
    "a microsecond more is too long": (micros(("a", WIDE + 1), ("b", 0)), steps("a", "b"), False),
    "a later beginning may fit": (ago(("a", 30), ("a", 8), ("b", 0)), steps("a", "b"), True),
    "the span runs from the first step": (ago(("a", 12), ("b", 6), ("c", 1)), steps("a", "b", "c"), False),
    "three steps": (ago(("a", 9), ("b", 6), ("c", 1)), steps("a", "b", "c"), True),
    "one activity is not two steps": (ago(("a", 5)), steps("a", "a"), False),
    "two of a kind": (ago(("a", 5), ("a", 4)), steps("a", "a"), True),
    "once is for ever": (ago(("a", 50_000), ("b", 49_995), ("c", 0)), steps("a", "b"), True),
    "what is later does not count": ([*micros(("a", 5), ("b", -1)), updated()], steps("a", "b"), False),
    "without any it is false": ([updated()], steps("a", "b"), False),
    "nothing is a not": ([updated()], {"not": steps("a", "b")}, True),
    # Orders.
    "an order after an activity": (ago(("a", 5), ("order", 3)), steps("a", "order"), True),
    "an order at its earliest date": (
        [done("a", 5 * MINUTE), placed(3 * MINUTE, id="later"), placed(6 * MINUTE, id="earlier")],
        steps("a", "order"),
        False,
    ),
    "a cancelled order never was": (
        [done("a", 5 * MINUTE), placed(3 * MINUTE, id="p"), ("order.cancelled", 0, {"order_id": "o", "id": "x"})],
        steps("a", "order"),
        False,
    ),
    "a test order is none": ([done("a", 5 * MINUTE), placed(3 * MINUTE, test=True)], steps("a", "order"), False),
    "two orders": (ago(("order", 5), ("order", 3)), steps("order", "order"), True),
    "a cancelled order bars nothing": (
        [*ago(("a", 30), ("b", 28)), placed(29 * MINUTE, "x", id="p"), ("order.cancelled", 0, {"order_id": "x"})],
        steps("a", "-order", "b"),
        True,
    ),
    # Not between.
    "nothing between": (ago(("a", 5), ("b", 3)), steps("a", "-x", "b"), True),
    "something between": (ago(("a", 5), ("x", 4), ("b", 3)), steps("a", "-x", "b"), False),
    "at the instant before is not between": (ago(("a", 5), ("x", 5), ("b", 3)), steps("a", "-x", "b"), True),
    "at the instant after is not between": (ago(("a", 5), ("x", 3), ("b", 3)), steps("a", "-x", "b"), True),
    "a microsecond after is between": (micros(("a", 5), ("x", 4), ("b", 3)), steps("a", "-x", "b"), False),
    "before and after do not matter": (ago(("x", 6), ("a", 5), ("b", 3), ("x", 2)), steps("a", "-x", "b"), True),
    "a later beginning may be free": (ago(("a", 9), ("x", 8), ("a", 7), ("b", 3)), steps("a", "-x", "b"), True),
    "an earlier end may be free": (ago(("a", 9), ("b", 8), ("x", 7), ("b", 3)), steps("a", "-x", "b"), True),
    "only the gap it stands in": (ago(("a", 9), ("b", 7), ("x", 5), ("c", 3)), steps("a", "-x", "b", "c"), True),
    "another gap": (ago(("a", 9), ("x", 8), ("b", 7), ("c", 3)), steps("a", "b", "-x", "c"), True),
    "neither of two": (ago(("a", 5), ("y", 4), ("b", 3)), steps("a", "-x", "-y", "b"), False),
    "neither happened": (ago(("a", 5), ("b", 3)), steps("a", "-x", "-y", "b"), True),
    "none of its own kind between": (ago(("a", 5), ("a", 4), ("b", 3)), steps("a", "-a", "b"), True),
    # Not at the end.
    "an end that never came": (ago(("a", 12)), steps("a", "-b"), True),
    "becomes true at the span's end": (micros(("a", WIDE)), steps("a", "-b"), True),
    "and not a microsecond before": (micros(("a", WIDE - 1)), steps("a", "-b"), False),
    "what comes at the span's end still counts": (micros(("a", WIDE), ("b", 0)), steps("a", "-b"), False),
    "what comes after it does not": (micros(("a", WIDE + 1), ("b", 0)), steps("a", "-b"), True),
    "at the instant of the step before it does not": (micros(("a", WIDE), ("b", WIDE)), steps("a", "-b"), True),
    "a microsecond after it does": (micros(("a", WIDE), ("b", WIDE - 1)), steps("a", "-b"), False),
    "the end is the first step's": (ago(("a", 10), ("b", 8)), steps("a", "b", "-c"), True),
    "not yet after the first step": (ago(("a", 9), ("b", 8)), steps("a", "b", "-c"), False),
    "after the last step, not the first": (ago(("a", 10), ("c", 9), ("b", 8)), steps("a", "b", "-c"), True),
    "a later last step may be free": (ago(("a", 20), ("b", 19), ("c", 18), ("b", 17)), steps("a", "b", "-c"), True),
    "a last step after the span is none": (ago(("a", 30), ("b", 19)), steps("a", "b", "-c"), False),
    "lapsed: none of its own kind after": (ago(("a", 25), ("a", 20)), steps("a", "-a"), True),
    "not lapsed": (ago(("a", 15), ("a", 9)), steps("a", "-a"), False),
    "neither of two at the end": (ago(("a", 15), ("y", 14)), steps("a", "-x", "-y"), False),
    "a beginning need not reach what a later one does": (
        ago(("a", 30), ("x", 29), ("a", 28), ("b", 27), ("c", 19)),
        steps("a", "-x", "b", "-c"),
        False,
    ),
    "a beginning reaches an earlier end": (
        ago(("a", 30), ("b", 29), ("x", 28), ("a", 27), ("b", 26), ("c", 19)),
        steps("a", "-x", "b", "-c"),
        True,
    ),
}


async def verdicts(database: Database, cases: Sequence[tuple[list[Event], dict[str, Any]]]) -> list[bool]:
    """For each case whether its criteria hold for its customer, `customer <place>`; all in one statement."""
    criteria = [parse_criteria(one) for _, one in cases]
    async with stored_facts(database, [event for events, _ in cases for event in events]) as connection:
        rows = await fetch(connection, verdicts_at(criteria, NOW))
    found = {row.customer_id: row.verdicts for row in rows}
    return [found[customer_uuid(f"customer {place}")][place] for place in range(len(cases))]


async def test_cases(database: Database) -> None:
    """Each rule of the language holds at its edge."""
    asked = [
        (events_of(*drafts, customer=f"customer {place}"), criteria)
        for place, (drafts, criteria, _) in enumerate(CASES.values())
    ]

    told = dict(zip(CASES, await verdicts(database, asked), strict=True))

    assert {name: told[name] for name in CASES if told[name] is not CASES[name][2]} == {}


async def test_tests_of_properties(database: Database) -> None:
    """A step is an activity whose properties pass its tests; equal steps of two sequences are kept apart."""

    def bought(value: int) -> dict[str, Any]:
        first = {"activity": {"name": "a", "where": {"n": compare("eq", value)}}}
        return {"sequence": {"steps": [first, {"activity": {"name": "b"}}], "within": {"minutes": 10}}}

    events = events_of(done("a", 5 * MINUTE, n=1), done("a", 3 * MINUTE, n=2), done("b", 4 * MINUTE))
    criteria = [parse_criteria(bought(value)) for value in (1, 2, 3)]

    async with stored_facts(database, events) as connection:
        rows = await fetch(connection, verdicts_at(criteria, NOW))

    assert [row.verdicts for row in rows] == [[True, False, False]]


async def test_longest_span(database: Database) -> None:
    """A century is exact to the microsecond."""
    century = {"steps": [{"activity": {"name": "a"}}, {"activity": {"name": "b"}}], "within": {"days": 36_500}}
    span = 36_500 * DAY
    asked = [
        (events_of(done("a", span + more), done("b", 0), customer=f"customer {place}"), {"sequence": century})
        for place, more in enumerate((0, 1))
    ]

    assert await verdicts(database, asked) == [True, False]


async def test_late_cancellation_makes_it_false_again(database: Database) -> None:
    """Asked about the time before the cancellation it is still true."""
    events = events_of(done("a", 5 * MINUTE), placed(3 * MINUTE), cancelled(1 * MINUTE))
    criteria = [parse_criteria(steps("a", "order"))]

    async with stored_facts(database, events) as connection:
        before = await fetch(connection, verdicts_at(criteria, NOW - 2 * MINUTE))
        after = await fetch(connection, verdicts_at(criteria, NOW))

    assert (before[0].verdicts, after[0].verdicts) == ([True], [False])


def literally(asked: Sequence[str], within: int, moments: Sequence[tuple[str, int]]) -> bool:
    """docs/criteria.md word by word: every choice of instants is tried. Instants are minutes before NOW, negative."""

    def when(name: str) -> list[int]:
        return sorted({at for one, at in moments if one == name.removeprefix("-")})

    wanted = [place for place, name in enumerate(asked) if not name.startswith("-")]
    for chosen in product(*(when(asked[place]) for place in wanted)):
        ends_at = chosen[0] + within
        if any(one >= other for one, other in pairwise(chosen)) or chosen[-1] > ends_at:
            continue
        gaps = [
            any(start < at < end for name in asked[place + 1 : following] for at in when(name))
            for (place, following), (start, end) in zip(pairwise(wanted), pairwise(chosen), strict=True)
        ]
        rest = asked[wanted[-1] + 1 :]
        broken = any(chosen[-1] < at <= ends_at for name in rest for at in when(name))
        if not any(gaps) and not broken and (not rest or ends_at <= 0):
            return True
    return False


@pytest.mark.parametrize("seed", range(3))
async def test_random_timelines(database: Database, seed: int) -> None:
    """On crowded timelines SQL says what the literal reading says; half of the sequences end with a not."""
    chance = random.Random(seed)
    names = ("a", "b", "c", "order")[: 2 + seed % 3]
    cases = []
    expected = []
    for place in range(160):
        moments = [(chance.choice(names), -chance.randrange(25)) for _ in range(chance.randrange(4, 16))]
        asked = [chance.choice(names)]
        asked += [chance.choice(("", "", "-")) + chance.choice(names) for _ in range(chance.randrange(1, 6))]
        if place % 2:
            asked.append("-" + chance.choice(names))
        within = chance.randrange(1, 20)
        drafts = each_done((name, -at * MINUTE) for name, at in moments)
        cases.append((events_of(*drafts, customer=f"customer {place}"), steps(*asked, minutes=within)))
        expected.append(literally(asked, within, moments))

    told = await verdicts(database, cases)

    assert [place for place, verdict in enumerate(told) if verdict is not expected[place]] == []
    assert 30 < sum(expected) < 130
