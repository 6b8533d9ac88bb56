"""From criteria as JSON to the tree, or to every fault at once, each with its path and the fix."""

from __future__ import annotations

from collections.abc import Callable
from itertools import takewhile
from typing import Any, Final, NamedTuple

from service.core.criteria import fields
from service.core.criteria.behaviour import BehaviourValues
from service.core.criteria.fields import Instant, Number, Purchase
from service.core.criteria.model import (
    AgePredicate,
    All,
    AnyOf,
    AttributePredicate,
    Criteria,
    DatePredicate,
    MemberPredicate,
    Not,
    NumberPredicate,
    PurchasePredicate,
)
from service.core.criteria.operators import AGE_OPERATORS, DATE_OPERATORS, NUMBER_OPERATORS

DEPTH_MAX: Final = 10
PREDICATES_MAX: Final = 200
FAULTS_MAX: Final = 100


class CriteriaFault(NamedTuple):
    """One thing that is wrong: where, and how to mend it."""

    path: str
    message: str
    code: str = "invalid_criteria"


class CriteriaError(Exception):
    """The criteria cannot be used; `faults` tells every reason."""

    def __init__(self, faults: list[CriteriaFault]) -> None:
        super().__init__("; ".join(f"{fault.path}: {fault.message}" for fault in faults))
        self.faults = faults


class Leaf(NamedTuple):
    """One condition of the criteria: where it stands, what stands there, and what it means."""

    path: str
    source: Any
    criteria: Criteria


def parse_criteria(source: object, path: str = "criteria") -> Criteria:
    """Reads criteria in the form of CONTRACT section 4.

    Raises:
        CriteriaError: with all faults.
    """
    return parse_leaves(source, path)[0]


def parse_leaves(source: object, path: str = "criteria") -> tuple[Criteria, list[Leaf]]:
    """As `parse_criteria`, with every condition in the order given.

    Raises:
        CriteriaError: with all faults.
    """
    parser = _Parser()
    criteria = parser.group(source, path, depth=0)
    if parser.predicates > PREDICATES_MAX:
        parser.fault(path, f"has more than {PREDICATES_MAX} predicates, the most there may be; the rest was not read")
    if parser.faults:
        raise CriteriaError(parser.faults)
    return criteria, parser.leaves


