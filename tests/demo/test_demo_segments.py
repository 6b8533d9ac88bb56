"""The demo's segments: accepted as they stand, of words that the data set knows, and created once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pyarrow.parquet import read_table

from producers.demo.data import TRAITS, data_folder
from producers.demo.segments import PAGE, SEGMENTS, SegmentsApi, create_segments
from service.api.schemas import NewSegmentBody
from service.core.criteria.parse import parse_criteria


class FakeApi(SegmentsApi):
    """Keeps what it is told, and lists it page by page."""

    def __init__(self, *names: str) -> None:
        super().__init__("http://nowhere", "token")
        self.kept = [{"segment_name": name, "id": f"old-{name}"} for name in names]
        self.created: list[str] = []

    def call(self, method: str, path: str, body: object = None) -> Any:
        """GET lists, POST creates."""
        if method == "GET":
            page = int(path.partition("page=")[2].partition("&")[0])
            return {"segments": self.kept[(page - 1) * PAGE : page * PAGE], "total": len(self.kept)}
        made = {"segment_name": NewSegmentBody.model_validate(body).segment_name, "id": f"new-{len(self.kept)}"}
        self.kept.append(made)
        self.created.append(made["segment_name"])
        return made


def _words(criteria: Any, key: str) -> Iterator[tuple[str, Any]]:
    """Every (key, value) in criteria whose key is this one."""
    if isinstance(criteria, dict):
        for name, value in criteria.items():
            if name.endswith(key):
                yield name, value
            yield from _words(value, key)


def test_a_dozen_that_the_service_accepts() -> None:
    """There are twelve segments with names of their own, and the service takes each definition."""
    assert len(SEGMENTS) == len({one.name for one in SEGMENTS}) == 12
    for one in SEGMENTS:
        parse_criteria(one.criteria)
        NewSegmentBody(segment_name=one.name, description=one.description, criteria=one.criteria)


def test_categories_exist() -> None:
    """Every category that a segment names is one of the data set's."""
    known = set(read_table(data_folder() / "products.parquet")["product_category"].to_pylist())
    named = set()
    for one in SEGMENTS:
        for _, value in _words(one.criteria, "purchased_categories"):
            named |= set(value if isinstance(value, list) else value.get("any", []) + value.get("all", []))
    assert named
    assert named <= known


def test_traits_exist() -> None:
    """Every trait that a segment names has those values in the data set."""
    table = read_table(data_folder() / "demographics.parquet")
    tests = [test for one in SEGMENTS for _, traits in _words(one.criteria, "traits") for test in traits.items()]
    assert tests
    for trait, test in tests:
        assert set(test["value"]) <= set(table[TRAITS[trait]].to_pylist())


def test_created_once() -> None:
    """A second start finds all twelve and creates none."""
    api = FakeApi()
    first = create_segments(api)
    assert api.created == [one.name for one in SEGMENTS] == list(first.values())
    assert create_segments(api) == first
    assert len(api.created) == len(SEGMENTS)


def test_only_missing_ones_are_created() -> None:
    """Those that exist are found on whatever page they are, and kept."""
    fillers = [f"filler {number}" for number in range(PAGE)]
    api = FakeApi(*fillers, SEGMENTS[3].name)
    found = create_segments(api)
    assert SEGMENTS[3].name not in api.created
    assert len(api.created) == len(SEGMENTS) - 1
    assert found[f"old-{SEGMENTS[3].name}"] == SEGMENTS[3].name
