"""Criteria meant to harm: refused with a path, never an exception of another kind, and never dearer than the limits."""

from __future__ import annotations

import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from service.core.criteria.parse import DEPTH_MAX, FAULTS_MAX, PREDICATES_MAX, CriteriaError, parse_criteria

GTE = {"operator": "gte", "value": 1}
ORDERS = {"total_orders": GTE}
A = {"activity": {"name": "a"}}
DAY = {"days": 1}
MANY = 1_000_000
LARGE = "x" * MANY


def nested(depth: int, inner: Any, key: str = "not") -> Any:
    """Criteria within so many groups."""
    for _ in range(depth):
        inner = {key: inner} if key == "not" else {key: [inner]}
    return inner


def spent(value: object) -> dict[str, Any]:
    """Criteria that compare total_spent with this."""
    return {"total_spent": {"operator": "gte", "value": value}}


def trait(operator: str, **values: Any) -> dict[str, Any]:
    """A test of the trait t."""
    return {"traits": {"t": {"operator": operator, **values}}}


def where(value: object) -> dict[str, Any]:
    """Activities whose price is this."""
    return {"activity": {"name": "a", "where": {"price": {"operator": "eq", "value": value}}}}


def logged_in(**span: Any) -> dict[str, Any]:
    """A login within a span."""
    return {"last_login": {"operator": "within_last", **span}}


