"""The circuit breaker of a channel, by a clock of the test's own."""

from __future__ import annotations

from service.app.dispatch.breaker import Breaker


def broken() -> Breaker:
    """One that has just been paused, at 100."""
    breaker = Breaker()
    assert [breaker.failed(100.0) for _ in range(20)] == [False] * 19 + [True]
    return breaker


def test_twenty_in_a_row() -> None:
    """The 20th failure in a row begins a pause of 60 s."""
    breaker = broken()
    assert breaker.paused_seconds(100.0) == 60.0
    assert breaker.paused_seconds(159.0) == 1.0
    assert breaker.paused_seconds(160.0) == 0.0


def test_not_in_a_row() -> None:
    """A message that went through, or was refused as such, ends the row."""
    breaker = Breaker()
    for _ in range(5):
        assert not any(breaker.failed(0.0) for _ in range(19))
        breaker.worked()
    assert breaker.paused_seconds(0.0) == 0.0


def test_what_was_on_its_way_does_not_prolong_it() -> None:
    """Failures of messages that had left before the pause change nothing."""
    breaker = broken()
    assert not any(breaker.failed(110.0) for _ in range(30))
    assert breaker.paused_seconds(110.0) == 50.0


def test_still_down_after_the_pause() -> None:
    """Then one failure is enough for the next pause."""
    breaker = broken()
    assert breaker.failed(160.0)
    assert breaker.paused_seconds(160.0) == 60.0


def test_up_again() -> None:
    """One success, even of a message from before, ends the pause and begins a new count."""
    breaker = broken()
    breaker.worked()
    assert breaker.paused_seconds(101.0) == 0.0
    assert not any(breaker.failed(101.0) for _ in range(19))
