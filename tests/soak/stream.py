"""The membership topic as any reader sees it; shares nothing with the service."""

from __future__ import annotations

import json
from collections import OrderedDict
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Change(NamedTuple):
    """One record of the topic; `at` is effective_at in microseconds, `joined_as` the ordinal of the join it ends."""

    customer_id: str
    external_id: str
    segment_id: str
    ordinal: int
    has_joined: bool
    at: int
    event_id: str
    cause: str | None
    place: str

    def __str__(self) -> str:
        what = "joined" if self.has_joined else "left"
        return (
            f"{self.customer_id} {what} {self.segment_id} ({self.ordinal}) at {self.at} by {self.cause}: {self.place}"
        )

    @property
    def joined_as(self) -> int:
        """The ordinal of this join, or of the join that this leave ends."""
        return self.ordinal if self.has_joined else self.ordinal - 1


def micros(when: datetime) -> int:
    """Microseconds since the epoch."""
    return (when - EPOCH) // timedelta(microseconds=1)


def change_of(record: Any) -> Change:
    """Reads one record of the topic."""
    data, headers = json.loads(record.value), dict(record.headers)
    assert record.key.decode() == data["customer_id"] == headers["ce_subject"].decode(), record
    return Change(
        data["customer_id"],
        data["external_id"],
        data["segment_id"],
        data["sequence"],
        {b"segment.joined": True, b"segment.left": False}[headers["ce_type"]],
        micros(datetime.fromisoformat(data["effective_at"])),
        headers["ce_id"].decode(),
        data.get("cause_event_id"),
        f"{record.topic}/{record.partition}/{record.offset}",
    )


class Order:
    """Follows changes in the order of the topic and says what is wrong with the next one."""

    def __init__(self, customers_max: int | None = None) -> None:
        """With `customers_max` those who were silent longest are forgotten; the next of theirs is taken as it is."""
        self._customers_max = customers_max
        self._has_forgotten = False
        self._known: OrderedDict[str, _Followed] = OrderedDict()

    def faults(self, one: Change) -> list[str]:
        """Ordinals of a customer in a segment rise by one, odd joins, even leaves; instants never go back."""
        found = []
        known = self._known.get(one.customer_id)
        if known is None:
            known = self._known[one.customer_id] = _Followed(one.at, self._has_forgotten)
        self._known.move_to_end(one.customer_id)
        before = known.ordinals.get(one.segment_id, one.ordinal - 1 if known.is_unsure else 0)
        if one.ordinal != before + 1:
            found.append(f"ordinal {one.ordinal} follows {before}: {one}")
        if one.has_joined != (one.ordinal % 2 == 1):
            found.append(f"joined and left do not alternate: {one}")
        if one.at < known.at:
            found.append(f"goes back in time by {known.at - one.at} us: {one}")
        known.ordinals[one.segment_id] = one.ordinal
        known.at = max(known.at, one.at)
        if self._customers_max is not None and len(self._known) > self._customers_max:
            self._known.popitem(last=False)
            self._has_forgotten = True
        return found


class _Followed:
    """One customer's latest ordinals and instant; unsure where earlier ones may have been forgotten."""

    def __init__(self, at: int, is_unsure: bool) -> None:
        self.at, self.is_unsure = at, is_unsure
        self.ordinals: dict[str, int] = {}
