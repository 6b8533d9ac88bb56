"""Which contact with a message may be credited with an order, and for how long after the message was sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from service.core.campaigns.model import DAY_SECONDS, HOUR_SECONDS

#: (channel, kind of contact) -> seconds from the message on; any other contact earns nothing (docs: measurement).
WINDOWS: Final[Mapping[tuple[str, str], int]] = {
    ("email", "clicked"): 5 * DAY_SECONDS,
    ("email", "opened"): 5 * DAY_SECONDS,
    ("sms", "clicked"): 5 * DAY_SECONDS,
    ("sms", "delivered"): 12 * HOUR_SECONDS,
    ("notification", "clicked"): 24 * HOUR_SECONDS,
    ("notification", "opened"): 24 * HOUR_SECONDS,
}
#: Channels that cannot tell whether a message was opened.
WITHOUT_OPENS: Final = frozenset({"sms"})
