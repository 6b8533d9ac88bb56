"""How often one caller may ask; each process of `serve` counts for itself."""

from __future__ import annotations

from limits import RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from service.api.errors import ApiError


class RateLimit:
    """So many requests a second for each caller, by the subject of the token."""

    def __init__(self, requests_per_second_max: int) -> None:
        """Counts nothing yet.

        Args:
            requests_per_second_max: 0 for any number.
        """
        self._item = RateLimitItemPerSecond(requests_per_second_max) if requests_per_second_max else None
        self._counts = SlidingWindowCounterRateLimiter(MemoryStorage())

    def count(self, caller: str) -> None:
        """Counts a request.

        Raises:
            ApiError: too_many.
        """
        if self._item is None or self._counts.hit(self._item, caller):
            return
        message = (
            f"This token may ask {self._item.amount} times a second and has asked more often; try again in a second"
        )
        raise ApiError("too_many", message, headers={"retry-after": "1", "ratelimit-limit": str(self._item.amount)})
