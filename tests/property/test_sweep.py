"""Customers swept together end as customers walked one by one: transitions, profiles, timers."""

from __future__ import annotations

import json
from collections import defaultdict
from random import Random
from typing import Any

import pytest

from service.app.batch import next_due
from service.core import instants
from service.core.events.decode import Rules, decode
from service.core.events.model import Event
from service.core.profiles.codec import decode_state, encode_state
from service.core.profiles.ledger import Ledger
from service.core.profiles.profile import Profile
from service.core.profiles.timeline import NO_EDGE
from service.core.segments.catalogue import Catalogue
from service.core.segments.walk import Transition, Walk
from tests.offline import catalogue_of

START = instants.parse("2024-01-01T00:00:00Z")
NOW = START + 400 * instants.DAY
RULES = Rules("USD", 1_048_576, is_clock_fixed=True)
CUSTOMERS = 12


def at_least(value: float, days: int | None = None) -> dict[str, Any]:
    """A bound, in a window or not."""
    return {"operator": "gte", "value": value} | ({"window": {"days": days}} if days else {})


CRITERIA: list[dict[str, Any]] = [
    {},
    {"total_orders": at_least(2)},
    {"total_spent": at_least(100), "not": {"total_orders": at_least(6)}},
    {"average_order_value": at_least(40)},
    {"average_order_value": at_least(40, 20)},
    *({"total_orders": at_least(count, days)} for count in (1, 2, 3) for days in (7, 30)),
    *({"total_spent": at_least(amount, days)} for amount in (0, 60.5, 130) for days in (7, 45)),
    {"last_order_date": {"operator": "more_than_ago", "days": 14}},
    {"last_order_date": {"operator": "within_last", "days": 5}},
    {"last_login": {"operator": "within_last", "days": 9}},
    {"registration_date": {"operator": "more_than_ago", "days": 33}},
    {"purchased_categories": ["books", "toys"]},
    {"never_purchased_categories": ["books"]},
    {"purchased_products": {"any": ["p1"], "window": {"days": 10}}},
    {"location": {"countries": ["France"]}},
    {"email_subscribed": True, "traits": {"tier": {"operator": "eq", "value": "gold"}}},
]
CATALOGUE = catalogue_of([{"key": f"s{place}", "criteria": one} for place, one in enumerate(CRITERIA)])


def made_event(random: Random, number: int, at: int) -> Event:
    """An event of any plain kind."""
    customer = f"c{random.randrange(CUSTOMERS)}"
    data: dict[str, Any] = {"customer_id": customer}
    kind = random.choice(
        ("order.placed",) * 5 + ("customer.logged_in",) * 2 + ("customer.registered", "customer.updated")
    )
    if kind == "order.placed":
        items = [
            {"product_id": f"p{random.randrange(3)}", "category": random.choice(("books", "toys", "food", None))}
            for _ in range(random.randrange(3))
        ]
        data |= {
            "order_id": f"o{number}",
            "currency": "USD",
            "total": random.choice((0, 10, 50.25, 99)),
            "items": items,
        }
    elif kind != "customer.logged_in":
        data |= {"location": {"country": random.choice(("France", "Spain"))}, "email_subscribed": random.random() < 0.5}
        data |= {"traits": {"tier": random.choice(("gold", "silver"))}} if random.random() < 0.5 else {}
    body = {"specversion": "1.0", "id": f"e{number}", "type": kind, "time": instants.to_text(at), "data": data}
    found = decode(json.dumps(body).encode(), (), RULES, NOW)
    assert isinstance(found, Event)
    return found