class _Parser(BehaviourValues):
    """One reading; collects faults instead of stopping at the first."""

    def __init__(self) -> None:
        self.faults: list[CriteriaFault] = []
        self.leaves: list[Leaf] = []
        self.predicates = 0

    def fault(self, path: str, message: str) -> Any:
        if len(self.faults) < FAULTS_MAX:
            self.faults.append(CriteriaFault(path, message))

    @property
    def is_full(self) -> bool:
        """Whether reading on would only cost time: no fault more would be told, or there are too many predicates."""
        return len(self.faults) >= FAULTS_MAX or self.predicates > PREDICATES_MAX

    def group(self, source: object, path: str, depth: int) -> Criteria:
        """A criteria object: the conjunction of its keys."""
        if depth > DEPTH_MAX:
            self.fault(path, f"is nested deeper than {DEPTH_MAX} levels")
            return All(())
        if not isinstance(source, dict):
            self.fault(path, 'must be an object such as {"total_orders": {"operator": "gte", "value": 1}}')
            return All(())
        if not source:
            self.count()  # asks nothing, and costs what a predicate costs
        items = takewhile(lambda _: not self.is_full, source.items())
        parts = [part for key, value in items if (part := self._key(key, value, path, depth))]
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def _key(self, key: object, value: object, path: str, depth: int) -> Criteria | None:
        if not isinstance(key, str):
            return self.fault(path, "must have texts as keys")
        here = f"{path}.{key[:100]}"
        if key in ("all", "any"):
            return self._several(key, value, here, depth)
        if key == "not":
            return Not(self.group(value, here, depth + 1))
        reader = _READERS.get(key)
        if reader is None:
            return self.fault(here, _NO_CRITERION)
        criteria = reader(self, key, value, here)
        if criteria is not None and key not in _READERS_OF_PARTS:
            self.leaves.append(Leaf(here, {key: value}, criteria))
        return criteria

    def _part(self, path: str, key: str, name: str, value: object, criteria: Criteria) -> Criteria:
        """A condition that is one of several under a key."""
        self.leaves.append(Leaf(path, {key: {name: value}}, criteria))
        return criteria

    def _several(self, key: str, value: object, path: str, depth: int) -> Criteria:
        if not isinstance(value, list) or not value:
            self.fault(path, "must be a list of at least one criteria object")
            return All(())
        if len(value) > PREDICATES_MAX:
            self.fault(path, f"must have at most {PREDICATES_MAX} entries")
            return All(())
        parts = tuple(self.group(part, f"{path}[{index}]", depth + 1) for index, part in enumerate(value))
        return All(parts) if key == "all" else AnyOf(parts)

    def count(self) -> None:
        self.predicates += 1

    def customer_type(self, key: str, value: object, path: str) -> Criteria | None:
        if value not in ("individual", "business"):
            return self.fault(path, 'must be "individual" or "business"')
        self.count()
        return AttributePredicate(fields.CUSTOMER_TYPE, "eq", str(value))

    def subscribed(self, key: str, value: object, path: str) -> Criteria | None:
        if not isinstance(value, bool):
            return self.fault(path, "must be true or false")
        self.count()
        return AttributePredicate(fields.EMAIL_SUBSCRIBED, "eq", value)

    def location(self, key: str, value: object, path: str) -> Criteria | None:
        source = self.mapping(value, path, known=tuple(fields.LOCATION_PARTS))
        if source is None:
            return None
        if not source:
            return self.fault(path, "must name countries, states or cities")
        parts: list[Criteria] = []
        for part, names in source.items():
            found = self.texts(names, f"{path}.{part}")
            if found and part in fields.LOCATION_PARTS:
                self.count()
                predicate = AttributePredicate(fields.LOCATION_PARTS[part], "in", found)
                parts.append(self._part(f"{path}.{part}", key, part, names, predicate))
        return All(tuple(parts))

    def instant(self, key: str, value: object, path: str) -> Criteria | None:
        operator = self.operator(value, path, (*DATE_OPERATORS, *AGE_OPERATORS))
        if operator is None:
            return None
        self.count()
        field = Instant(key)
        if operator in AGE_OPERATORS:
            source = self.mapping(value, path, known=("operator", *self.SPAN_UNITS))
            span = self.span(source, path) if source is not None else None
            return AgePredicate(field, operator == "within_last", span) if span else None
        known = ("operator", "start_date", "end_date") if operator == "between" else ("operator", "date")
        source = self.mapping(value, path, known=known)
        if source is None:
            return None
        if operator == "between":
            start = self.date(source.get("start_date"), f"{path}.start_date")
            end = self.date(source.get("end_date"), f"{path}.end_date")
            if start is None or end is None:
                return None
            if start[0] > end[1]:
                return self.fault(path, "start_date must not lie after end_date")
            return DatePredicate(field, start[0], end[1])
        date = self.date(source.get("date"), f"{path}.date")
        if date is None:
            return None
        first, last = date
        return DatePredicate(field, None, first - 1) if operator == "before" else DatePredicate(field, last + 1, None)

    def number(self, key: str, value: object, path: str) -> Criteria | None:
        operator = self.operator(value, path, NUMBER_OPERATORS)
        if operator is None:
            return None
        self.count()
        bounds = ("min_value", "max_value") if operator == "between" else ("value",)
        source = self.mapping(value, path, known=("operator", "window", *bounds))
        if source is None:
            return None
        field = Number(key)
        decimals = 4 if field is Number.AVERAGE_ORDER_VALUE else None
        found = [self.decimal(source.get(name), f"{path}.{name}", decimals) for name in bounds]
        window = self.window(source, path)
        low, high = found[0], found[-1]
        if low is None or high is None:
            return None
        if low > high:
            return self.fault(path, "min_value must not be greater than max_value")
        return NumberPredicate(field, operator, low, high if operator == "between" else None, window)

    def purchases(self, key: str, value: object, path: str) -> Criteria | None:
        kind = Purchase.PRODUCT if key.endswith("products") else Purchase.CATEGORY
        if isinstance(value, list):
            names = self.texts(value, path)
            self.count()
            return PurchasePredicate(kind, "any", names) if names else None
        source = self.mapping(value, path, known=("any", "all", "window"))
        if source is None:
            return None
        window = self.window(source, path)
        quantifiers = [name for name in ("any", "all") if name in source]
        if not quantifiers:
            return self.fault(path, "must be a list, or an object with any, all or both")
        parts: list[Criteria] = []
        for quantifier in quantifiers:
            names = self.texts(source[quantifier], f"{path}.{quantifier}")
            self.count()
            if names:
                parts.append(PurchasePredicate(kind, quantifier, names, window))
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def never_purchased(self, key: str, value: object, path: str) -> Criteria | None:
        names = self.texts(value, path)
        self.count()
        return PurchasePredicate(Purchase.CATEGORY, "none", names) if names else None

    def traits(self, key: str, value: object, path: str) -> Criteria | None:
        source = self.mapping(value, path, known=None)
        if source is None:
            return None
        if not source:
            return self.fault(path, "must name at least one trait")
        parts: list[Criteria] = []
        for name, test in source.items():
            here = f"{path}.{name[:100]}"
            self.count()
            found = self.attribute_test(name, test, here, fields.TRAIT_PREFIX)
            if found is not None:
                parts.append(self._part(here, key, name, test, found))
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def activity(self, key: str, value: object, path: str) -> Criteria | None:
        self.count()
        return self.activity_predicate(value, path)

    def sequence(self, key: str, value: object, path: str) -> Criteria | None:
        self.count()
        return self.sequence_predicate(value, path)

    def member_of(self, key: str, value: object, path: str) -> Criteria | None:
        self.count()
        found = self.uuid(value, path)
        if found is None:
            return None
        return Not(MemberPredicate(found)) if key == "not_member_of" else MemberPredicate(found)


_Reader = Callable[[Any, str, object, str], Criteria | None]
_READERS: Final[dict[str, _Reader]] = {
    "customer_type": _Parser.customer_type,
    "email_subscribed": _Parser.subscribed,
    "location": _Parser.location,
    "registration_date": _Parser.instant,
    "last_order_date": _Parser.instant,
    "last_login": _Parser.instant,
    "total_orders": _Parser.number,
    "total_spent": _Parser.number,
    "average_order_value": _Parser.number,
    "purchased_products": _Parser.purchases,
    "purchased_categories": _Parser.purchases,
    "never_purchased_categories": _Parser.never_purchased,
    "traits": _Parser.traits,
    "activity": _Parser.activity,
    "sequence": _Parser.sequence,
    "member_of": _Parser.member_of,
    "not_member_of": _Parser.member_of,
}
_NO_CRITERION: Final = f"is no criterion; use one of {', '.join((*_READERS, 'all', 'any', 'not'))}"
#: Readers that note a condition for each of their parts.
_READERS_OF_PARTS: Final = ("location", "traits")
