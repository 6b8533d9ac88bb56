"""Damage, repairs, late input and timers in any order end where the facts say."""

from __future__ import annotations

import json
import random
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from service.adapters.postgres.database import Database
from service.adapters.postgres.verify import verify
from service.core import instants
from service.core.identity import customer_uuid
from tests import oracle, shop
from tests.facts import Service
from tests.integration.rebuild.support import Published, net, open_memberships, published, rebuilt

CLOCK = instants.parse(shop.CLOCK)
ROUNDS = 14
#: Each harms the customers named by `ids`: the first ones the memberships of some, the second ones the profiles of
#: others, for what neither of the two has kept is lost; the last ones anything else of anybody.
MEMBERSHIPS = (
    "DELETE FROM customer_segment_memberships WHERE customer_id = ANY(:ids)",
    "DELETE FROM customer_segment_memberships WHERE customer_id = ANY(:ids) AND left_at IS NULL",
    """UPDATE customer_segment_memberships m SET left_at = NULL, left_reason = NULL
    WHERE customer_id = ANY(:ids) AND ordinal = (
        SELECT max(ordinal) FROM customer_segment_memberships o
        WHERE o.customer_id = m.customer_id AND o.segment_id = m.segment_id
    )""",
)
PROFILES = (
    "DELETE FROM profiles WHERE customer_id = ANY(:ids)",
    "UPDATE profiles SET ordinals = '' WHERE customer_id = ANY(:ids)",
    """UPDATE profiles SET ordinals = set_byte(ordinals, 0, get_byte(ordinals, 0) + 1)
    WHERE customer_id = ANY(:ids) AND octet_length(ordinals) > 0""",
)
OTHERS = (
    "DELETE FROM customers WHERE customer_id = ANY(:ids)",
    "DELETE FROM orders WHERE customer_id = ANY(:ids)",
    "UPDATE profiles SET state = '\\x00' WHERE customer_id = ANY(:ids)",
    "UPDATE profiles SET total_spent = total_spent + 100, last_login_at = NULL WHERE customer_id = ANY(:ids)",
    "UPDATE orders SET amount = amount + 1, categories = '{}' WHERE customer_id = ANY(:ids)",
    "UPDATE customers SET country = 'XX', traits = '{}' WHERE customer_id = ANY(:ids)",
)
EVERYBODY = "SELECT DISTINCT customer_id FROM order_facts UNION SELECT customer_id FROM customer_facts ORDER BY 1"


async def make(database: Database) -> tuple[Service, dict[str, UUID]]:
    """A service with the shop's segments, and one that asks for the members of another."""
    service = Service(database, "USD")
    ids = await service.define([{"key": name, "criteria": one} for name, one in shop.SEGMENTS.items()])
    others = {"not recent": {"not_member_of": str(ids["recent"])}, "also new": {"member_of": str(ids["new"])}}
    return service, ids | await service.define([{"key": name, "criteria": one} for name, one in others.items()])


async def harm(service: Service, chance: random.Random) -> None:
    """Some damage to some customers."""
    async with service.database.transaction() as connection:
        everybody = list((await connection.execute(text(EVERYBODY))).scalars())
    halves = [[one for one in everybody if one.int % 2 == half] for half in (0, 1)]
    for damages, some in ((MEMBERSHIPS, halves[0]), (PROFILES, halves[1]), (OTHERS, everybody)):
        await service.run(chance.choice(damages), ids=chance.sample(some, min(3, len(some))))


def check_order(changes: list[Published]) -> None:
    """Of each customer and segment numbers rise and instants do not go back."""
    latest: dict[tuple[UUID, UUID], Published] = {}
    for one in changes:
        before = latest.get((one.customer_id, one.segment_id))
        assert before is None or (one.sequence > before.sequence and one.effective_at >= before.effective_at), (
            before,
            one,
        )
        latest[one.customer_id, one.segment_id] = one


@pytest.mark.parametrize("seed", range(3))
async def test_any_order(database: Database, seed: int) -> None:
    """After each repair nothing drifts; in the end table, topic and literal reading of the contract agree."""
    chance = random.Random(seed)
    service, ids = await make(database)
    events = shop.events(customers=12, count=350, seed=seed)
    late: list[dict[str, Any]] = []
    now = shop.START
    for number in range(ROUNDS):
        some = events[number * len(events) // ROUNDS : (number + 1) * len(events) // ROUNDS]
        held = [one for one in some if chance.random() < 0.2]
        coming = [one for one in some if one not in held] + late[: len(late) // 2]
        late = late[len(late) // 2 :] + held
        now = max(now, *(instants.parse(one["time"]) for one in some)) + chance.choice([0, 1, 3 * instants.DAY])
        if chance.random() < 0.3:
            await service.fire(now)
        await service.take([json.dumps(one).encode() for one in coming], now)
        if chance.random() < 0.7:
            await harm(service, chance)
            harmed = set(await open_memberships(service))
            before = len(await published(service))
            await rebuilt(service, now)
            report = await verify(database, None, now)
            assert not report.has_drift, (seed, number, report.to_json())
            assert net(harmed, (await published(service))[before:]) == set(await open_memberships(service))
    await service.take([json.dumps(one).encode() for one in late], CLOCK)
    await service.fire(CLOCK)

    assert not (await verify(database, None, CLOCK)).has_drift
    stored = set(await open_memberships(service))
    by_name = oracle.members_at(events, shop.SEGMENTS, CLOCK)
    expected = {name: set(map(customer_uuid, members)) for name, members in by_name.items()}
    expected["not recent"] = expected["everybody"] - expected["recent"]
    expected["also new"] = expected["new"]
    assert stored == {(customer_id, ids[name]) for name, members in expected.items() for customer_id in members}
    changes = await published(service)
    check_order(changes)
    assert net(set(), changes) == stored
