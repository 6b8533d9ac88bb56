"""Figures of activities as SQL over the facts: every figure and operator at its edges."""

from __future__ import annotations

from typing import Any

from service.adapters.postgres.criteria_sql import verdicts_at, verdicts_of
from service.adapters.postgres.database import Database
from service.core.criteria.parse import parse_criteria
from service.core.identity import customer_uuid
from tests.drafts import DAY, NOW, Draft, Number, between, compare, done, events_of, updated
from tests.facts import fetch, stored_facts

WINDOW = {"window": {"days": 1}}
HUGE = 10**37


def viewed(**more: Any) -> dict[str, Any]:
    """Criteria on views."""
    return {"activity": {"name": "view", **more}}


def where(**tests: Any) -> dict[str, Any]:
    """Criteria on views whose properties pass tests."""
    return viewed(where=tests)


def of(figure: str, operator: str, value: Any, **more: Any) -> dict[str, Any]:
    """Criteria on a figure of the views' property n."""
    return viewed(**{figure: {"property": "n", **compare(operator, value)}}, **more)


def views(*values: Any) -> list[Draft]:
    """Views with these values of n, a second apart."""
    return [done("view", place, n=value) for place, value in enumerate(values)]


#: What it shows -> (events, criteria, whether it holds at NOW). A customer without activities has updated() alone.
CASES: dict[str, tuple[list[Draft], dict[str, Any], bool]] = {
    "without a figure once is enough": ([done("view")], viewed(), True),
    "without any it is false": ([updated()], viewed(), False),
    "another name is another activity": ([done("views"), done("View")], viewed(), False),
    "names compare by code point": ([done("e\u0301")], {"activity": {"name": "é"}}, False),
    "names may hold anything": ([done("':p0 \"%\\")], {"activity": {"name": "':p0 \"%\\"}}, True),
    "without properties it counts": ([("customer.activity", 0, {"name": "view"})], viewed(), True),
    "null properties are none": ([("customer.activity", 0, {"name": "view", "properties": None})], viewed(), True),
    # Count.
    "has not done": ([updated()], viewed(count=compare("eq", 0)), True),
    "has done, so not has not": ([done("view")], viewed(count=compare("eq", 0)), False),
    "three are at least three": (views(1, 1, 1), viewed(count=compare("gte", 3)), True),
    "three are not more than three": (views(1, 1, 1), viewed(count=compare("gt", 3)), False),
    "three are at most three": (views(1, 1, 1), viewed(count=compare("lte", 3)), True),
    "three are not less than three": (views(1, 1, 1), viewed(count=compare("lt", 3)), False),
    "between holds its low end": (views(1, 1), viewed(count=between(2, 3)), True),
    "between holds its high end": (views(1, 1, 1), viewed(count=between(2, 3)), True),
    "between ends there": (views(1, 1, 1, 1), viewed(count=between(2, 3)), False),
    "no count is a fraction": (views(1, 1), viewed(count=compare("eq", 1.5)), False),
    "a fraction is a bound": (views(1, 1), viewed(count=compare("gt", "1.9999999999999999999")), True),
    # Windows.
    "a window leaves out what is exactly as old": ([done("view", DAY)], viewed(**WINDOW), False),
    "a window holds what is a microsecond younger": ([done("view", DAY - 1)], viewed(**WINDOW), True),
    "a window that holds nothing counts 0": ([done("view", DAY)], viewed(count=compare("eq", 0), **WINDOW), True),
    "what happens now counts": ([done("view", 0)], viewed(**WINDOW), True),
    "what comes later does not": ([done("view", -1), updated()], viewed(), False),
    "figures have windows too": (
        [done("view", DAY, n=5), done("view", DAY - 1, n=1)],
        of("max", "eq", 1, **WINDOW),
        True,
    ),
    "different values have windows too": (
        [done("view", DAY, n=5), done("view", DAY - 1, n=1)],
        of("distinct", "eq", 1, **WINDOW),
        True,
    ),
    # Sum.
    "a sum is exact": (views(Number("0.1"), Number("0.2")), of("sum", "eq", "0.3"), True),
    "a sum of nothing is 0": ([updated()], of("sum", "eq", 0), True),
    "a sum of views without the property is 0": ([done("view")], of("sum", "lte", 0), True),
    "a sum leaves out texts, booleans and null": (views("5", True, None, 2), of("sum", "eq", 2), True),
    "a sum may be negative": (views(1, -3), of("sum", "lt", 0), True),
    "a sum grows beyond its parts": (views(*[9 * HUGE] * 20), of("sum", "gt", 10 * HUGE - 1), True),
    "a sum keeps the last digit": (
        views(Number("1E+37"), Number("1E-37"), Number("-1E+37")),
        of("sum", "eq", "1E-37"),
        True,
    ),
    "a sum between": (views(1, 2), viewed(sum={"property": "n", **between(3, 3)}), True),
    # Average.
    "an average is exact": (views(1, 0, 0), of("avg", "gt", "0.33333333333333333333333333333333333333"), True),
    "an average is exact above": (views(1, 0, 0), of("avg", "lt", "0.33333333333333333333333333333333333334"), True),
    "an average equals": (views(1, 2), of("avg", "eq", 1.5), True),
    "an average counts numbers alone": (views(1, 2, "3", True, None), of("avg", "eq", 1.5), True),
    "an average between": (views(1, 2), viewed(avg={"property": "n", **between(1.5, 1.5)}), True),
    "an average below between": (views(1, 2), viewed(avg={"property": "n", **between("1.51", 2)}), False),
    "a negative average": (views(-1, -2), of("avg", "lt", -1), True),
    "no average of nothing": ([done("view")], of("avg", "lte", 0), False),
    "no average of texts": (views("1"), of("avg", "gte", 0), False),
    "nothing is not an average": ([updated()], {"not": of("avg", "lt", 5)}, True),
    "a huge average": (views(HUGE + 1, HUGE), of("avg", "gt", HUGE), True),
    # Least and greatest.
    "the least": (views(3, 1, 2), of("min", "eq", 1), True),
    "the greatest": (views(3, 1, 2), of("max", "eq", 3), True),
    "the least of numbers": (views("0", 1, False), of("min", "eq", 1), True),
    "the greatest of numbers": (views("9", 1, True), of("max", "eq", 1), True),
    "no least of nothing": ([updated()], of("min", "lt", 5), False),
    "no greatest of texts": (views("9"), of("max", "gt", 0), False),
    "nothing is no least": ([updated()], {"not": of("min", "lt", 5)}, True),
    "a least of 38 digits": (views(HUGE + 1, HUGE + 2), of("min", "eq", HUGE + 1), True),
    "the greatest between": (views(1, 2), viewed(max={"property": "n", **between(2, 3)}), True),
    "minus zero is zero": (views(Number("-0.0")), of("min", "eq", 0), True),
    # Different values.
    "numbers differ by value": (views(1, Number("1.0"), Number("1.00"), 2), of("distinct", "eq", 2), True),
    "types stand apart": (views(1, "1", True, "true"), of("distinct", "eq", 4), True),
    "missing is no value": ([*views(None, 1), done("view")], of("distinct", "eq", 1), True),
    "texts differ by code point": (views("é", "e\u0301", "E", "e", "e"), of("distinct", "eq", 4), True),
    "of nothing there are none": ([updated()], of("distinct", "eq", 0), True),
    "different values between": (views(1, 2), viewed(distinct={"property": "n", **between(2, 3)}), True),
    "huge numbers differ in the last digit": (views(HUGE, HUGE + 1), of("distinct", "eq", 2), True),
    # Tests of properties.
    "where eq": (views("a"), where(n=compare("eq", "a")), True),
    "where eq is exact": (views(Number("0.10")), where(n=compare("eq", "0.1")), False),
    "where eq compares numbers by value": (views(Number("0.10")), where(n=compare("eq", 0.1)), True),
    "where eq of another type": (views(1), where(n=compare("eq", True)), False),
    "where ne": (views("a"), where(n=compare("ne", "b")), True),
    "where ne of another type": (views(1), where(n=compare("ne", "1")), True),
    "where ne of what is missing": ([done("view")], where(n=compare("ne", "b")), False),
    "where in": (views(2), where(n=compare("in", [1, 2, "x"])), True),
    "where in of another type": (views("2"), where(n=compare("in", [1, 2, True])), False),
    "where gt": (views(3), where(n=compare("gt", 2)), True),
    "where gt of a text": (views("3"), where(n=compare("gt", 2)), False),
    "where gte of a boolean": (views(True), where(n=compare("gte", 0)), False),
    "where lt by code point": (views("B"), where(n=compare("lt", "a")), True),
    "where lte of a number": (views(1), where(n=compare("lte", "a")), False),
    "where between": (views(2), where(n=between(1, 2)), True),
    "where between texts": (views("\U0001f600"), where(n=between("\uffff", "\U0001f601")), True),
    "where contains": (views("a%b"), where(n=compare("contains", "%")), True),
    "where contains of a number": (views(5), where(n=compare("contains", "5")), False),
    "where exists": (views(False), where(n=compare("exists", True)), True),
    "where exists of null": (views(None), where(n=compare("exists", True)), False),
    "where not exists": ([done("view")], where(n=compare("exists", False)), True),
    "where not exists of null": (views(None), where(n=compare("exists", False)), True),
    "where not exists of a value": (views(0), where(n=compare("exists", False)), False),
    "every test must pass": ([done("view", a=1, b=1)], where(a=compare("eq", 1), b=compare("eq", 2)), False),
    "every test must pass of one activity": (
        [done("view", a=1, b=1), done("view", a=2, b=2)],
        where(a=compare("eq", 1), b=compare("eq", 2)),
        False,
    ),
    "a name may hold anything": ([done("view", **{"a'b\"?.🂡": 1})], where(**{"a'b\"?.🂡": compare("eq", 1)}), True),
    "what no test holds of counts 0": (
        views(1),
        viewed(where={"n": compare("gt", "x")}, count=compare("eq", 0)),
        True,
    ),
    "what no test holds of is not there": (views(1), {"not": where(n=compare("gt", "x"))}, True),
    "figures are of those that pass": (
        [done("view", n=1, k="a"), done("view", n=5, k="b")],
        of("max", "eq", 1, where={"k": compare("eq", "a")}),
        True,
    ),
    "averages are of those that pass": (
        [done("view", n=1, k=1), done("view", n=2, k=2), done("view", n=9, k="x")],
        of("avg", "eq", 1.5, where={"k": compare("lte", 2)}),
        True,
    ),
    "a customer is apart from others": ([updated()], of("sum", "gt", 0), False),
}


