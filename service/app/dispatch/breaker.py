"""A channel whose provider fails again and again is left alone for a while; its messages wait and use up no attempt."""

from __future__ import annotations

from typing import Final

FAILURES_MAX: Final = 20
PAUSE_SECONDS: Final = 60.0


class Breaker:
    """Counts failures in a row of one channel's provider.

    After the pause everything may go again, but the first failure begins the next pause: who is still down is asked
    once a minute, not twenty times.
    """

    def __init__(self, failures_max: int = FAILURES_MAX, pause_seconds: float = PAUSE_SECONDS) -> None:
        self._failures_max, self._pause_seconds = failures_max, pause_seconds
        self._failures = 0
        self._paused_until: float | None = None

    def paused_seconds(self, now: float) -> float:
        """For how long nothing may be sent; 0.0 if something may.

        Args:
            now: seconds of a clock that never goes back.
        """
        return 0.0 if self._paused_until is None else max(0.0, self._paused_until - now)

    def worked(self) -> None:
        """The provider answered, be it with a refusal of that message."""
        self._failures, self._paused_until = 0, None

    def failed(self, now: float) -> bool:
        """The provider was out of reach or out of order.

        Args:
            now: as above.

        Returns:
            whether a pause begins with this failure. What had been on its way when a pause began changes nothing.
        """
        if self.paused_seconds(now):
            return False
        self._failures += 1
        if self._failures < self._failures_max:
            return False
        self._paused_until = now + self._pause_seconds
        self._failures = self._failures_max - 1
        return True
