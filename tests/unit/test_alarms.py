"""The sentences that `status` begins with."""

from __future__ import annotations

import pytest

from service.app.alarms import Counted, Signs, sentences

SILENT = [
    Signs(),
    Signs(letters={}, waiting={"orders": 0}, outbox_seconds=60.0, deaths={"relay": 2}),
]
LOUD = [
    (Signs(letters={"b": 2, "a": 1}), "Dead letters of the last 15 minutes: 1 a, 2 b;"),
    (Signs(waiting={"orders": 7, "customers": 0}), "7 records of orders came more than 60 s ago"),
    (Signs(outbox_seconds=61.2), "oldest row is 61 s old"),
    (Signs(overtook=Counted(2, "2024-01-01T00:00:00Z")), "last at 2024-01-01T00:00:00Z (2 times in all)"),
    (Signs(set_aside=Counted(3, "2024-01-01T00:00:00Z")), "left out, last at 2024-01-01T00:00:00Z (3 in all)"),
    (Signs(over_limit=4), "4 customers are beyond the limits"),
    (Signs(backfills=[("a [b]", 130.4)]), "The backfill of a [b] has not advanced for 130 s"),
    (Signs(deaths={"relay": 3}), "The role relay died 3 times within 10 minutes"),
]


@pytest.mark.parametrize("signs", SILENT)
def test_silent_where_all_is_well(signs: Signs) -> None:
    """What is usual makes no sentence."""
    assert sentences(signs) == []


@pytest.mark.parametrize(("signs", "said"), LOUD)
def test_one_sentence_each(signs: Signs, said: str) -> None:
    """Each sign makes one sentence, with its figures."""
    [sentence] = sentences(signs)

    assert said in sentence
    assert sentence.endswith(".")


def test_all_together() -> None:
    """Several signs make several sentences."""
    signs = Signs(letters={"a": 1}, waiting={"orders": 1, "customers": 1}, outbox_seconds=99, over_limit=1)

    assert len(sentences(signs)) == 5
