"""What a campaign cost and what came back; exact until it is rounded, once. Money in minor units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Final, NamedTuple

from service.core.ratios import ratio, rounded

_MINOR: Final = 100
_PERCENT: Final = 100
#: Amounts are smaller than this (CONTRACT section 2), and nobody writes more of one.
_AMOUNT_MAX: Final = 10**10
_CHARACTERS_MAX: Final = 40


@dataclass(frozen=True)
class Costs:
    """In minor units, not rounded.

    Attributes:
        messages: of sending.
        fixed: of the campaign as a whole.
        discounts: what codes took off.
    """

    messages: Fraction
    fixed: Fraction
    discounts: int

    @property
    def total(self) -> int:
        """All of them, rounded."""
        return _whole(self.messages + self.fixed + self.discounts)


class Return(NamedTuple):
    """In percent with 2 decimals; not defined, and 0, where nothing was spent."""

    percent: Decimal
    is_defined: bool


class Line(NamedTuple):
    """A line of an order; None where it does not say."""

    quantity: Decimal | None
    unit_price: Decimal | None


def costs_of(charged: int, per_message: Decimal, fixed: Decimal, discounts: int) -> Costs:
    """The costs of so many messages at so much each; prices in the reporting currency, not in minor units."""
    return Costs(charged * Fraction(per_message) * _MINOR, Fraction(fixed) * _MINOR, discounts)


def return_on(revenue: int, costs: Costs, margin: Decimal) -> Return:
    """100 * (revenue * margin - messages - fixed) / (messages + fixed + discounts).

    Revenue is net of the discounts already. With a margin of 1 this is ((revenue + discounts) - costs) / costs: each
    discount counts once.
    """
    spent = costs.messages + costs.fixed
    base = spent + costs.discounts
    if not base:
        return Return(ratio(0, 1, 2), is_defined=False)
    share = _PERCENT * (revenue * Fraction(margin) - spent) / base
    return Return(ratio(share.numerator, share.denominator, 2), is_defined=True)


def discount_given(
    given: str | None, lines: Sequence[Line], total: int, kind: str | None, amount: Decimal | None
) -> int:
    """What a code took off an order.

    Args:
        given: what the order says of it, in the reporting currency; it wins.
        lines: of the order; where each has quantity and price their sum is what the discount was on, else the total is.
        total: of the order.
        kind: percentage or fixed, as the campaign says.
        amount: a percentage, or an amount in the reporting currency.
    """
    said = _amount(given)
    if said is not None:
        return _whole(said * _MINOR)
    if amount is None:
        return 0
    subtotal = _subtotal(lines)
    base = Fraction(total) if subtotal is None else subtotal * _MINOR
    worth = base * Fraction(amount) / _PERCENT if kind == "percentage" else min(Fraction(amount) * _MINOR, base)
    return _whole(max(Fraction(0), worth))


def _amount(given: str | None) -> Fraction | None:
    """What upstream wrote, if it is an amount: a fraction of `1e3000000` would have as many digits."""
    if given is None or len(given) > _CHARACTERS_MAX:
        return None
    try:
        found = Decimal(given)
    except InvalidOperation:
        return None
    is_amount = found.is_finite() and 0 <= found < _AMOUNT_MAX and int(found.as_tuple().exponent) >= -_CHARACTERS_MAX
    return Fraction(found) if is_amount else None


def _subtotal(lines: Sequence[Line]) -> Fraction | None:
    if not lines or any(one.quantity is None or one.unit_price is None for one in lines):
        return None
    return sum((Fraction(one.quantity or 0) * Fraction(one.unit_price or 0) for one in lines), Fraction(0))


def _whole(value: Fraction) -> int:
    return rounded(value.numerator, value.denominator)