#: An object whose keys nobody knows.
UNKNOWN = {f"k{number}": 1 for number in range(100_000)}
BELOW_NOT = "criteria" + ".not" * (DEPTH_MAX + 1)
VALUE = "criteria.total_spent.value"
PRICE = "criteria.activity.where.price.value"
#: What it is -> (criteria, the path of the first fault).
HOSTILE: dict[str, tuple[Any, str]] = {
    "one group too deep": (nested(DEPTH_MAX + 1, ORDERS), BELOW_NOT),
    "100,000 groups deep": (nested(100_000, ORDERS), BELOW_NOT),
    "100,000 lists deep": (nested(100_000, ORDERS, "any"), "criteria" + ".any[0]" * (DEPTH_MAX + 1)),
    "a bomb within a value": (spent(nested(100_000, 1)), VALUE),
    "a bomb as a test": ({"traits": {"t": nested(100_000, 1)}}, "criteria.traits.t.operator"),
    "a bomb as a step": (
        {"sequence": {"steps": [A, nested(100_000, 1)], "within": DAY}},
        "criteria.sequence.steps[1].not",
    ),
    "100,000 unknown criteria": (UNKNOWN, "criteria.k0"),
    "100,000 unknown criteria deep down": (nested(DEPTH_MAX, UNKNOWN), "criteria" + ".not" * DEPTH_MAX + ".k0"),
    "100,000 places": ({"location": UNKNOWN}, "criteria.location"),
    "100,000 traits": ({"traits": UNKNOWN}, "criteria.traits"),
    "100,000 tests": ({"activity": {"name": "a", "where": UNKNOWN}}, "criteria.activity.where"),
    "100,000 keys of a test": ({"total_spent": {**GTE, **UNKNOWN}}, "criteria.total_spent"),
    "100,000 keys of an activity": ({"activity": {"name": "a", **UNKNOWN}}, "criteria.activity"),
    "100,000 keys of a window": ({"activity": {"name": "a", "window": UNKNOWN}}, "criteria.activity.window"),
    "a list of 10 MB": ({"purchased_products": ["0123456789"] * MANY}, "criteria.purchased_products"),
    "a list of 10 MB to be in": (where(["0123456789"] * MANY), PRICE),
    "a list of 10 MB as in": (trait("in", value=["0123456789"] * MANY), "criteria.traits.t.value"),
    "a million groups": ({"any": [{}] * MANY}, "criteria.any"),
    "a million steps": ({"sequence": {"steps": [A] * MANY, "within": DAY}}, "criteria.sequence.steps"),
    "40,000 groups that ask nothing": ({"any": [{"all": [{}] * 200}] * 200}, "criteria"),
    "8,000,000 groups that ask nothing": ({"any": [{"all": [{"any": [{}] * 200}] * 200}] * 200}, "criteria"),
    "40,000 predicates": ({"any": [{"all": [ORDERS] * 200}] * 200}, "criteria"),
    "201 predicates in traits": ({"traits": {f"t{number}": GTE for number in range(201)}}, "criteria"),
    "201 predicates of behaviour": ({"any": [{**A, "sequence": {"steps": [A, A], "within": DAY}}] * 101}, "criteria"),
    "40,000 faults": ({"any": [{"all": [{"x": 1}] * 200}] * 200}, "criteria.any[0].all[0].x"),
    "a text of 1 MB": ({"purchased_products": [LARGE]}, "criteria.purchased_products[0]"),
    "a name of 1 MB": ({"activity": {"name": LARGE}}, "criteria.activity.name"),
    "a property of 1 MB": (
        {"activity": {"name": "a", "sum": {**GTE, "property": LARGE}}},
        "criteria.activity.sum.property",
    ),
    "a criterion of 1 MB": ({LARGE: 1}, f"criteria.{LARGE[:100]}"),
    "a trait of 1 MB": ({"traits": {LARGE: GTE}}, f"criteria.traits.{LARGE[:100]}"),
    "a key of 1 MB": ({"total_spent": {**GTE, LARGE: 1}}, f"criteria.total_spent.{LARGE[:100]}"),
    "an operator of 1 MB": ({"total_spent": {"operator": LARGE}}, "criteria.total_spent.operator"),
    "an id of 1 MB": ({"member_of": LARGE}, "criteria.member_of"),
    "a date of 1 MB": ({"last_login": {"operator": "before", "date": "2" * MANY}}, "criteria.last_login.date"),
    "a number of 1 MB": (spent("9" * MANY), VALUE),
    "10^400": (spent(10**400), VALUE),
    "10^300,000": (spent(10**300_000), VALUE),
    "10^300,000 of a trait": (trait("gt", value=10**300_000), "criteria.traits.t.value"),
    "10^300,000 of a property": (where(10**300_000), PRICE),
    "10^300,000 days": (logged_in(days=10**300_000), "criteria.last_login.days"),
    "a million decimals": (spent(Decimal("0." + "1" * MANY)), VALUE),
    "a million decimals of a property": (where(Decimal("0." + "1" * MANY)), PRICE),
    "10^999,999,999": (spent(Decimal("1E+999999999")), VALUE),
    "10^-999,999,999": (where(Decimal("1E-999999999")), PRICE),
    "0 with an exponent": (spent(Decimal("0E+999999")), VALUE),
    "an exponent beyond all measure, in words": (spent("1e99999999999999999999"), VALUE),
    "NaN": (spent(float("nan")), VALUE),
    "NaN that signals": (trait("between", min_value=Decimal("sNaN"), max_value=1), "criteria.traits.t.min_value"),
    "NaN in words": (spent("NaN"), VALUE),
    "Infinity in words": (spent("-Infinity"), VALUE),
    "Infinity": (where(float("-inf")), PRICE),
    "NaN days": (logged_in(days=float("nan")), "criteria.last_login.days"),
    "infinite days": (logged_in(days=float("inf")), "criteria.last_login.days"),
    "a number with underscores": (spent("1_000"), VALUE),
    "a number between blanks": (spent(" 5 "), VALUE),
    "a number in another script": (spent("\u0665"), VALUE),
    "a number from full-width digits": (spent("\uff15"), VALUE),
    "a week as date": ({"last_login": {"operator": "before", "date": "2024-W01-1"}}, "criteria.last_login.date"),
    "a date without hyphens": (
        {"last_login": {"operator": "before", "date": "20240101T000000Z"}},
        "criteria.last_login.date",
    ),
    "U+0000 in a name": ({"activity": {"name": "a\0"}}, "criteria.activity.name"),
    "U+0000 in a property": ({"activity": {"name": "a", "where": {"\0": GTE}}}, "criteria.activity.where.\0"),
    "U+0000 in a value": (where("\0"), PRICE),
    "half a pair in a value": (where("\udfff"), PRICE),
    "half a pair in a list": (trait("in", value=["\ud83d\ude00"]), "criteria.traits.t.value[0]"),
    "half a pair as criterion": ({"\ud800": 1}, "criteria.\ud800"),
    "keys that are no texts": ({5: 1}, "criteria"),
    "a key of 5,000 digits": ({"traits": {10**5_000: GTE}}, "criteria.traits"),
    "keys of nothing": ({"location": {None: ["FR"]}}, "criteria.location"),
    "a tuple": (({},), "criteria"),
    "bytes": ({"purchased_products": [b"a"]}, "criteria.purchased_products[0]"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_refused_with_a_path(name: str) -> None:
    """What does harm elsewhere is one more fault here; at most FAULTS_MAX of them are told."""
    source, path = HOSTILE[name]
    started = time.perf_counter()
    with pytest.raises(CriteriaError) as caught:
        parse_criteria(source)
    print(f"{(time.perf_counter() - started) * 1_000:.2f} ms")  # noqa: T201 - `pytest -rP` shows it

    assert caught.value.faults[0].path == path
    assert len(caught.value.faults) <= FAULTS_MAX
    assert all(len(fault.path) + len(fault.message) < 2_000 for fault in caught.value.faults)


LOOKS = [0]


class CountedDict(dict):
    """An object that counts how many of its entries are looked at."""

    def items(self) -> Iterator[tuple[Any, Any]]:  # type: ignore[override]
        """Entry by entry."""
        for entry in super().items():
            LOOKS[0] += 1
            yield entry

    def __iter__(self) -> Iterator[Any]:
        for key in super().__iter__():
            LOOKS[0] += 1
            yield key


class CountedList(list):
    """A list that counts how many of its entries are looked at."""

    def __iter__(self) -> Iterator[Any]:
        for entry in super().__iter__():
            LOOKS[0] += 1
            yield entry


def counted(source: Any) -> Any:
    """The same criteria, in objects and lists that count; what is shared stays shared."""
    if isinstance(source, dict):
        return CountedDict({key: counted(value) for key, value in source.items()})
    if isinstance(source, list):
        known: dict[int, Any] = {}
        return CountedList(
            [known.setdefault(id(one), counted(one) if id(one) not in known else None) for one in source]
        )
    return source


#: Nothing is looked at more than this often: the groups above each of 201 predicates or 100 faults, and their keys.
LOOKS_MAX = 10 * (PREDICATES_MAX + FAULTS_MAX) + 2_500


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, (source, _) in HOSTILE.items()
        if isinstance(source, dict) and "deep" not in name and "bomb" not in name
    ],
)
def test_no_dearer_than_the_limits(name: str) -> None:
    """However much there is, no more of it is looked at than the limits allow."""
    source = counted(HOSTILE[name][0])
    LOOKS[0] = 0

    with pytest.raises(CriteriaError):
        parse_criteria(source)

    assert LOOKS[0] <= LOOKS_MAX


