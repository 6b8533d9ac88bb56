"""Generated values: edges to the microsecond, types mixed, fields missing, huge numbers, all scripts."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from service.core import instants

EPOCH = instants.from_datetime(datetime(2024, 1, 10, 12, tzinfo=UTC))
CUSTOMERS = ("ann", "çelik", "00000000-0000-0000-0000-00000000000a")
KEYS = ("k", "K", 'a"b?.🂡')
#: Latin, composed and decomposed, above and below the surrogates of UTF-16, and what LIKE and JSON would take apart.
TEXTS = ("", "5", "true", "a", "B", "ab", "é", "e\u0301", "\uffff", "\U0001f600", "a%b_c", "\\", '"', "{}", "null")
NUMBERS = (
    *(0, 1, 5, -1, 10**37, -(10**37), 2**63),
    *(
        Decimal("5.0"),
        Decimal("0.1"),
        Decimal("-0.0"),
        Decimal("1E+38"),
        Decimal("1E-38"),
        Decimal("4.999999999999999"),
    ),
    Decimal("12345678901234567890123456789012345.678"),
)
SCALARS = (*TEXTS, *NUMBERS, True, False)
#: What events and criteria both hold often.
COMMON = ("5", 5, Decimal("5.0"), True, "true", "é")
PLACES = ("a", "é", "e\u0301")
SPANS = ({"days": 1}, {"days": 2}, {"hours": 1}, {"minutes": 1}, {"days": 30}, {"days": 36_500})
ACTIVITIES = ("seen", "é", "e\u0301")
PRODUCTS = ("p", "P", "é", "e\u0301")
MONEY = ("0", "0.01", "1", "99.99", "-5", "33.33", "9999999999.99", "-9999999999.99")
hold = st.sampled_from


def often(*weighted: tuple[int, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    """One of several, each with its weight; `one_of` would weigh the branches inside of each."""
    places = [place for place, (weight, _) in enumerate(weighted) for _ in range(weight)]
    return hold(places).flatmap(lambda place: weighted[place][1])


scalars = st.one_of(hold(COMMON), hold(SCALARS))


def instants_near() -> st.SearchStrategy[int]:
    """Few days, few microseconds around them: equal instants and exact edges are common."""
    shift = hold((-1, 0, 0, 0, 1))
    spans = hold((0, 0, 0, 0, 0, instants.DAY, 2 * instants.DAY, instants.HOUR, 30 * instants.DAY, instants.MINUTE))
    return st.builds(lambda one, other, micros: EPOCH - one - other + micros, spans, spans, shift)


as_of_instants = st.builds(lambda at, days: at + days * instants.DAY, instants_near(), hold((0, 1, 2, 30, 60)))


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """The value or null."""
    return st.one_of(st.none(), strategy)


def some(fields: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """An object in which each field may be missing."""
    return st.fixed_dictionaries({}, optional=fields)


def tested(operator: st.SearchStrategy[str], value: st.SearchStrategy[Any], **more: Any) -> st.SearchStrategy[Any]:
    """A test object; `more` may be missing."""
    return st.fixed_dictionaries({"operator": operator, "value": value}, optional=more)


def between(value: st.SearchStrategy[Any], **more: Any) -> st.SearchStrategy[Any]:
    """A test object with two bounds in their order."""
    bounds = st.tuples(value, value).map(lambda pair: sorted(pair, key=sortable))
    return st.builds(
        lambda pair, rest: {"operator": "between", "min_value": pair[0], "max_value": pair[1], **rest},
        bounds,
        some(more),
    )


def sortable(value: Any) -> Any:
    """What numbers in any form are sorted by."""
    return Decimal(repr(value) if isinstance(value, float) else value)


windows = {"window": hold(SPANS)}
COMPARE = ("eq", "gt", "gte", "lt", "lte")


def _one(operator: str, value: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return tested(st.just(operator), value)


_ordered = hold((*TEXTS, *NUMBERS))
_texts_between = st.tuples(hold(TEXTS), hold(TEXTS)).map(
    lambda two: {"operator": "between", "min_value": min(two), "max_value": max(two)}
)
#: Every operator of the truth table, with values that it takes.
PROPERTY_TESTS = {
    "eq": _one("eq", scalars),
    "ne": _one("ne", scalars),
    "in": _one("in", st.lists(scalars, min_size=1, max_size=3)),
    **{operator: _one(operator, _ordered) for operator in ("gt", "gte", "lt", "lte")},
    "between": st.one_of(between(hold(NUMBERS)), _texts_between),
    "contains": _one("contains", hold(TEXTS[1:])),
    "exists": _one("exists", st.booleans()),
}
property_test = st.one_of(*PROPERTY_TESTS.values())
