"""A customer does not want to hear of us on a channel any more: what follows, in one transaction, however often said.

The address is suppressed at once; a fact about the customer goes to the input topic, so that segments react as to any
event; the history of consent keeps who said it, how and about which message.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol
from uuid import UUID

import msgspec

from service.app.engagement.told import headers_of, told_record
from service.app.outgoing import OutgoingRecord
from service.core import instants

Method = Literal["one_click", "page", "stop_keyword", "provider", "complaint"]
#: What a customer fact says of each channel.
FIELDS: Final[Mapping[str, str]] = {
    "email": "email_subscribed",
    "sms": "sms_subscribed",
    "notification": "push_subscribed",
}
UPDATED: Final = "customer.updated"
COMPLAINT: Final = "complaint"

_encoder: Final = msgspec.json.Encoder()


@dataclass(frozen=True)
class Withdrawal:
    """Somebody's no; `at` in microseconds."""

    customer_id: UUID
    channel: str
    message_id: UUID
    at: int
    method: Method


@dataclass(frozen=True)
class Topics:
    """Where what follows is told."""

    customers: str
    engagement: str


class ConsentStore(Protocol):
    """What this asks of the store, all in one transaction."""

    async def lock_customers(self, customer_ids: Collection[UUID]) -> set[UUID]:
        """Locks those who exist, as everybody who writes about a customer does; gives them."""
        ...

    async def latest_noes(self, keys: Collection[tuple[UUID, str]]) -> Mapping[tuple[UUID, str], int]:
        """When each of these (customer, channel) said no last."""
        ...

    async def said_yes(self, spans: Sequence[tuple[UUID, str, int, int | None]]) -> list[int]:
        """Places of the (customer, channel, after, until) within which the customer subscribed."""
        ...

    async def noes_by_message(self, message_ids: Collection[UUID]) -> Mapping[UUID, int]:
        """How often a no came by each message; those without are left out."""
        ...

    async def suppress_customers(self, withdrawals: Sequence[Withdrawal]) -> None:
        """Suppresses the addresses that their messages went to."""
        ...

    async def note_noes(self, withdrawals: Sequence[Withdrawal]) -> None:
        """Adds to the history of consent."""
        ...

    async def write_records(self, records: Sequence[OutgoingRecord]) -> None:
        """Has them published."""
        ...


async def withdraw(
    store: ConsentStore, topics: Topics, withdrawals: Sequence[Withdrawal], now: int, *, is_told: bool = True
) -> list[Withdrawal]:
    """Takes noes in; gives those that were news.

    A no that was said before, and not taken back since, changes nothing. One that is older than a newer yes is noted,
    and nothing else. A complaint suppresses the address for good, whatever was said since.

    Args:
        store: within a transaction.
        topics: where to tell.
        withdrawals: in any order.
        now: the service's clock, microseconds; facts must not lie after it.
        is_told: the engagement topic knows already, for that is where these came from.
    """
    there = await store.lock_customers({one.customer_id for one in withdrawals})
    known = [one for one in sorted(withdrawals, key=_order) if one.customer_id in there]
    if not known:
        return []
    taken_back = set(await store.said_yes([(one.customer_id, one.channel, one.at, None) for one in known]))
    standing = [one for place, one in enumerate(known) if place not in taken_back]
    complaints = [one for place, one in enumerate(known) if place in taken_back and one.method == COMPLAINT]
    await store.suppress_customers([*standing, *complaints])
    fresh = await _fresh(store, known)
    await store.note_noes(fresh)
    before = dict(await store.noes_by_message({one.message_id for one in fresh}))
    records: list[OutgoingRecord] = []
    are_standing = set(standing)
    for one in fresh:
        suffix = f":{before[one.message_id]}" if before.get(one.message_id, 1) > 1 else ""
        if one in are_standing:
            records.append(_fact(topics.customers, one, min(one.at, now), suffix))
        if not is_told:
            records.append(_told(topics.engagement, one, suffix))
    await store.write_records(records)
    return fresh


def _order(one: Withdrawal) -> tuple[UUID, str, int, UUID]:
    return one.customer_id, one.channel, one.at, one.message_id


async def _fresh(store: ConsentStore, known: Sequence[Withdrawal]) -> list[Withdrawal]:
    """Those that were not said before, or were and have been taken back in between; one for each channel."""
    latest = await store.latest_noes({(one.customer_id, one.channel) for one in known})
    repeats = [
        (one.customer_id, one.channel, before, one.at)
        for one in known
        if (before := latest.get((one.customer_id, one.channel))) is not None and before < one.at
    ]
    renewed = {(*repeats[place][:2], repeats[place][3]) for place in await store.said_yes(repeats)}
    found: dict[tuple[UUID, str], Withdrawal] = {}
    for one in known:
        key = (one.customer_id, one.channel)
        if key not in latest or (*key, one.at) in renewed:
            found.setdefault(key, one)
    return list(found.values())


def _fact(topic: str, one: Withdrawal, at: int, suffix: str) -> OutgoingRecord:
    """What the segments hear: the customer's flag is false from then on."""
    key, when = str(one.customer_id).encode(), instants.to_text(at)
    value = _encoder.encode({"customer_id": str(one.customer_id), FIELDS[one.channel]: False})
    return topic, key, value, headers_of(UPDATED, f"{one.message_id}:unsubscribed{suffix}", key, when)


def _told(topic: str, one: Withdrawal, suffix: str) -> OutgoingRecord:
    details: dict[str, Any] = {"method": one.method}
    return told_record(
        topic,
        "unsubscribed",
        one.message_id,
        one.customer_id,
        one.at,
        channel=one.channel,
        details=details,
        suffix=suffix,
    )