async def test_cases(database: Database) -> None:
    """Each rule of the language holds at its edge, each for a customer of its own, all in one statement."""
    names = list(CASES)
    events = [
        event for place, name in enumerate(names) for event in events_of(*CASES[name][0], customer=f"customer {place}")
    ]
    criteria = [parse_criteria(CASES[name][1]) for name in names]

    async with stored_facts(database, events) as connection:
        rows = await fetch(connection, verdicts_at(criteria, NOW))

    found = {row.customer_id: row.verdicts for row in rows}
    told = {name: found[customer_uuid(f"customer {place}")][place] for place, name in enumerate(names)}
    assert {name: told[name] for name in names if told[name] is not CASES[name][2]} == {}
    assert not any(verdict is None for verdicts in found.values() for verdict in verdicts)


async def test_each_instant_has_its_own_figures(database: Database) -> None:
    """At several instants of one customer each sees what had happened by then."""
    criteria = [parse_criteria(one) for one in (viewed(count=compare("eq", 2)), of("sum", "eq", 3, **WINDOW))]
    events = events_of(done("view", 2 * DAY, n=1), done("view", DAY, n=2), done("view", 0, n=3), updated())
    customer = customer_uuid("c")
    moments = (NOW - 2 * DAY, NOW - DAY - 1, NOW - DAY, NOW - 1, NOW)

    async with stored_facts(database, events) as connection:
        rows = await fetch(connection, verdicts_of(criteria, [(customer, at) for at in moments]))

    assert [row.verdicts for row in sorted(rows, key=lambda row: row.as_of)] == [
        [False, False],
        [False, False],
        [True, False],
        [True, False],
        [False, True],
    ]
