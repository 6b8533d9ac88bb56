"""How fast messages may leave: token buckets by channel, and for e-mail by the recipients' domain."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

#: A bucket that is full says nothing, so those used longest ago can go.
DOMAINS_MAX: Final = 10_000
#: A bucket holds what flows into it in this time, one token at least: so much may leave at once.
BURST_SECONDS: Final = 1.0
#: Tokens; sums of floating point may come out this much too low.
_SLACK: Final = 1e-9


@dataclass
class _Bucket:
    per_second: float
    tokens: float
    at: float

    @property
    def size(self) -> float:
        return max(1.0, self.per_second * BURST_SECONDS)

    def wait_seconds(self, now: float) -> float:
        """How long until there is a token; fills the bucket up to now. A clock that goes back adds nothing."""
        self.tokens = min(self.size, self.tokens + max(0.0, now - self.at) * self.per_second)
        self.at = max(self.at, now)
        return 0.0 if self.tokens >= 1 - _SLACK else (1 - self.tokens) / self.per_second


class Rates:
    """The limits of one process; whoever runs two dispatchers halves the settings."""

    def __init__(self, per_second_max: Mapping[str, int], per_domain_per_second_max: Mapping[str, int]) -> None:
        """Buckets begin full.

        Args:
            per_second_max: by channel; 0 or absent for any number.
            per_domain_per_second_max: by channel, for each domain of recipients; 0 or absent for any number.
        """
        self._per_second = {name: limit for name, limit in per_second_max.items() if limit}
        self._per_domain = {name: limit for name, limit in per_domain_per_second_max.items() if limit}
        self._channels: dict[str, _Bucket] = {}
        self._domains: OrderedDict[tuple[str, str], _Bucket] = OrderedDict()

    def take(self, channel: str, domain: str | None, now: float) -> float:
        """Takes a token of the channel and one of the domain, or neither.

        Args:
            channel: email, sms or notification.
            domain: of the address, in small letters; None where there is none.
            now: seconds of a clock that never goes back.

        Returns:
            0.0: the message may go. Else the seconds after which to ask again: nothing was taken.
        """
        buckets = [one for one in (self._channel(channel, now), self._domain(channel, domain, now)) if one is not None]
        wait = max((one.wait_seconds(now) for one in buckets), default=0.0)
        if not wait:
            for one in buckets:
                one.tokens -= 1
        return wait

    def give_back(self, channel: str, count: int) -> None:
        """Puts so many tokens back that nobody used; no bucket gets fuller than full."""
        bucket = self._channels.get(channel)
        if bucket is not None:
            bucket.tokens = min(bucket.size, bucket.tokens + count)

    def _channel(self, channel: str, now: float) -> _Bucket | None:
        limit = self._per_second.get(channel)
        if limit is None:
            return None
        return self._channels.setdefault(channel, _full(limit, now))

    def _domain(self, channel: str, domain: str | None, now: float) -> _Bucket | None:
        limit = self._per_domain.get(channel)
        if limit is None or domain is None:
            return None
        key = (channel, domain)
        found = self._domains.setdefault(key, _full(limit, now))
        self._domains.move_to_end(key)
        if len(self._domains) > DOMAINS_MAX:
            self._domains.popitem(last=False)
        return found


def _full(limit: int, now: float) -> _Bucket:
    return _Bucket(limit, max(1.0, limit * BURST_SECONDS), now)


def domain_of(address: str | None) -> str | None:
    """The part behind the last @ in small letters; None where there is none."""
    if address is None or "@" not in address:
        return None
    return address.rpartition("@")[2].strip().lower().removesuffix(".")
