"""Frequency caps: at most so many messages to a customer within so many seconds (notes on campaigns, B5, step 9)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from service.core.campaigns.model import Campaign, Channel, FrequencyCap
from service.core.instants import HOUR, SECOND

DEFAULTS: Final = (FrequencyCap(),)
#: A message waits at most this long for room, in microseconds.
WAIT_MAX: Final = 72 * HOUR


class Sent(NamedTuple):
    """A marketing message that left, or may have: by which channel, and when in microseconds."""

    channel: Channel
    at: int


def caps_of(campaign: Campaign, defaults: tuple[FrequencyCap, ...] = DEFAULTS) -> tuple[FrequencyCap, ...]:
    """Those that hold for a campaign's messages: all that are for its channel."""
    chosen = campaign.options.frequency_caps
    caps = defaults if chosen is None else chosen
    return tuple(cap for cap in caps if cap.channel in ("any", campaign.channel))


def look_back(caps: Iterable[FrequencyCap]) -> int:
    """How far back, in microseconds, messages that were sent have a say."""
    return max((cap.per_seconds * SECOND for cap in caps), default=0)


def room_from(caps: Iterable[FrequencyCap], sent: Sequence[Sent], now: int) -> int:
    """The first instant from `now` on at which every cap has room for one more; microseconds.

    A message counts for `per_seconds` from when it was sent, and no more at the instant that these are over.
    """
    return max((_room_of(cap, sent, now) for cap in caps), default=now)


def _room_of(cap: FrequencyCap, sent: Sequence[Sent], now: int) -> int:
    per = cap.per_seconds * SECOND
    counted = sorted(one.at for one in sent if cap.channel in ("any", one.channel) and one.at > now - per)
    if len(counted) < cap.max:
        return now
    return counted[len(counted) - cap.max] + per
