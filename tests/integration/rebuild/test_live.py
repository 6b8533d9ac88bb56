"""A rebuild beside consumers, timers and relay, through real Kafka; killed in the middle, and run again."""

from __future__ import annotations

import json
import signal

from sqlalchemy import text

from service.adapters.postgres.database import Database
from service.core import instants
from tests import oracle, shop
from tests.e2e.product import Change
from tests.world import World, create, members

CLOCK = instants.parse(shop.CLOCK)
#: More than two slices of a rebuild.
CUSTOMERS = 1_100
#: Everybody is no member of the first segment any more, in table and profile alike, and nothing said so; totals, orders
#: and attributes are wrong. None of this stops a batch.
DAMAGE = (
    """UPDATE customer_segment_memberships SET left_at = joined_at, left_reason = 'event', left_recorded_at = now()
    WHERE left_at IS NULL AND segment_id = (SELECT id FROM customer_segments WHERE segment_name = 'everybody')""",
    """UPDATE profiles SET total_spent = total_spent + 1000, ordinals = set_byte(ordinals, slot * 4, 2)
    FROM customer_segments WHERE segment_name = 'everybody'""",
    "UPDATE orders SET amount = 0",
    "UPDATE customers SET country = 'XX'",
)


def folded(changes: list[Change]) -> dict[str, set[str]]:
    """External ids by segment id; numbers rise and instants do not go back, and no id comes twice."""
    found: dict[str, set[str]] = {}
    latest: dict[tuple[str, str], Change] = {}
    assert len({one.event_id for one in changes}) == len(changes)
    for one in sorted(changes, key=lambda change: (change.partition, change.offset)):
        before = latest.get((one.customer_id, one.segment_id))
        assert before is None or one.sequence > before.sequence, (before, one)
        assert before is None or instants.parse(one.effective_at) >= instants.parse(before.effective_at), (before, one)
        latest[one.customer_id, one.segment_id] = one
        some = found.setdefault(one.segment_id, set())
        (some.add if one.change == "joined" else some.discard)(one.external_id)
    return found


async def test_beside_live_input(made: World, database: Database) -> None:
    """Everybody damaged, rebuilt while input flows, killed and rebuilt again: table, topic and the contract agree."""
    ids = await create(database, shop.SEGMENTS, shop.CLOCK)
    made.start_all(workers=2)
    events = shop.events(customers=CUSTOMERS, count=4_000, seed=41)
    made.publish(events[:3_000], "--topic", made.orders)
    made.wait_idle()
    async with database.transaction() as connection:
        for statement in DAMAGE:
            await connection.execute(text(statement))

    publishing = made.publish_beside(events[3_000:], "--topic", made.orders, "--rate", "100")
    made.env["SEGMENTS_CRASH_AT"] = "outbox-written:2"
    killed = made.command("rebuild", "--emit")
    del made.env["SEGMENTS_CRASH_AT"]
    done = json.loads(made.run("rebuild", "--emit", "--json"))
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert 300 < done["repaired"]["customers"] <= CUSTOMERS - 500
    assert done["repaired"]["set_aside"] == []
    assert publishing.wait(timeout=60) == 0
    made.wait_idle(seconds=120)

    made.verify()
    expected = oracle.members_at(events, shop.SEGMENTS, CLOCK)
    assert await members(database) == expected
    changes = made.changes()
    by_id = folded(changes)
    assert {name: by_id.get(ids[name], set()) for name in expected} == expected
    assert {one.segment_id for one in changes if one.reason == "rebuild"} >= {ids["everybody"]}
    status = json.loads(made.run("status", "--json"))
    assert status["dead_letters"] == {}
    assert {one["name"]: one["count"] for one in status["segments"]} == {
        name: len(some) for name, some in expected.items()
    }
    assert json.loads(made.run("rebuild", "--emit", "--json"))["customers"] == 0
    made.wait_idle()
    assert made.changes() == changes
