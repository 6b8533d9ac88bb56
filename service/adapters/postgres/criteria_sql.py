"""Criteria as SQL over the fact tables: the interpreter of preview, verify and backtest.

It gives the truth table's answers (core.criteria.operators): missing data make a predicate false, so every predicate
is coalesced to false; text compares by code point, which is COLLATE "C"; jsonb keeps numbers exact and apart from
booleans.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

from service.adapters.postgres.fact_figures import EXISTS, SEEN, Figures
from service.core.criteria.fields import Instant, Number
from service.core.criteria.model import (
    AgePredicate,
    All,
    AnyOf,
    AttributePredicate,
    Criteria,
    DatePredicate,
    Not,
    NumberPredicate,
    PurchasePredicate,
    Scalar,
)
from service.core.instants import to_datetime

_COMPARE: Final = {"eq": "=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


class Statement(NamedTuple):
    """A statement with its name, what it is for, and its parameters (SQLAlchemy's `:name` form)."""

    name: str
    sentence: str
    sql: str
    parameters: dict[str, Any]


def statement(name: str, sentence: str, tables: Sequence[str], query: str, parameters: dict[str, Any]) -> Statement:
    """A statement over named tables (CTEs); name and sentence lead its text, so that logs of the server show them."""
    listed = ",\n".join(tables)
    return Statement(name, sentence, f"/* {name} - {sentence} */\nWITH {listed}\n{query}", parameters)


def verdicts_at(criteria: Sequence[Criteria], as_of: int) -> Statement:
    """For every customer that exists at the instant: (customer_id, as_of, one boolean for each of the criteria)."""
    subjects = f"SELECT * FROM (SELECT seen.*, CAST(:as_of AS timestamptz) AS as_of FROM seen) AS one WHERE {EXISTS}"  # noqa: S608
    sentence = "Whom the criteria hold for at one instant."
    return _verdicts("criteria_verdicts_at", sentence, criteria, subjects, {"as_of": to_datetime(as_of)})


def verdicts_of(criteria: Sequence[Criteria], subjects: Sequence[tuple[UUID, int]]) -> Statement:
    """As `verdicts_at`, for given customers each at an instant of its own; who does not exist then is left out."""
    listed = "unnest(CAST(:customer_ids AS uuid[]), CAST(:instants AS timestamptz[])) AS listed (customer_id, as_of)"
    rows = f"SELECT DISTINCT customer_id, as_of FROM {listed} JOIN seen USING (customer_id) WHERE {EXISTS}"  # noqa: S608
    given = {"customer_ids": [one[0] for one in subjects], "instants": [to_datetime(one[1]) for one in subjects]}
    return _verdicts("criteria_verdicts_of", "Whom of these the criteria hold for, each then.", criteria, rows, given)


def _verdicts(
    name: str, sentence: str, criteria: Sequence[Criteria], subjects: str, given: dict[str, Any]
) -> Statement:
    figures = Figures()
    tests = ", ".join(criteria_sql(one, figures) for one in criteria)
    query = f"SELECT customer_id, as_of, CAST(ARRAY[{tests}] AS boolean[]) AS verdicts\nFROM {figures.source()}"
    tables = [SEEN, f"subjects AS ({subjects})", *figures.tables()]
    return statement(name, sentence, tables, query, given | figures.parameters)


def criteria_sql(criteria: Criteria, figures: Figures) -> str:
    """A boolean expression over `figures.source()`; true or false, never NULL."""
    if isinstance(criteria, All):
        return _joined(" AND ", criteria.parts, figures, "true")
    if isinstance(criteria, AnyOf):
        return _joined(" OR ", criteria.parts, figures, "false")
    if isinstance(criteria, Not):
        return f"(NOT {criteria_sql(criteria.part, figures)})"
    if isinstance(criteria, PurchasePredicate):
        return _purchase(criteria, figures)
    if isinstance(criteria, AttributePredicate):
        test = _attribute(criteria, figures)
    elif isinstance(criteria, NumberPredicate):
        test = _number(criteria, figures)
    elif isinstance(criteria, DatePredicate):
        test = _date(criteria, figures)
    else:
        test = _age(criteria, figures)
    return f"coalesce({test}, false)"


def _joined(operator: str, parts: Sequence[Criteria], figures: Figures, empty: str) -> str:
    return "(" + operator.join(criteria_sql(part, figures) for part in parts) + ")" if parts else empty


def _purchase(predicate: PurchasePredicate, figures: Figures) -> str:
    held = figures.bought(predicate.kind, predicate.names, predicate.window, is_all=predicate.quantifier == "all")
    return f"(NOT {held})" if predicate.quantifier == "none" else held


def _number(predicate: NumberPredicate, figures: Figures) -> str:
    """Figures are whole (orders, minor units), bounds exact numbers in major units."""
    orders = figures.total_orders(predicate.window)
    if predicate.field is Number.TOTAL_ORDERS:
        return _bounded(orders, "{}", predicate, figures)
    spent = figures.total_spent(predicate.window)
    if predicate.field is Number.TOTAL_SPENT:
        return _bounded(spent, "{} * 100", predicate, figures)
    # spent / orders against the bound, without division; there is no average without orders.
    return f"{orders} > 0 AND {_bounded(spent, f'{{}} * 100 * {orders}', predicate, figures)}"


def _bounded(value: str, scaled: str, predicate: NumberPredicate, figures: Figures) -> str:
    low = scaled.format(figures.bind(predicate.low, "numeric"))
    if predicate.operator != "between":
        return f"{value} {_COMPARE[predicate.operator]} {low}"
    return f"{value} >= {low} AND {value} <= {scaled.format(figures.bind(predicate.high, 'numeric'))}"


def _instant(field: Instant, figures: Figures) -> str:
    if field is Instant.REGISTRATION_DATE:
        return figures.registered_at()
    return figures.last_order_at() if field is Instant.LAST_ORDER_DATE else figures.last_login_at()


def _date(predicate: DatePredicate, figures: Figures) -> str:
    instant = _instant(predicate.field, figures)
    bounds = [f"{instant} IS NOT NULL"]
    if predicate.low is not None:
        bounds.append(f"{instant} >= {figures.bind(to_datetime(predicate.low), 'timestamptz')}")
    if predicate.high is not None:
        bounds.append(f"{instant} <= {figures.bind(to_datetime(predicate.high), 'timestamptz')}")
    return " AND ".join(bounds)


def _age(predicate: AgePredicate, figures: Figures) -> str:
    compare = ">" if predicate.is_within else "<="
    return f"{_instant(predicate.field, figures)} {compare} {figures.ago(predicate.span)}"


def _attribute(predicate: AttributePredicate, figures: Figures) -> str:
    """A jsonb value against values of the criteria; jsonb compares equal only what is of one type."""
    found, value = figures.attribute(predicate.field), predicate.value
    present = f"coalesce(jsonb_typeof({found}), 'null') <> 'null'"
    if predicate.operator == "exists":
        return present if value else f"NOT ({present})"
    if predicate.operator == "in" and isinstance(value, tuple):
        listed = figures.bind([_json(one) for one in value], "text[]")
        return f"{found} = ANY(CAST({listed} AS jsonb[]))"
    if predicate.operator == "between" and isinstance(value, tuple):
        low, high = value
        return f"{_ordered('gte', found, low, figures)} AND {_ordered('lte', found, high, figures)}"
    assert not isinstance(value, tuple)  # noqa: S101 - parse gives lists to `in` and `between` alone
    if predicate.operator == "eq":
        return f"{found} = {figures.bind(_json(value), 'jsonb')}"
    if predicate.operator == "ne":
        return f"{present} AND {found} <> {figures.bind(_json(value), 'jsonb')}"
    if predicate.operator == "contains":
        within = f"strpos({_text(found)}, {figures.bind(value, 'text')}) > 0"
        return f"CASE WHEN jsonb_typeof({found}) = 'string' THEN {within} END"
    return _ordered(predicate.operator, found, value, figures)


def _ordered(operator: str, found: str, value: Scalar, figures: Figures) -> str:
    """CASE, not AND: it alone keeps PostgreSQL from casting a text to a number first."""
    compare = _COMPARE[operator]
    if isinstance(value, str):
        test = f"{_text(found)} {compare} {figures.bind(value, 'text')}"
        return f"CASE WHEN jsonb_typeof({found}) = 'string' THEN {test} END"
    test = f"CAST({found} AS numeric) {compare} {figures.bind(value, 'numeric')}"
    return f"CASE WHEN jsonb_typeof({found}) = 'number' THEN {test} END"


def _text(found: str) -> str:
    return f"({found} #>> '{{}}') COLLATE \"C\""


def _json(value: Scalar) -> str:
    """The value as JSON; numbers to the last digit."""
    if isinstance(value, bool | str):
        return json.dumps(value, ensure_ascii=False)
    return str(value)
