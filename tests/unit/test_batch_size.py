"""How many records a worker takes at once."""

from __future__ import annotations

from consumers.batch_size import RECORDS_FIRST, RECORDS_MIN, SECONDS_AIM, BatchSize


def test_grows_to_what_is_allowed() -> None:
    """Where a second is enough for more; not at once, since one measure may lie."""
    size = BatchSize(16_000)
    sizes = []
    for _ in range(4):
        size.applied(size.records, size.records / 1_000_000)
        sizes.append(size.records)
    assert sizes == [2 * RECORDS_FIRST, 16_000, 16_000, 16_000]


def test_follows_the_pace() -> None:
    """Slow definitions make small batches."""
    size = BatchSize(16_000)
    size.applied(4_000, 4.0)
    assert size.records == int(1_000 * SECONDS_AIM)
    size.applied(size.records, 1_000.0)
    assert size.records == RECORDS_MIN
    size.applied(size.records, 0.01)
    assert size.records == 2 * RECORDS_MIN


def test_few_records_say_nothing() -> None:
    """A batch of three takes a commit's time."""
    size = BatchSize(16_000)
    size.applied(3, 0.02)
    assert size.records == RECORDS_FIRST


def test_never_more_than_the_setting() -> None:
    """Not even where that is less than the least that would be chosen."""
    size = BatchSize(40)
    assert size.records == 40
    size.applied(40, 0.000_1)
    assert size.records == 40
    size.applied(40, 100.0)
    assert size.records == 40