class TestLimits:
    """The limits themselves are within the language."""

    @pytest.mark.parametrize(
        "source",
        [
            nested(DEPTH_MAX, ORDERS),
            nested(DEPTH_MAX, ORDERS, "all"),
            {"any": [ORDERS] * PREDICATES_MAX},
            {"any": [{}] * PREDICATES_MAX},
            {"any": [{"all": [A] * 100}] * 2},
            {"traits": {f"t{number}": GTE for number in range(PREDICATES_MAX)}},
            {"purchased_products": ["x" * 1_000] * 1_000},
            where("x" * 1_000),
            {"activity": {"name": "x" * 1_000}},
            trait("in", value=[*range(1_000)]),
            trait("eq", value="\U0001f600" * 1_000),
            {"activity": {"name": "a", "where": {f"p{number}": GTE for number in range(20)}}},
            {"sequence": {"steps": [A] * 10, "within": {"days": 36_500}}},
            {"sequence": {"steps": [A, A], "within": {"minutes": 36_500 * 1_440}}},
            spent("999999999999.99999999999999999999999999"),
            spent(-(10**12) + 1),
            where(10**38 - 1),
            where(Decimal("1E-38")),
        ],
    )
    def test_up_to_the_limit(self, source: dict[str, Any]) -> None:
        """What is exactly as large, deep or many as allowed is read."""
        parse_criteria(source)

    @pytest.mark.parametrize(
        ("source", "path"),
        [
            ({"any": [ORDERS] * (PREDICATES_MAX + 1)}, "criteria.any"),
            ({"any": [{"all": [A] * 100}, *[A] * 101]}, "criteria"),
            ({"purchased_products": ["x"] * 1_001}, "criteria.purchased_products"),
            ({"purchased_products": ["x" * 1_001]}, "criteria.purchased_products[0]"),
            (trait("in", value=[*range(1_001)]), "criteria.traits.t.value"),
            (logged_in(days=36_501), "criteria.last_login.days"),
            (spent(10**12), VALUE),
            (where(10**38), PRICE),
            (where(Decimal("1E-39")), PRICE),
        ],
    )
    def test_one_more(self, source: dict[str, Any], path: str) -> None:
        """One more of anything is refused."""
        with pytest.raises(CriteriaError) as caught:
            parse_criteria(source)

        assert [fault.path for fault in caught.value.faults] == [path]
