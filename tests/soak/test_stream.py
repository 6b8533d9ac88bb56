"""The reader that judges the topic sees each thing that must not be there."""

from __future__ import annotations

import pytest

from tests.soak.stream import Change, Order


def change(ordinal: int, at: int, customer: str = "c", segment: str = "s", *, joined: bool | None = None) -> Change:
    """One change; odd ordinals join unless told otherwise."""
    has_joined = ordinal % 2 == 1 if joined is None else joined
    return Change(
        customer, customer, segment, ordinal, has_joined, at, f"{customer}-{segment}-{ordinal}", None, "t/0/0"
    )


class TestOrder:
    """What is wrong with the next change."""

    def test_a_right_history_passes(self) -> None:
        """Several customers and segments, and two changes at one instant."""
        order = Order()
        right = [change(1, 5), change(1, 5, segment="u"), change(2, 5), change(3, 9), change(1, 2, customer="d")]

        assert [order.faults(one) for one in right] == [[], [], [], [], []]

    @pytest.mark.parametrize(
        ("wrong", "word"),
        [
            (change(2, 7), "ordinal"),
            (change(4, 7), "ordinal"),
            (change(3, 4), "back in time"),
            (change(1, 4, segment="u"), "back in time"),
            (change(3, 7, joined=False), "alternate"),
            (change(2, 7, segment="u"), "ordinal"),
        ],
        ids=["again", "a gap", "earlier", "earlier elsewhere", "left twice", "begins late"],
    )
    def test_a_wrong_one_is_seen(self, wrong: Change, word: str) -> None:
        """After a join and a leave of this customer in this segment."""
        order = Order()
        order.faults(change(1, 5))
        order.faults(change(2, 6))

        [fault] = order.faults(wrong)
        assert word in fault

    def test_who_was_forgotten_is_taken_as_they_come(self) -> None:
        """With a bound on memory the first change of each of their segments is believed, the next ones are not."""
        order = Order(customers_max=1)
        order.faults(change(1, 5))
        order.faults(change(1, 5, customer="d"))

        assert order.faults(change(4, 9)) == []
        assert order.faults(change(7, 10, segment="u")) == []
        assert order.faults(change(6, 11)) != []
