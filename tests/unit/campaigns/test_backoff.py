"""Waiting after failures."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.core.campaigns.backoff import ATTEMPTS_MAX, seconds_after

MIDDLE = 0.5
MINUTE, HOUR = 60, 3_600


@pytest.mark.parametrize("way", ["smtp", "kafka"])
def test_smtp(way: Any) -> None:
    """30 s, 2, 8, 32 and 60 minutes: six attempts."""
    waits = [seconds_after(way, attempt, MIDDLE) for attempt in range(1, 8)]

    assert waits == [30, 2 * MINUTE, 8 * MINUTE, 32 * MINUTE, 60 * MINUTE, None, None]


def test_webhook() -> None:
    """The table of Standard Webhooks and one day more: ten attempts."""
    waits = [seconds_after("webhook", attempt, MIDDLE) for attempt in range(1, 11)]

    hours = [one * HOUR for one in (2, 5, 10, 14, 20, 24)]
    assert waits == [5, 5 * MINUTE, 30 * MINUTE, *hours, None]


@given(st.sampled_from(("smtp", "kafka", "webhook")), st.integers(1, 12), st.floats(0, 1))
def test_jitter(way: Any, attempt: int, chance: float) -> None:
    """From 0.8 to 1.2 times the table, for all but the last attempt."""
    middle, found = seconds_after(way, attempt, MIDDLE), seconds_after(way, attempt, chance)

    if middle is None or found is None:
        assert middle is found is None
        assert attempt >= ATTEMPTS_MAX[way]
    else:
        assert 0.8 * middle <= found <= 1.2 * middle + 1e-9
        assert attempt < ATTEMPTS_MAX[way]
