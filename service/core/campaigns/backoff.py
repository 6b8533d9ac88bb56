"""How long after a failed attempt the next one is made (notes on campaigns, B8)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

Way = Literal["smtp", "kafka", "webhook"]

_FIRST_SECONDS: Final = 30
_LONGEST_SECONDS: Final = 3_600
_HOURS: Final = 3_600
#: Seconds from one attempt to the next; the first attempt is made at once.
_WEBHOOK_SECONDS: Final = (
    5,
    5 * 60,
    30 * 60,
    2 * _HOURS,
    5 * _HOURS,
    10 * _HOURS,
    14 * _HOURS,
    20 * _HOURS,
    24 * _HOURS,
)
ATTEMPTS_MAX: Final[Mapping[Way, int]] = {"smtp": 6, "kafka": 6, "webhook": len(_WEBHOOK_SECONDS) + 1}
_JITTER_LOW: Final = 0.8
_JITTER_WIDTH: Final = 0.4


def seconds_after(way: Way, attempt: int, chance: float) -> float | None:
    """Seconds to wait after the failed attempt of that number (from 1); None if it was the last.

    Args:
        way: by which the message leaves.
        attempt: that failed.
        chance: 0 to 1, drawn by the caller, so that what failed together does not come again together: x 0.8 to 1.2.
    """
    if attempt >= ATTEMPTS_MAX[way]:
        return None
    if way == "webhook":
        seconds = _WEBHOOK_SECONDS[attempt - 1]
    else:
        seconds = min(_LONGEST_SECONDS, _FIRST_SECONDS * 4 ** (attempt - 1))
    return seconds * (_JITTER_LOW + _JITTER_WIDTH * chance)
