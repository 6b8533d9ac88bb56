"""What is stored of shapes and facts comes back as it was: exact numbers stay exact."""

from __future__ import annotations

import pytest

from service.adapters.postgres.batch_rows import activity_fact
from service.adapters.postgres.shape_json import shape_from_json, shape_to_json
from service.core import instants
from service.core.criteria.needs import needs_of
from service.core.criteria.parse import parse_criteria
from service.core.profiles.shape import Shape
from service.core.segments.catalogue import Definition, compile_catalogue
from tests.offline import SPACE

TESTS = (
    {"operator": "gte", "value": 19.99},
    {"operator": "eq", "value": 0.1},
    {"operator": "in", "value": [0.1, 2.5, 1, True, "x", "0.1"]},
    {"operator": "between", "min_value": 0.1, "max_value": 0.3},
    {"operator": "lt", "value": 12345678901234567890123456789.125},
    {"operator": "ne", "value": False},
    {"operator": "contains", "value": "Ünïcode"},
    {"operator": "exists", "value": False},
)


@pytest.mark.parametrize("test", TESTS, ids=str)
def test_a_stored_shape_is_the_same_shape(test: dict) -> None:
    """A definition compiles against the shape that was read back, whatever its tests compare with."""
    stream = {"name": "v", "where": {"p": test}}
    criteria = parse_criteria(
        {
            "activity": {**stream, "sum": {"property": "q", "operator": "gt", "value": 0.1}, "window": {"days": 3}},
            "sequence": {"steps": [{"activity": stream}, {"order": {}, "not": True}], "within": {"hours": 5}},
        }
    )
    shape = Shape().grown_for(needs_of([criteria]))
    stored = shape_from_json(shape_to_json(shape))

    assert stored == shape
    assert stored.grown_for(needs_of([criteria])) is stored
    compile_catalogue(1, [Definition(SPACE, 0, "n", 1, criteria, 1, 0)], stored)


def test_a_stored_activity_has_the_numbers_of_the_event() -> None:
    """Properties read back from the facts are exact numbers again, not floats, which figures leave out."""
    row = (SPACE, "e1", "v", instants.to_datetime(0), '{"a": 2.5, "b": 19.99, "c": 3, "d": true, "e": 1e2}')
    properties = activity_fact(row).fact.properties  # type: ignore[union-attr]

    assert {name: (type(value).__name__, str(value)) for name, value in properties.items()} == {
        "a": ("Decimal", "2.5"),
        "b": ("Decimal", "19.99"),
        "c": ("int", "3"),
        "d": ("bool", "True"),
        "e": ("Decimal", "1E+2"),
    }
