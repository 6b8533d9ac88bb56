"""Waves of input: each has whatever a batch can meet, about customers of its own, and says what must come of it."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from service.core import instants
from tests import oracle, shop

#: By name: what only changes with events, what time changes too, and behaviour.
SEGMENTS = {
    name: (shop.SEGMENTS | shop.BEHAVIOUR)[name]
    for name in (
        ("everybody", "recent", "lapsed", "frequent", "big month", "in debt", "readers", "french", "opted in", "new")
        + ("looked often", "looked and bought", "left the cart")
    )
}
EXACT, LATE, ERASED = 6, 2, 2
#: Nothing happens within so long of the wave's making, so that a slow machine sees the same memberships.
STILL = 30 * instants.MINUTE
HOUR = 60 * instants.MINUTE
END = shop.START + shop.DAYS * instants.DAY


@dataclass
class Sent:
    """A record and what it is."""

    topic: int  # 0 orders, 1 customers
    key: bytes | None
    value: bytes
    is_bad: bool = False
    #: Of an erased customer: must (True) or may (False) be set aside as such.
    erased: bool | None = None


@dataclass
class Wave:
    """Some customers' events.

    Attributes:
        now: microseconds; no event and no edge is within STILL of it.
        events: of everybody whose membership counts in the end.
        exact: customers whose events lie in their order in one partition.
        sent: the records, in order.
    """

    now: int
    events: list[dict]
    exact: set[str]
    sent: list[Sent]
    _members: dict[str, set[str]] = field(default_factory=dict)

    @cached_property
    def transitions(self) -> list[tuple[str, str, int, str]]:
        """What must be published of the exact customers and SEGMENTS."""
        mine = [event for event in self.events if event["data"]["customer_id"] in self.exact]
        return oracle.transitions(mine, SEGMENTS, self.now)

    def members(self, definitions: Mapping[str, dict]) -> dict[str, set[str]]:
        """Members by segment, by the criteria alone."""
        found = {}
        for name, criteria in definitions.items():
            key = json.dumps(criteria)
            if key not in self._members:
                self._members[key] = oracle.members_at(self.events, {name: criteria}, self.now)[name]
            found[name] = self._members[key]
        return found


def make_wave(number: int) -> Wave:
    """A wave; `number` names its customers and is its seed."""
    now = time.time_ns() // 1_000
    chance = random.Random(number)
    events = sorted(_lives(number, now), key=oracle.stamp)
    names = sorted({event["data"]["customer_id"] for event in events})
    exact, late = set(names[:EXACT]), set(names[EXACT:])
    sent = []
    for event in events:
        customer_id = event["data"]["customer_id"]
        if customer_id in exact:
            sent += [_sent(event, names.index(customer_id) % 2)] * chance.choice([1, 1, 1, 2])
    loose = [event for event in events if event["data"]["customer_id"] in late for _ in range(chance.choice([1, 2]))]
    chance.shuffle(loose)
    sent += [_sent(event, chance.randrange(2)) for event in loose]
    for one in (*_bad(number, names), *_guest(number, now)):
        sent.insert(chance.randrange(len(sent)), one)
    for customer in range(ERASED):
        sent[customer * 20 : customer * 20] = list(_erased(f"w{number}-erased{customer}", now))
    return Wave(now, events, exact, sent)


def make_crowd(customers: int) -> Wave:
    """Customers of one event each, more of them than one slice of a backfill holds."""
    now = time.time_ns() // 1_000
    at = now - STILL - HOUR
    events = [
        _event("e", "customer.updated", at, customer_id=f"crowd{number}", email_subscribed=True)
        for number in range(customers)
    ]
    return Wave(now, events, set(), [_sent(event, number % 2) for number, event in enumerate(events)])


def _lives(number: int, now: int) -> Iterable[dict]:
    count = EXACT + LATE
    for event in (*shop.events(count, 5 * count, seed=number), *shop.visits(count, 3 * count, seed=number)):
        hours = (END - instants.parse(event["time"])) // HOUR
        data = event["data"] | {"customer_id": f"w{number}-{event['data']['customer_id']}"}
        yield event | {"time": instants.to_text(now - STILL - hours * HOUR), "data": data}


def _sent(event: dict, topic: int) -> Sent:
    return Sent(topic, event["data"]["customer_id"].encode(), json.dumps(event).encode())


def _event(event_id: str, kind: str, at: int, /, **data: object) -> dict:
    envelope = {"specversion": "1.0", "id": event_id, "source": "/tests/crash", "type": kind}
    return envelope | {"time": instants.to_text(at), "data": data}


def _bad(number: int, names: list[str]) -> Iterable[Sent]:
    """Records that no event can be made of, with good ones around them in their partitions."""
    at = instants.to_text(instants.parse(shop.CLOCK))
    unknown = {"specversion": "1.0", "id": f"bad-{number}", "source": "/t", "type": "order.vanished", "time": at}
    for place, value in enumerate((b"{broken", json.dumps(unknown | {"data": {}}).encode(), b"\xff\xfe")):
        yield Sent(place % 2, names[place].encode(), value, is_bad=True)


def _guest(number: int, now: int) -> Iterable[Sent]:
    data = {"customer_id": None, "order_id": f"g{number}", "currency": "USD", "total": 5}
    yield Sent(0, None, json.dumps(_event(f"guest-{number}", "order.placed", now - STILL, **data)).encode())


def _erased(customer: str, now: int) -> Iterable[Sent]:
    """A customer who comes, buys, is erased, and is heard of again."""
    at = now - STILL - 50 * HOUR
    order = {"order_id": "o", "currency": "USD", "total": 9, "items": [{"product_id": "p1", "category": "books"}]}
    told = [
        _event("r", "customer.registered", at, customer_id=customer, name="Zaphod", email_subscribed=True),
        _event("p", "order.placed", at + HOUR, customer_id=customer, **order),
        _event("d", "customer.deleted", at + 2 * HOUR, customer_id=customer),
        _event("l", "customer.logged_in", at + 3 * HOUR, customer_id=customer),
    ]
    for event in told:
        yield Sent(0, customer.encode(), json.dumps(event).encode(), erased=event["id"] == "l")