def history(random: Random, count: int) -> list[Event]:
    """Events that ascend strictly, with gaps of seconds to months, so that many edges come between."""
    at, events = START, []
    for number in range(count):
        at += random.choice((1, instants.DAY // 24, instants.DAY // 3, instants.DAY, 3 * instants.DAY))
        if random.random() < 0.03:
            at += 40 * instants.DAY
        events.append(made_event(random, number, min(at, NOW)))
    return [one for one, other in zip(events, [*events[1:], None], strict=True) if other is None or one.at < other.at]


class Base:
    """Profiles as they are stored, walked one by one or swept."""

    def __init__(self, catalogue: Catalogue, *, is_swept: bool) -> None:
        self.catalogue, self.is_swept = catalogue, is_swept
        self.profiles: dict[str, Profile] = {}
        self.swept = 0

    def batch(self, events: list[Event]) -> tuple[list[Any], dict[str, int | None], list[Any]]:
        """Transitions, timers and changes of orders of one batch."""
        walk = Walk(self.catalogue)
        walk._may_sweep &= self.is_swept
        by_customer: dict[str, list[Event]] = defaultdict(list)
        for event in events:
            by_customer[event.external_id].append(event)
        for name, some in by_customer.items():
            profile = self.profiles.get(name)
            if profile is None:
                profile = self.profiles[name] = Profile(some[0].customer_id, name)
                profile.is_new = True
            walk.add(profile, some, Ledger(), now=NOW)
        found = sorted(map(self._told, walk.transitions()))
        due = {}
        for name in by_customer:
            profile = self.profiles[name]
            due[name] = next_due(profile, self.catalogue)
            if profile.customer_id in walk.due:
                swept = walk.due[profile.customer_id]
                assert (None if swept == NO_EDGE else swept) == due[name]
                self.swept += 1
            self.profiles[name] = self._stored(profile)
        changes = sorted((one.external_id, change.order_id, repr(change)) for one, change in walk.order_changes)
        return found, due, changes

    def _told(self, one: Transition) -> tuple[Any, ...]:
        event = None if one.event is None else one.event.id
        at = (one.effective_at, one.ordinal, one.has_joined, one.reason, event or "")
        return one.profile.external_id, one.definition.name, *at

    def _stored(self, profile: Profile) -> Profile:
        """Written and read again; all that has a column of its own is taken over."""
        read = Profile(profile.customer_id, "")
        for name in ("total_orders", "total_spent", "last_order_at", "evaluated_to", "born", "mark", "shape_version"):
            setattr(read, name, getattr(profile, name))
        read.ordinals = profile.ordinals
        decode_state(encode_state(profile), read)
        return read

    def state(self) -> dict[str, Any]:
        """Everything that is stored of everybody, ordinals without the zeros at their end."""
        return {
            name: (
                encode_state(one),
                one.total_orders,
                one.total_spent,
                one.last_order_at,
                one.evaluated_to,
                one.born,
                one.mark,
                one.shape_version,
                one.ordinals.rstrip(b"\0"),
            )
            for name, one in self.profiles.items()
        }


@pytest.mark.parametrize("seed", range(60))
def test_swept_as_walked(seed: int) -> None:
    """However the input is split; and nearly everybody is swept."""
    random = Random(seed)
    events = history(random, 250)
    walked, swept = Base(CATALOGUE, is_swept=False), Base(CATALOGUE, is_swept=True)
    place = taken = 0
    while place < len(events):
        some = events[place : place + random.choice((1, 5, 40, 200))]
        place += len(some)
        taken += len({one.external_id for one in some})
        assert swept.batch(some) == walked.batch(some)
        assert swept.state() == walked.state()
    assert (walked.swept, swept.swept) == (0, taken)


def test_instants_far_apart() -> None:
    """Where one axis would be too long for all of them they are walked one by one."""
    early = instants.parse("0001-01-02T00:00:00Z")
    random = Random(1)
    some = [made_event(random, number, early + number) for number in range(40)]
    some += [made_event(random, number + 100, NOW - 1_000 + number) for number in range(40)]
    walked, swept = Base(CATALOGUE, is_swept=False), Base(CATALOGUE, is_swept=True)
    assert swept.batch(some) == walked.batch(some)
    assert swept.state() == walked.state()
