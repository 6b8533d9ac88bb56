"""Counting orders and refunds without order of one customer, as columns with running sums."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import accumulate

from service.core.instants import MISSING


class Entries:
    """Counting orders and refunds without order, ascending by instant, as columns.

    Attributes:
        instants: microseconds.
        amounts: minor units.
        orders: 1 for an order, 0 for a refund without order.
    """

    __slots__ = ("_amount_sums", "_order_sums", "amounts", "instants", "orders")

    def __init__(self, instants: list[int], amounts: list[int], orders: list[int]) -> None:
        self.instants, self.amounts, self.orders = instants, amounts, orders
        self._amount_sums: list[int] | None = None
        self._order_sums: list[int] | None = None

    def put(self, at: int, amount: int, order: int) -> None:
        """Adds one; the place among equal instants does not matter."""
        instants = self.instants
        if not instants or at >= instants[-1]:
            instants.append(at)
            self.amounts.append(amount)
            self.orders.append(order)
            if self._amount_sums is not None and self._order_sums is not None:
                self._amount_sums.append(self._amount_sums[-1] + amount)
                self._order_sums.append(self._order_sums[-1] + order)
            return
        place = bisect_right(instants, at)
        instants.insert(place, at)
        self.amounts.insert(place, amount)
        self.orders.insert(place, order)
        self._amount_sums = self._order_sums = None

    def drop(self, at: int, amount: int, order: int) -> None:
        """Takes one out; nothing to do where it has been trimmed, being older than every window."""
        for place in range(bisect_left(self.instants, at), bisect_right(self.instants, at)):
            if self.amounts[place] == amount and self.orders[place] == order:
                del self.instants[place], self.amounts[place], self.orders[place]
                self._amount_sums = self._order_sums = None
                return

    def trim(self, horizon: int) -> None:
        """Forgets those at or before the horizon."""
        if self.instants and self.instants[0] <= horizon:
            end = bisect_right(self.instants, horizon)
            del self.instants[:end], self.amounts[:end], self.orders[:end]
            self._amount_sums = self._order_sums = None

    def clear(self) -> None:
        """Forgets all."""
        self.instants, self.amounts, self.orders = [], [], []
        self._amount_sums = self._order_sums = None

    def sums(self) -> tuple[list[int], list[int]]:
        """Running sums of orders and of amounts: sums[i] is that of the first i entries."""
        if self._order_sums is None or self._amount_sums is None:
            self._order_sums = list(accumulate(self.orders, initial=0))
            self._amount_sums = list(accumulate(self.amounts, initial=0))
        return self._order_sums, self._amount_sums

    def latest_order(self) -> int:
        """The instant of the latest order; MISSING where there is none."""
        for place in range(len(self.instants) - 1, -1, -1):
            if self.orders[place]:
                return self.instants[place]
        return MISSING
