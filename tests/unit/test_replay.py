"""Where a replay reads again from, and what it refuses."""

from __future__ import annotations

import pytest

from service.app.replay import (
    Move,
    Partition,
    ReplayRefused,
    Source,
    as_json,
    as_offsets,
    instant_ms,
    plan_moves,
    read_source,
    read_topic,
)

TOPICS = ("orders", "customers")


class TestOptions:
    """--topic and --from."""

    @pytest.mark.parametrize(
        ("text", "meant"),
        [
            ("orders", ("orders", None)),
            ("customers:0", ("customers", frozenset({0}))),
            ("orders:2,0,2", ("orders", frozenset({0, 2}))),
        ],
    )
    def test_topics(self, text: str, meant: object) -> None:
        """A topic stands for all its partitions unless some are named."""
        assert read_topic(text, TOPICS) == meant

    @pytest.mark.parametrize(
        "text", ["", "segment-membership", "Orders", "orders:", "orders:a", "orders:-1", "orders:0;1"]
    )
    def test_topics_refused(self, text: str) -> None:
        """Other topics and lists that are none are refused by a sentence that names the option."""
        with pytest.raises(ReplayRefused, match=r"^--topic: .*\.$"):
            read_topic(text, TOPICS)

    @pytest.mark.parametrize(
        ("text", "meant"),
        [
            ("earliest", Source()),
            ("0", Source(offset=0)),
            ("1500", Source(offset=1500)),
            ("2024-02-29T12:00:00Z", Source(instant=1_709_208_000_000_000)),
            ("2024-02-29T12:00:00.000001+01:00", Source(instant=1_709_204_400_000_001)),
        ],
    )
    def test_sources(self, text: str, meant: Source) -> None:
        """Earliest, an offset or an instant with its offset."""
        assert read_source(text) == meant

    @pytest.mark.parametrize(
        "text", ["", "latest", "-1", "1.5", "yesterday", "2024-02-29", "2024-02-29T12:00:00", "9" * 19, "٣"]
    )
    def test_sources_refused(self, text: str) -> None:
        """Anything else is refused by a sentence that shows what may stand there."""
        with pytest.raises(ReplayRefused, match=r"^--from: .*2024-02-29T12:00Z\.$"):
            read_source(text)

    def test_instants_become_milliseconds(self) -> None:
        """Rounded up, so that no record of before is read; and never below 0, which would mean something else."""
        assert [instant_ms(one) for one in (0, 1, 999, 1_000, 1_001, -5_000_000)] == [0, 1, 1, 1, 2, 0]


class TestPlan:
    """What becomes of each partition."""

    def plan(self, source: Source, *partitions: Partition, chosen: frozenset[int] | None = None) -> list[tuple]:
        """Moves as plain tuples."""
        return [tuple(one) for one in plan_moves("orders", source, partitions, chosen)]

    def test_earliest(self) -> None:
        """From the first record that is still there to where the group was; a group that never was begins there."""
        found = self.plan(Source(), Partition(1, 5, 40, 50), Partition(0, 0, 10, 10), Partition(2, 3, None, 9))

        assert found == [(0, 10, 0, 10), (1, 40, 5, 50), (2, 3, 3, 9)]

    def test_offset(self) -> None:
        """From that offset on, or from what is left after it; a partition that has not come so far stays."""
        found = self.plan(Source(offset=7), Partition(0, 0, 10, 10), Partition(1, 8, 9, 10), Partition(2, 0, 4, 10))

        assert found == [(0, 10, 7, 10), (1, 9, 8, 10), (2, 4, 4, 10)]

    def test_instant(self) -> None:
        """From the first record of that instant on; without one nothing is read again, and nothing is skipped."""
        found = self.plan(
            Source(instant=1), Partition(0, 0, 10, 12, 4), Partition(1, 0, 10, 12), Partition(2, 0, 3, 12, 9)
        )

        assert found == [(0, 10, 4, 12), (1, 10, 10, 12), (2, 3, 3, 12)]

    def test_an_offset_that_is_gone(self) -> None:
        """A group whose place was deleted by retention goes on with the earliest record."""
        assert self.plan(Source(), Partition(0, 20, 5, 30)) == [(0, 20, 20, 30)]

    def test_beyond_the_end(self) -> None:
        """An offset beyond the end of a partition is refused, naming it; the end itself is none."""
        partitions = (Partition(0, 0, 10, 10), Partition(1, 0, 10, 20))

        assert self.plan(Source(offset=10), *partitions) == [(0, 10, 10, 10), (1, 10, 10, 20)]
        with pytest.raises(ReplayRefused, match=r"offset 11 lies beyond the end of 1 of 2 .*0 ends at 10"):
            self.plan(Source(offset=11), *partitions)
        assert self.plan(Source(offset=11), *partitions, chosen=frozenset({1})) == [(1, 10, 10, 20)]

    def test_no_such_partition(self) -> None:
        """A partition that the topic has not is refused."""
        with pytest.raises(ReplayRefused, match="no partition 7; it has 1"):
            self.plan(Source(), Partition(0, 0, 1, 1), chosen=frozenset({0, 7}))

    def test_as_told(self) -> None:
        """Records and seconds are added up; without a pace nobody knows the seconds."""
        moves = [Move(0, 10, 4, 12), Move(1, 3, 3, 3)]

        assert as_json(moves, 4.0)["estimated_seconds"] == 1.5
        assert as_json(moves, None) == {
            "partitions": [
                {"partition": 0, "current": 10, "new": 4, "end": 12, "records": 6},
                {"partition": 1, "current": 3, "new": 3, "end": 3, "records": 0},
            ],
            "records": 6,
            "estimated_seconds": None,
        }
        assert as_offsets("orders", moves) == {("orders", 0): 4, ("orders", 1): 3}
