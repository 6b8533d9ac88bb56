"""Corrections that reach behind what a profile keeps: each was once wrong."""

from __future__ import annotations

import json

from service.core import instants
from tests.offline import Engine, catalogue_of

START = instants.parse("2024-01-01T00:00:00Z")


def engine() -> Engine:
    """Everybody, without any window in use."""
    return Engine(catalogue_of([{"key": "all", "criteria": {}}]), START + 100 * instants.DAY)


def event(number: int, day: int, kind: str, **data: object) -> bytes:
    """An event of customer c."""
    body = {"customer_id": "c", "currency": "USD", **data}
    time = instants.to_text(START + day * instants.DAY)
    return json.dumps(
        {"specversion": "1.0", "id": f"e{number}", "source": "/t", "type": kind, "time": time, "data": body}
    ).encode()


def placed(number: int, day: int, order_id: str) -> bytes:
    """An order of 100.00."""
    return event(number, day, "order.placed", order_id=order_id, total=100)


def refunded(number: int, day: int, order_id: str | None, amount: int) -> bytes:
    """Refund r."""
    return event(number, day, "order.refunded", refund_id="r", order_id=order_id, amount=amount)


def after(*batches: list[bytes]) -> tuple[int, int]:
    """(total spent in minor units, day of the latest order) after these batches."""
    made = engine()
    for batch in batches:
        made.batch(made.read(batch))
    (profile,) = made.profiles.values()
    return profile.total_spent, (profile.last_order_at - START) // instants.DAY


class TestLatestOrder:
    """The latest order, when it is taken away or moved."""

    def test_an_order_that_moves_back_leaves_the_other_latest(self) -> None:
        """Two orders on one day, one of which turns out to be older: the other stays the latest."""
        assert after([placed(1, 9, "a"), placed(2, 9, "b")], [placed(3, 4, "a")]) == (20_000, 9)

    def test_a_late_order_is_not_taken_for_the_latest(self) -> None:
        """The latest order is cancelled in the batch that brings a very old one: the one between is the latest."""
        cancelled = event(4, 20, "order.cancelled", order_id="b")
        assert after([placed(1, 9, "a"), placed(2, 12, "b")], [placed(3, 2, "c"), cancelled]) == (20_000, 9)


class TestMovedRefund:
    """A refund whose later event names another order, or none."""

    def test_it_gives_the_first_order_its_amount_back(self) -> None:
        """The order that it leaves is whole again, though the batch that moves it does not touch that order."""
        both = [placed(1, 1, "a"), placed(2, 2, "b")]
        assert after(both, [refunded(3, 3, "a", 10)], [refunded(4, 4, "b", 30)])[0] == 17_000
        assert after(both, [refunded(3, 3, "a", 10)], [refunded(4, 4, None, 30)])[0] == 17_000

    def test_an_order_that_comes_later_is_not_charged_for_it(self) -> None:
        """A refund that has moved away counts nowhere for the order it first named."""
        assert after([refunded(1, 1, "a", 10)], [refunded(2, 2, None, 30)], [placed(3, 3, "a")])[0] == 7_000
