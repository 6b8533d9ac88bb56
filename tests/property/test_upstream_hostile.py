"""Calls and webhooks with anything in any field: each is events or a dead letter with a sentence, and none raises."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from service.core import instants
from service.core.events.decode import Rejected, Rules, decode
from service.core.events.model import Event
from service.core.events.owner import owner_of
from tests.property.effort import examples

NOW = instants.parse("2025-01-01T00:00:00Z")
RULES = Rules("USD", 1_000_000, False)
GOLDEN = [json.loads(path.read_text()) for path in sorted((Path(__file__).parents[1] / "golden").glob("*/*.json"))]

HOSTILE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
    st.sampled_from(
        [
            "",
            "0001-01-01T00:00:00+14:00",
            "9999-12-31T23:59:59-14:00",
            "2024-05-01",
            "1E-999999",
            "NaN",
            "\0",
            "x" * 300,
            "gid://shopify/Customer/",
            10**40,
            1e-300,
            [],
            [[]],
            [None],
            {},
            {"id": {"id": []}},
            {"a": {"b": {"c": {"d": {"e": {"f": 1}}}}}},
        ]
    ),
)


def places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value within a record."""
    found = [path] if path else []
    inner = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, one in inner:
        found += places(one, (*path, key))
    return found


@st.composite
def spoiled(draw: st.DrawFn) -> tuple[Any, list[tuple[str, bytes]], bytes | None]:
    """A golden record with up to four values replaced or taken away."""
    golden = copy.deepcopy(draw(st.sampled_from(GOLDEN)))
    record = golden["record"]
    for _ in range(draw(st.integers(1, 4))):
        path = draw(st.sampled_from(places(record) or [()]))
        node = record
        for key in path[:-1]:
            node = node[key]
        if path and draw(st.integers(0, 4)):
            node[path[-1]] = copy.deepcopy(draw(HOSTILE))
        elif path and isinstance(node, dict):
            del node[path[-1]]
    headers = [(name, text.encode()) for name, text in golden.get("headers", {}).items()]
    if draw(st.integers(0, 9)) == 0:
        headers.append(("x-shopify-triggered-at", draw(st.text(max_size=9)).encode()))
    return record, headers, draw(st.one_of(st.none(), st.binary(max_size=9), st.just(b"7")))


@settings(max_examples=examples(500), deadline=None)
@given(spoiled())
def test_never_raises(given_record: tuple[Any, list[tuple[str, bytes]], bytes | None]) -> None:
    """Whatever stands in a field, there are events with ids that fit, the same each time, or a reason in a sentence."""
    record, headers, key = given_record
    raw = json.dumps(record).encode()

    found = decode(raw, headers, RULES, NOW, key)
    owner_of(raw, key, headers)
    owner_of(raw[: len(raw) // 2], key, headers)

    assert found == decode(raw, headers, RULES, NOW, key)
    if isinstance(found, Rejected):
        assert found.error[0].isalpha()
        assert found.error.endswith(".")
        assert found.reason in {"invalid_data", "unknown_type", "future_event", "wrong_currency"}
        return
    assert isinstance(found, list)
    assert found
    for event in found:
        assert isinstance(event, Event)
        assert 1 <= len(event.id) <= 256
        assert "\0" not in event.id
