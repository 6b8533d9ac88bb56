"""The pure core on real input with exact answers, without any server."""

from __future__ import annotations

import pytest

from service.core import instants
from tests.exact import DataSet, data_folder, data_sets
from tests.offline import Engine, catalogue_of, collapsed


@pytest.mark.parametrize("name", data_sets())
def test_memberships_and_transitions(name: str) -> None:
    """At every instant the members, and over all time the transitions, are those of the independent answers."""
    folder = data_folder()
    assert folder is not None
    data = DataSet(folder, name)
    lines = list(data.lines())
    for result in data.memberships():
        now = instants.parse(result["as_of"])
        engine = Engine(catalogue_of(data.segments()), now, data.currency)
        events = engine.read(lines)
        for start in range(0, len(events), 1_000):
            engine.batch(events[start : start + 1_000])
        engine.expire(now)

        members = engine.members()
        assert {key: members[key] for key in result["segments"]} == {
            key: set(one["members"]) for key, one in result["segments"].items()
        }
        assert len(engine.profiles) == result["customers"]
    known = data.transitions()
    if known and not name.endswith("shuffled"):
        head, rows = known
        chosen = None if head["customer_ids"] == "all" else set(head["customer_ids"])
        got = collapsed((c, s, at, change) for c, s, at, change, *_ in engine.published if not chosen or c in chosen)
        assert got == sorted(row for row in rows if row[2] <= now)
