"""Facts once, transitions once and in order, through real Kafka and PostgreSQL, whatever is killed or repeated."""

from __future__ import annotations

import random

from service.adapters.postgres.database import Database
from service.core import instants
from tests import oracle, shop
from tests.offline import collapsed
from tests.world import World, change, create, folded, members, pause, until

CLOCK = instants.parse(shop.CLOCK)


async def check(made: World, database: Database, ids: dict[str, str], events: list[dict]) -> list:
    """Table, topic and literal reading of the contract agree; gives what was published."""
    expected = oracle.members_at(events, shop.SEGMENTS, CLOCK)
    assert await members(database) == expected
    changes = made.changes()
    by_id = folded(changes)
    assert {name: by_id.get(ids[name], set()) for name in shop.SEGMENTS} == expected
    made.verify()
    return changes


def published(changes: list, ids: dict[str, str]) -> list:
    """(customer, segment, instant, change), net of each instant."""
    names = {segment_id: name for name, segment_id in ids.items()}
    return collapsed(
        (one.external_id, names[one.segment_id], instants.parse(one.effective_at), one.change) for one in changes
    )


class TestTimeline:
    """Without faults."""

    async def test_transitions_are_exact_on_one_topic(self, made: World, database: Database) -> None:
        """With two workers and timers on, joined/left are exactly membership as a function of time."""
        ids = await create(database, shop.SEGMENTS, shop.CLOCK)
        made.start_all(workers=2)
        events = shop.events(customers=60, count=1_500)
        made.publish(events, "--topic", made.orders)
        made.wait_idle()

        changes = await check(made, database, ids, events)
        assert published(changes, ids) == oracle.transitions(events, shop.SEGMENTS, CLOCK)

    async def test_two_topics_converge(self, made: World, database: Database) -> None:
        """Between two topics Kafka keeps no order: joined/left alternate, never go back, and give the membership."""
        ids = await create(database, shop.SEGMENTS, shop.CLOCK)
        made.start_all()
        events = shop.events(customers=60, count=1_500, seed=2)
        made.publish(events)
        made.wait_idle()

        await check(made, database, ids, events)

    async def test_shuffled_and_repeated_input_converges(self, made: World, database: Database) -> None:
        """Any order and any repetition ends in the same membership; publishing all of it again changes nothing."""
        ids = await create(database, shop.SEGMENTS, shop.CLOCK)
        made.start_all()
        events = shop.events(customers=40, count=800, seed=3)
        shuffled = [*events, *events[::3]]
        random.Random(3).shuffle(shuffled)
        made.publish(shuffled)
        made.wait_idle()
        changes = await check(made, database, ids, events)

        made.publish(events, "--topic", made.customers)
        made.wait_idle()

        assert made.changes() == changes


class TestKilled:
    """With kill -9."""

    async def test_every_role_killed_while_input_flows(self, made: World, database: Database) -> None:
        """Consumers, relay and timers killed again and again: nothing is lost, doubled or out of order."""
        ids = await create(database, shop.SEGMENTS, shop.CLOCK)
        made.env["SEGMENTS_BATCH_EVENTS_MAX"] = "40"
        made.start_all(workers=2)
        events = shop.events(customers=80, count=4_000, seed=4)
        chance = random.Random(4)
        # One publish without a pause: under a fixed clock timers take five quiet seconds for the end of the input.
        publishing = made.publish_beside(events, "--topic", made.orders, "--rate", "400")
        while publishing.poll() is None:
            role, slot = chance.choice([("consume", 0), ("consume", 1), ("relay", 0), ("timers", 0)])
            made.kill(role, slot)
            made.start(role, slot)
            pause(chance.uniform(0.2, 2))
        assert publishing.returncode == 0
        made.wait_idle(seconds=120)

        changes = await check(made, database, ids, events)
        assert published(changes, ids) == oracle.transitions(events, shop.SEGMENTS, CLOCK)

    async def test_sigterm_drains_and_exits_0(self, made: World, database: Database) -> None:
        """A role that is told to stop finishes what is in flight and exits with 0."""
        await create(database, {"everybody": {}}, shop.CLOCK)
        made.start_all()
        made.publish(shop.events(customers=20, count=500, seed=5))
        pause(1.5)

        assert [made.stop(role) for role in ("consume", "relay", "timers")] == [0, 0, 0]


class TestDefinitionsUnderWay:
    """Segments that change while customers are there."""

    async def test_backfill_of_new_changed_and_archived_segments(self, made: World, database: Database) -> None:
        """A new, a changed and an archived definition end in the right membership, also when timers are killed."""
        first = {
            "readers": shop.SEGMENTS["readers"],
            "recent": shop.SEGMENTS["recent"],
            "french": shop.SEGMENTS["french"],
        }
        ids = await create(database, first, shop.CLOCK)
        made.start_all()
        events = shop.events(customers=300, count=1_500, seed=6)
        made.publish(events, "--topic", made.orders)
        made.wait_idle()
        made.kill("timers")
        ids |= await create(database, {"frequent": shop.SEGMENTS["frequent"]}, shop.CLOCK)
        await change(database, ids["readers"], shop.CLOCK, criteria=shop.SEGMENTS["no games"])
        await change(database, ids["french"], shop.CLOCK, status="archived")
        made.start("timers")
        pause(0.3)
        made.kill("timers")
        made.start("timers")
        made.wait_idle()

        now = {
            "recent": shop.SEGMENTS["recent"],
            "readers": shop.SEGMENTS["no games"],
            "frequent": shop.SEGMENTS["frequent"],
        }
        expected = oracle.members_at(events, now, CLOCK) | {"french": set()}
        assert await members(database) == expected
        by_id = folded(made.changes())
        assert {name: by_id.get(ids[name], set()) for name in expected} == expected
        made.verify()


INSERT_AGAIN = """
INSERT INTO outbox (id, records, payload, counts) OVERRIDING SYSTEM VALUE VALUES ($1, $2, $3, '{}')
"""


class TestRelay:
    """The relay's marker."""

    async def test_a_relay_that_died_before_deleting_sends_nothing_twice(self, made: World, database: Database) -> None:
        """Rows that the last committed transaction held are deleted by the next relay, not sent again."""
        ids = await create(database, {"everybody": {}}, shop.CLOCK)
        made.start("consume")
        events = shop.events(customers=30, count=200, seed=7)
        made.publish(events)
        async with database.session() as connection:
            until(lambda: made.command("wait-idle", "--timeout", "0").stderr.count(b"records of input") == 0)
            kept = await connection.fetch("SELECT * FROM outbox ORDER BY id")
            made.start("relay")
            while await connection.fetchval("SELECT count(*) FROM outbox"):
                pause(0.05)
            made.kill("relay")
            sent = made.changes()
            for row in kept:
                await connection.execute(INSERT_AGAIN, row["id"], row["records"], row["payload"])
        made.start("relay")
        made.start("timers")
        made.wait_idle()

        assert kept
        assert made.changes() == sent
        assert folded(sent)[ids["everybody"]] == oracle.members_at(events, {"a": {}}, CLOCK)["a"]
