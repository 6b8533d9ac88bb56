"""What a set of criteria asks of a profile."""

from __future__ import annotations

from collections.abc import Iterable

from service.core.criteria.fields import Instant, Needs, PurchaseKey
from service.core.criteria.model import (
    AgePredicate,
    AttributePredicate,
    Criteria,
    NumberPredicate,
    PurchasePredicate,
    predicates,
)


def needs_of(criteria: Iterable[Criteria]) -> Needs:
    """What these criteria ask of a profile."""
    windows: set[int] = set()
    offsets: dict[Instant, set[int]] = {instant: set() for instant in Instant}
    purchases: dict[PurchaseKey, set[int]] = {}
    attributes: set[str] = set()
    for one in criteria:
        for predicate in predicates(one):
            if isinstance(predicate, NumberPredicate) and predicate.window:
                windows.add(predicate.window)
            elif isinstance(predicate, AgePredicate):
                offsets[predicate.field].add(predicate.span)
            elif isinstance(predicate, AttributePredicate):
                attributes.add(predicate.field)
            elif isinstance(predicate, PurchasePredicate):
                for name in predicate.names:
                    spans = purchases.setdefault(PurchaseKey(predicate.kind, name), set())
                    if predicate.window:
                        spans.add(predicate.window)
    keys = tuple(sorted(purchases))
    return Needs(
        windows=tuple(sorted(windows)),
        registration_offsets=tuple(sorted(offsets[Instant.REGISTRATION_DATE])),
        order_offsets=tuple(sorted(offsets[Instant.LAST_ORDER_DATE])),
        login_offsets=tuple(sorted(offsets[Instant.LAST_LOGIN])),
        purchases=keys,
        purchase_offsets=tuple((key, tuple(sorted(purchases[key]))) for key in keys if purchases[key]),
        attributes=tuple(sorted(attributes)),
    )
