"""Real input with exact answers, through `segments up` and public doors only."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from service.core import instants
from tests.e2e.product import running
from tests.exact import DataSet, data_folder, data_sets
from tests.offline import collapsed
from tests.world import folded

LAST = {
    "edge_cases": "2024-06-30T12:00:00Z",
    "edge_cases_shuffled": "2024-06-30T12:00:00Z",
    "online_retail_2011": "2011-12-31T00:00:00Z",
    "complete_journey_a": "2018-03-31T00:00:00Z",
}


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


#: The long set runs once.
RUNS = [(name, True) for name in data_sets()] + [(name, False) for name in data_sets() if name != "complete_journey_a"]


@pytest.mark.parametrize(("name", "is_one_topic"), RUNS)
def test_set(name: str, is_one_topic: bool, tmp_path: Path) -> None:
    """Memberships are exact on one topic and on two; joined/left are exact on one and fold to the membership on two."""
    folder = data_folder()
    assert folder is not None
    data = DataSet(folder, name)
    path = str(folder / f"{name}.events.ndjson.gz")
    options = ("--topic", "orders") if is_one_topic else ()
    settings = {"clock": LAST[name], "currency": data.currency, "partitions": "3"}
    with running(tmp_path / "data dir", free_port(), "--workers", "2", **settings) as product:
        ids = product.create_segments(data.segments())
        product.run("publish", path, *options)
        product.run("wait-idle", "--timeout", "400")
        expected = next(one for one in data.memberships() if one["as_of"] == LAST[name])["segments"]

        assert {key: product.members(ids[key]) for key in expected} == {
            key: set(one["members"]) for key, one in expected.items()
        }
        changes = product.changes()
        by_id = folded(changes)
        assert {key: by_id.get(ids[key], set()) for key in expected} == {
            key: set(one["members"]) for key, one in expected.items()
        }
        counts = {one["id"]: one["count"] for one in json.loads(product.run("status", "--json"))["segments"]}
        assert {key: counts[ids[key]] for key in expected} == {key: one["count"] for key, one in expected.items()}
        product.run("verify")
        transitions = data.transitions()
        if is_one_topic and transitions and not name.endswith("shuffled"):
            head, rows = transitions
            keys = {segment_id: key for key, segment_id in ids.items()}
            chosen = None if head["customer_ids"] == "all" else set(head["customer_ids"])
            got = collapsed(
                (one.external_id, keys[one.segment_id], instants.parse(one.effective_at), one.change)
                for one in changes
                if chosen is None or one.external_id in chosen
            )
            assert got == sorted(row for row in rows if row[2] <= instants.parse(LAST[name]))
        assert product.stop() == 0
        assert not (product.data_dir / "stack.json").exists()
