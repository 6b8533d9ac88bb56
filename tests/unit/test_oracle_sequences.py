"""The oracle on sequences, in cases whose answers were worked out by hand."""

from __future__ import annotations

import pytest

from tests.unit.oracle_support import (
    DAY,
    HOUR,
    NEVER,
    NO_ORDER,
    ORDER,
    Draft,
    a,
    cancelled,
    did,
    holds,
    no,
    placed,
    sequence,
)

AB = [did(0, "a"), did(DAY, "b")]
#: What it shows -> (events, criteria, the instant asked after START, the answer).
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


@pytest.mark.parametrize("name", SEQUENCES)
def test_by_hand(name: str) -> None:
    """The oracle finds what the contract's words say."""
    drafts, criteria, at, expected = SEQUENCES[name]

    assert holds(drafts, criteria, at) is expected
