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
        #: As far as they were asked for and nothing has changed since.
        self._order_sums, self._amount_sums = [0], [0]

    def put(self, at: int, amount: int, order: int) -> None:
        """Adds one; the place among equal instants does not matter."""
        instants = self.instants
        if not instants or at >= instants[-1]:
            instants.append(at)
            self.amounts.append(amount)
            self.orders.append(order)
            return
        place = bisect_right(instants, at)
        instants.insert(place, at)
        self.amounts.insert(place, amount)
        self.orders.insert(place, order)
        self._cut(place)

    def drop(self, at: int, amount: int, order: int) -> None:
        """Takes one out; nothing to do where it has been trimmed, being older than every window."""
        for place in range(bisect_left(self.instants, at), bisect_right(self.instants, at)):
            if self.amounts[place] == amount and self.orders[place] == order:
                del self.instants[place], self.amounts[place], self.orders[place]
                self._cut(place)
                return

    def trim(self, horizon: int) -> None:
        """Forgets those at or before the horizon."""
        if self.instants and self.instants[0] <= horizon:
            end = bisect_right(self.instants, horizon)
            del self.instants[:end], self.amounts[:end], self.orders[:end]
            self._cut(0)

    def clear(self) -> None:
        """Forgets all."""
        self.instants, self.amounts, self.orders = [], [], []
        self._cut(0)

    def sums(self) -> tuple[list[int], list[int]]:
        """Running sums of orders and of amounts: sums[i] is that of the first i entries."""
        orders, amounts = self._order_sums, self._amount_sums
        known = len(orders) - 1
        if known < len(self.instants):
            orders[known:] = accumulate(self.orders[known:], initial=orders[known])
            amounts[known:] = accumulate(self.amounts[known:], initial=amounts[known])
        return orders, amounts

    def _cut(self, place: int) -> None:
        """What stands from this place on has changed."""
        del self._order_sums[place + 1 :], self._amount_sums[place + 1 :]

    def latest_order(self) -> int:
        """The instant of the latest order; MISSING where there is none."""
        for place in range(len(self.instants) - 1, -1, -1):
            if self.orders[place]:
                return self.instants[place]
        return MISSING
