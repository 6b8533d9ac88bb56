"""The oracle on figures of activities and on traits, in cases whose answers were worked out by hand."""

from __future__ import annotations

import pytest

from tests.unit.oracle_support import DAY, HOUR, NEVER, WINDOW, Draft, did, figure, holds, seen, updated

BIG = 10**37
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


@pytest.mark.parametrize("name", ACTIVITIES)
def test_by_hand(name: str) -> None:
    """The oracle finds what the contract's words say."""
    drafts, criteria, at, expected = ACTIVITIES[name]

    assert holds(drafts, criteria, at) is expected
