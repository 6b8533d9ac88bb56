"""Predicates that all segments share are shared only where they are the same."""

from __future__ import annotations

import json

import pytest

from service.core import instants
from tests import oracle
from tests.offline import Engine, catalogue_of

NOW = instants.parse("2024-06-01T00:00:00Z")
TRAITS = [1, True, 0, False, "1", 1.0, 2]


def registered(number: int, value: object) -> dict:
    """A customer with one trait."""
    data = {"customer_id": f"c{number}", "traits": {"a": value}}
    return {
        "specversion": "1.0",
        "id": f"e{number}",
        "source": "/t",
        "type": "customer.registered",
        "time": "2024-01-01T00:00:00Z",
        "data": data,
    }


@pytest.mark.parametrize("operator", ["eq", "ne", "in"])
def test_true_and_one_are_different_values(operator: str) -> None:
    """Side by side, tests for 1 and true, 0 and false each decide for themselves, in either order."""
    values = [1, True, 0, False, "1"]
    criteria = [
        {"traits": {"a": {"operator": operator, "value": [value] if operator == "in" else value}}}
        for value in [*values, *reversed(values)]
    ]
    segments = {f"s{number}": one for number, one in enumerate(criteria)}
    events = [registered(number, value) for number, value in enumerate(TRAITS)]
    engine = Engine(catalogue_of([{"key": key, "criteria": one} for key, one in segments.items()]), NOW)
    engine.batch(engine.read([json.dumps(event).encode() for event in events]))

    assert engine.members() == oracle.members_at(events, segments, NOW)
