"""Tests of attributes and of activities' properties, as SQL on a jsonb expression.

jsonb keeps numbers exact and apart from booleans; text compares by code point, which is COLLATE "C".
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final

from service.core.criteria.model import AttributePredicate, Scalar

#: Operators of order and equality.
COMPARE: Final = {"eq": "=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}

#: Gives the parameter of a value and an SQL type.
Bind = Callable[[object, str], str]


def attribute_sql(predicate: AttributePredicate, found: str, bind: Bind) -> str:
    """Whether a value passes the test; NULL, which means false, where it is missing or of another type.

    Args:
        predicate: the test; its field does not matter here.
        found: the jsonb value, NULL or a JSON null where it is missing. jsonb compares equal only what is of one type.
        bind: of the statement.
    """
    value = predicate.value
    present = present_sql(found)
    if predicate.operator == "exists":
        return present if value else f"NOT ({present})"
    if predicate.operator == "in" and isinstance(value, tuple):
        listed = bind([_json(one) for one in value], "text[]")
        return f"{found} = ANY(CAST({listed} AS jsonb[]))"
    if predicate.operator == "between" and isinstance(value, tuple):
        low, high = value
        return f"{_ordered('gte', found, low, bind)} AND {_ordered('lte', found, high, bind)}"
    assert not isinstance(value, tuple)  # noqa: S101 - parse gives lists to `in` and `between` alone
    if predicate.operator == "eq":
        return f"{found} = {bind(_json(value), 'jsonb')}"
    if predicate.operator == "ne":
        return f"{present} AND {found} <> {bind(_json(value), 'jsonb')}"
    if predicate.operator == "contains":
        within = f"strpos({_text(found)}, {bind(value, 'text')}) > 0"
        return f"CASE WHEN jsonb_typeof({found}) = 'string' THEN {within} END"
    return _ordered(predicate.operator, found, value, bind)


def present_sql(found: str) -> str:
    """Whether a jsonb value is there; true or false, never NULL."""
    return f"coalesce(jsonb_typeof({found}), 'null') <> 'null'"


def number_sql(found: str) -> str:
    """The exact number of a jsonb value; NULL of anything else.

    CASE, not a condition beside it: it alone keeps PostgreSQL from casting a text to a number first.
    """
    return f"CASE WHEN jsonb_typeof({found}) = 'number' THEN CAST({found} AS numeric) END"


def _ordered(operator: str, found: str, value: Scalar, bind: Bind) -> str:
    compare = COMPARE[operator]
    if isinstance(value, str):
        test = f"{_text(found)} {compare} {bind(value, 'text')}"
        return f"CASE WHEN jsonb_typeof({found}) = 'string' THEN {test} END"
    return f"{number_sql(found)} {compare} {bind(value, 'numeric')}"


def _text(found: str) -> str:
    return f"({found} #>> '{{}}') COLLATE \"C\""


def _json(value: Scalar) -> str:
    """The value as JSON; numbers to the last digit."""
    if isinstance(value, bool | str):
        return json.dumps(value, ensure_ascii=False)
    return str(value)
