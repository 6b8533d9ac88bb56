"""Criteria as SQL over the fact tables: the interpreter of verify and backtest.

It gives the truth table's answers (core.criteria.operators): missing data make a predicate false, so every predicate
is coalesced to false; text compares by code point, which is COLLATE "C"; jsonb keeps numbers exact and apart from
booleans.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from service.adapters.postgres.activity_figures import compared_sql
from service.adapters.postgres.attribute_sql import attribute_sql
from service.adapters.postgres.fact_figures import EXISTS, SEEN, Figures, seen_table
from service.adapters.postgres.known_segments import Segments
from service.core.criteria.fields import Instant, Number
from service.core.criteria.model import (
    ActivityPredicate,
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
    SequencePredicate,
)
from service.core.instants import to_datetime

#: Whole tables are read, on a connection that may be set for look-ups. A nested loop, chosen by a guess of one row
#: where there are a million, would not end.
PREPARE: Final = (
    "SET LOCAL enable_seqscan = on",
    "SET LOCAL enable_hashjoin = on",
    "SET LOCAL enable_mergejoin = on",
    "SET LOCAL enable_nestloop = off",
    "SET LOCAL plan_cache_mode = force_custom_plan",
    "SET LOCAL work_mem = '64MB'",
)


async def prepare(connection: AsyncConnection) -> None:
    """Sets the transaction for statements over all customers."""
    for setting in PREPARE:
        await connection.execute(text(setting))


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


def verdicts_at(
    criteria: Sequence[Criteria], as_of: int, segments: Segments | None = None, *, has_pins_as_of: bool = False
) -> Statement:
    """For every customer that exists at the instant: (customer_id, as_of, one boolean for each of the criteria).

    The transaction must be set by `prepare`.

    Args:
        criteria: what to ask.
        as_of: the instant; facts after it do not count.
        segments: those that the criteria may refer to (known_segments.load_segments); others have no members.
        has_pins_as_of: only pins that were there at the instant count; else all.

    Raises:
        SegmentsUnusable: a segment refers to itself.
    """
    given = {"as_of": to_datetime(as_of)}
    seen = "SELECT *, CAST(:as_of AS timestamptz) AS as_of FROM seen"
    subjects = f"SELECT customer_id, as_of FROM ({seen}) AS one WHERE {EXISTS}"  # noqa: S608 - built from constants
    figures = Figures(segments, has_pins_as_of=has_pins_as_of)
    sentence = "Whom the criteria hold for at one instant."
    return _verdicts("criteria_verdicts_at", sentence, criteria, figures, [SEEN, f"subjects AS ({subjects})"], given)


def verdicts_of(
    criteria: Sequence[Criteria],
    subjects: Sequence[tuple[UUID, int]],
    segments: Segments | None = None,
    *,
    has_pins_as_of: bool = False,
) -> Statement:
    """As `verdicts_at`, for given customers each at an instant of its own; who does not exist then is left out."""
    given = {"customer_ids": [one[0] for one in subjects], "instants": [to_datetime(one[1]) for one in subjects]}
    listed = "unnest(CAST(:customer_ids AS uuid[]), CAST(:instants AS timestamptz[])) AS listed (customer_id, as_of)"
    rows = f"SELECT DISTINCT customer_id, as_of FROM {listed} JOIN seen USING (customer_id) WHERE {EXISTS}"  # noqa: S608
    seen = seen_table("customer_id = ANY(CAST(:customer_ids AS uuid[]))")
    figures = Figures(segments, has_pins_as_of=has_pins_as_of)
    sentence = "Whom of these the criteria hold for, each then."
    return _verdicts("criteria_verdicts_of", sentence, criteria, figures, [seen, f"subjects AS ({rows})"], given)


def _verdicts(
    name: str,
    sentence: str,
    criteria: Sequence[Criteria],
    figures: Figures,
    subjects: Sequence[str],
    given: dict[str, Any],
) -> Statement:
    tests = ", ".join(criteria_sql(one, figures) for one in criteria)
    query = f"SELECT customer_id, as_of, CAST(ARRAY[{tests}] AS boolean[]) AS verdicts\nFROM {figures.source()}"
    return statement(name, sentence, [*subjects, *figures.tables()], query, given | figures.parameters)


def criteria_sql(criteria: Criteria, figures: Figures) -> str:
    """A boolean expression over `figures.source()`; true or false, never NULL.

    Raises:
        SegmentsUnusable: a segment that the criteria name refers to itself.
    """
    if isinstance(criteria, All):
        return _joined(" AND ", criteria.parts, figures, "true")
    if isinstance(criteria, AnyOf):
        return _joined(" OR ", criteria.parts, figures, "false")
    if isinstance(criteria, Not):
        return f"(NOT {criteria_sql(criteria.part, figures)})"
    if isinstance(criteria, PurchasePredicate):
        return _purchase(criteria, figures)
    if isinstance(criteria, SequencePredicate):
        return figures.sequence(criteria)
    if isinstance(criteria, MemberPredicate):
        return figures.member(criteria.segment_id, criteria_sql)
    return f"coalesce({_comparison(criteria, figures)}, false)"


def _comparison(
    predicate: AttributePredicate | NumberPredicate | DatePredicate | AgePredicate | ActivityPredicate,
    figures: Figures,
) -> str:
    """NULL where what is compared is missing."""
    if isinstance(predicate, AttributePredicate):
        return attribute_sql(predicate, figures.attribute(predicate.field), figures.bind)
    if isinstance(predicate, NumberPredicate):
        return _number(predicate, figures)
    if isinstance(predicate, DatePredicate):
        return _date(predicate, figures)
    return figures.activity(predicate) if isinstance(predicate, ActivityPredicate) else _age(predicate, figures)


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
    bounds = (predicate.low, predicate.high)
    low, high = (None if one is None else scaled.format(figures.bind(one, "numeric")) for one in bounds)
    return compared_sql(value, predicate.operator, low, high)


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
