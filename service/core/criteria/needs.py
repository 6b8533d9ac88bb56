"""What a set of criteria asks of a profile."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import ROUND_FLOOR, Context, Decimal
from typing import Final, NamedTuple

from service.core.criteria.fields import Figure, Instant, Number, PurchaseKey
from service.core.criteria.model import (
    ActivityPredicate,
    AgePredicate,
    AttributePredicate,
    Criteria,
    NumberPredicate,
    PurchasePredicate,
    SequencePredicate,
    Stream,
    predicates,
)

#: Exact products; Python's default context would round to 28 digits.
EXACT: Final = Context(prec=100)


class Measure(NamedTuple):
    """A figure of a stream; `property` is None for count alone, `window` in microseconds."""

    stream: Stream
    figure: Figure
    property: str | None
    window: int | None


class Bounded(NamedTuple):
    """A measure with all the bounds it is compared with, ascending; whole ones as int.

    What stands in its column is not the value, which may be beyond 64 bits, but its place among the bounds: 2i + 1
    where it equals bound i, 2i where it lies between bound i - 1 and bound i.
    """

    measure: Measure
    bounds: tuple[int | Decimal, ...]


class WindowBounds(NamedTuple):
    """A window of orders with the bounds of its figures, ascending; amounts are minor units.

    A predicate can flip only where the number of bounds at or below its figure changes; `has_average`: at any change.
    """

    span: int
    orders: tuple[int, ...]
    amounts: tuple[int, ...]
    has_average: bool


class Needs(NamedTuple):
    """What a set of criteria asks of a profile. All tuples are sorted and free of repeats.

    Windows and offsets are microseconds: an instant t makes a predicate flip at t + offset.
    """

    windows: tuple[WindowBounds, ...] = ()
    registration_offsets: tuple[int, ...] = ()
    order_offsets: tuple[int, ...] = ()
    login_offsets: tuple[int, ...] = ()
    purchases: tuple[PurchaseKey, ...] = ()
    purchase_offsets: tuple[tuple[PurchaseKey, tuple[int, ...]], ...] = ()
    attributes: tuple[str, ...] = ()
    measures: tuple[Bounded, ...] = ()
    sequences: tuple[SequencePredicate, ...] = ()


def needs_of(criteria: Iterable[Criteria]) -> Needs:
    """What these criteria ask of a profile."""
    asked: list[NumberPredicate] = []
    offsets: dict[Instant, set[int]] = {instant: set() for instant in Instant}
    purchases: dict[PurchaseKey, set[int]] = {}
    attributes: set[str] = set()
    measures: dict[Measure, set[Decimal]] = {}
    sequences: set[SequencePredicate] = set()
    for predicate in _all(criteria):
        if isinstance(predicate, NumberPredicate) and predicate.window:
            asked.append(predicate)
        elif isinstance(predicate, AgePredicate):
            offsets[predicate.field].add(predicate.span)
        elif isinstance(predicate, AttributePredicate):
            attributes.add(predicate.field)
        elif isinstance(predicate, PurchasePredicate):
            for name in predicate.names:
                spans = purchases.setdefault(PurchaseKey(predicate.kind, name), set())
                if predicate.window:
                    spans.add(predicate.window)
        elif isinstance(predicate, ActivityPredicate):
            measures.setdefault(measure_of(predicate), set()).update(bounds_of(predicate))
        elif isinstance(predicate, SequencePredicate):
            sequences.add(predicate)
    keys = tuple(sorted(purchases))
    return Needs(
        windows=_windows(asked),
        registration_offsets=tuple(sorted(offsets[Instant.REGISTRATION_DATE])),
        order_offsets=tuple(sorted(offsets[Instant.LAST_ORDER_DATE])),
        login_offsets=tuple(sorted(offsets[Instant.LAST_LOGIN])),
        purchases=keys,
        purchase_offsets=tuple((key, tuple(sorted(purchases[key]))) for key in keys if purchases[key]),
        attributes=tuple(sorted(attributes)),
        measures=tuple(
            Bounded(measure, tuple(_whole(bound) for bound in sorted(measures[measure])))
            for measure in sorted(measures, key=repr)
        ),
        sequences=tuple(sorted(sequences, key=repr)),
    )


def measure_of(predicate: ActivityPredicate) -> Measure:
    """The figure that an activity predicate compares."""
    return Measure(predicate.stream, predicate.figure, predicate.property, predicate.window)


def bounds_of(predicate: ActivityPredicate) -> tuple[Decimal, ...]:
    """One bound, or two for between."""
    return (predicate.low,) if predicate.high is None else (predicate.low, predicate.high)


def _all(criteria: Iterable[Criteria]) -> Iterator[object]:
    for one in criteria:
        yield from predicates(one)


def _whole(bound: Decimal) -> int | Decimal:
    """Whole numbers compare much faster as int."""
    return int(bound) if bound == bound.to_integral_value() else bound


def _windows(asked: Iterable[NumberPredicate]) -> tuple[WindowBounds, ...]:
    orders: dict[int, set[int]] = {}
    amounts: dict[int, set[int]] = {}
    averages: set[int] = set()
    for predicate in asked:
        assert predicate.window is not None  # noqa: S101 - the caller chose those with one
        orders.setdefault(predicate.window, set())
        if predicate.field is Number.AVERAGE_ORDER_VALUE:
            averages.add(predicate.window)
            continue
        is_money = predicate.field is Number.TOTAL_SPENT
        found = (amounts if is_money else orders).setdefault(predicate.window, set())
        for bound in (predicate.low, predicate.high):
            if bound is not None:
                # For whole figures the truth of every comparison changes at the bound's floor or one above it.
                exact = EXACT.multiply(bound, Decimal(100)) if is_money else bound
                floor = int(exact.to_integral_value(ROUND_FLOOR))
                found |= {floor, floor + 1}
    return tuple(
        WindowBounds(span, tuple(sorted(orders[span])), tuple(sorted(amounts.get(span, ()))), span in averages)
        for span in sorted(orders)
    )
