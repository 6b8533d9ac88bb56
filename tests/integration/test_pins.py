"""Changes by hand beside events, timers and backfills, on real servers: nothing lost, doubled or out of order."""

from __future__ import annotations

import random
from uuid import UUID

import pytest

from service.adapters.postgres.database import Database
from service.adapters.postgres.pins import PostgresPins
from service.app import pins
from service.app.pins import ADD, REMOVE, UNPIN, Contention, PinChange, PinReport, pin_customers, read_ids, unpin_all
from service.app.segment_changes import create_segment, update_segment
from service.app.segments import Author, NewSegment, SegmentChange, SegmentMissing
from service.bootstrap import Batches, open_batches
from service.core import instants
from service.core.identity import customer_uuid
from service.settings import load_settings
from service.stack.group import Servers
from tests import oracle, shop
from tests.facts import Service
from tests.integration.support import event
from tests.world import AUTHOR, PostgresSegments, World, create, folded, members, pause, world

DAY = instants.DAY
NOW = instants.parse("2024-05-01T00:00:00Z")
BUYERS = {"total_orders": {"operator": "gte", "value": 1}}


def now() -> int:
    """A clock that stands still."""
    return NOW


async def static(database: Database, name: str = "list", status: str = "active") -> UUID:
    """A new static segment."""
    async with database.transaction() as connection:
        new = NewSegment(segment_name=name, segment_type="static", status=status)
        return (await create_segment(PostgresSegments(connection), now, AUTHOR, new)).id


async def dynamic(database: Database, criteria: dict, name: str = "dynamic") -> UUID:
    """A new dynamic segment."""
    async with database.transaction() as connection:
        return (await create_segment(PostgresSegments(connection), now, AUTHOR, NewSegment(name, criteria))).id


async def by_hand(
    batches: Batches, segment_id: UUID, action: str, *customers: str, source: str = "manual"
) -> PinReport:
    """Does this to these customers."""
    change = PinChange(segment_id, action, AUTHOR, NOW, source)
    return await pin_customers(batches, now, change, read_ids(list(customers)))


@pytest.fixture
def service(database: Database) -> Service:
    """The use cases of the hot path."""
    return Service(database, "USD")


def order(number: int, customer: str, at: int = NOW - DAY) -> bytes:
    """An order."""
    return event(number, "order.placed", at, customer, order_id=f"o{number}", currency="USD", total=10)


async def count(database: Database, table: str) -> int:
    """How many rows a table has."""
    async with database.session() as connection:
        found: int = await connection.fetchval(f"SELECT count(*) FROM {table}")  # noqa: S608 - a test's own names
        return found


class TestTransactions:
    """What one change by hand writes."""

    async def test_all_or_nothing(self, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
        """Profile, membership, pin and what is published are one transaction: a failure leaves nothing of them."""
        segment_id = await static(service.database)
        await service.take([order(1, "a")], NOW)
        before = await count(service.database, "outbox")

        async def fail(*_: object, **__: object) -> None:
            msg = "the disk is full"
            raise OSError(msg)

        with monkeypatch.context() as patched:
            patched.setattr(PostgresPins, "put_pins", fail)
            with pytest.raises(OSError, match="the disk is full"):
                await by_hand(service.batches, segment_id, ADD, "a", "stranger")
        tables = ("pins", "customer_segment_memberships", "profiles", "customers")
        assert [await count(service.database, table) for table in tables] == [0, 0, 1, 1]
        assert await count(service.database, "outbox") == before

        assert (await by_hand(service.batches, segment_id, ADD, "a", "stranger")).added == 2
        assert [await count(service.database, table) for table in tables] == [2, 2, 2, 2]

    async def test_long_lists(self, service: Service) -> None:
        """A long list is several transactions, so that batches of events never wait long; each customer joins once."""
        segment_id = await static(service.database)
        names = [f"c{number}" for number in range(1_200)]
        report = await by_hand(service.batches, segment_id, ADD, *names)

        assert report.added == 1_200
        assert await count(service.database, "outbox") == 3
        assert (await members(service.database))["list"] == set(names)
        change = PinChange(segment_id, UNPIN, AUTHOR, NOW)
        assert (await unpin_all(service.batches, now, change)).removed == 1_200
        assert await count(service.database, "pins") == 0

    async def test_a_customer_who_is_behind(self, service: Service) -> None:
        """A new definition that has not reached the customer comes first, at its own instant and for its own reason."""
        await service.take([order(1, "a")], NOW)
        segment_id = await dynamic(service.database, BUYERS)
        await by_hand(service.batches, segment_id, REMOVE, "a")
        await service.backfill(NOW)

        async with service.database.session() as connection:
            rows = await connection.fetch("SELECT membership_source, left_reason FROM customer_segment_memberships")
        assert [tuple(row) for row in rows] == [("definition", "manual")]
        assert (await members(service.database))["dynamic"] == set()

    async def test_import(self, service: Service) -> None:
        """An import is a change by hand under another name, in the pins and in the history."""
        segment_id = await static(service.database)
        await by_hand(service.batches, segment_id, ADD, "a", source="import")

        async with service.database.session() as connection:
            sources = await connection.fetch(
                "SELECT p.source, m.membership_source FROM pins p JOIN customer_segment_memberships m"
                " USING (customer_id, segment_id)"
            )
        assert [tuple(row) for row in sources] == [("import", "import")]

    async def test_pins_without_a_profile(self, service: Service) -> None:
        """A pin that was left behind without its customer is removed like any other."""
        segment_id = await static(service.database)
        await service.run(
            "INSERT INTO pins (customer_id, segment_id, is_included, source, created_by)"
            " VALUES (:customer_id, :segment_id, true, 'manual', 'x')",
            customer_id=customer_uuid("ghost"),
            segment_id=segment_id,
        )
        await unpin_all(service.batches, now, PinChange(segment_id, UNPIN, AUTHOR, NOW))

        assert await count(service.database, "pins") == 0

    async def test_missing(self, service: Service) -> None:
        """No segment, no change."""
        segment_id = UUID(int=7)
        with pytest.raises(SegmentMissing):
            await by_hand(service.batches, segment_id, ADD, "a")
        with pytest.raises(SegmentMissing):
            await unpin_all(service.batches, now, PinChange(segment_id, UNPIN, AUTHOR, NOW))


class TestFailures:
    """What the database may answer."""

    async def test_a_connection_that_dies(self, service: Service) -> None:
        """A connection that is ended under the transaction means that the database is away."""
        with pytest.raises(ConnectionError):
            async with service.batches.pins() as store:
                await store.connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    async def test_another_stored_the_customer_first(self, service: Service) -> None:
        """A row that another transaction stored first is contention, which the same again resolves."""
        statement = "INSERT INTO erasures VALUES ($1), ($1)"
        with pytest.raises(Contention):
            async with service.batches.pins() as store:
                await store.connection.execute(statement, UUID(int=5))

    async def test_tries_end(self, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
        """After some tries the caller is told instead of waiting for ever."""
        tries = []

        async def refuse(*_: object) -> None:
            tries.append(1)
            raise Contention

        monkeypatch.setattr(pins, "_pin", refuse)
        with pytest.raises(Contention):
            await by_hand(service.batches, UUID(int=7), ADD, "a")
        assert len(tries) == pins.TRIES_MAX


class TestWhileEventsFlow:
    """With all roles at work."""

    @pytest.fixture
    def made(self, session_servers: Servers, database_url: str):
        """Roles on topics of this test's own."""
        with world(session_servers.kafka_bootstrap, database_url, shop.CLOCK, batch_events_max="40") as running:
            yield running

    async def test_pins_beside_killed_roles(self, made: World, database: Database) -> None:
        """Customers pinned and let go at random while input flows and roles are killed: exact in table and topic."""
        ids = await create(database, shop.SEGMENTS, shop.CLOCK)
        ids["list"] = str(await static(database))
        ids["not recent"] = str(await dynamic(database, {"not_member_of": ids["recent"]}, "not recent"))
        made.start_all(workers=2)
        events = shop.events(customers=60, count=2_000, seed=8)
        batches = open_batches(load_settings(membership_topic=made.membership), database)
        chance = random.Random(8)
        chosen = ["readers", "recent", "frequent", "list", "everybody"]
        held: dict[tuple[str, str], bool] = {}
        publishing = made.publish_beside(events, "--topic", made.orders, "--rate", "300")
        while publishing.poll() is None:
            if chance.random() < 0.02:
                role, slot = chance.choice([("consume", 0), ("consume", 1), ("relay", 0), ("timers", 0)])
                made.kill(role, slot)
                made.start(role, slot)
            name, customer = chance.choice(chosen), f"c{chance.randrange(60):04d}"
            action = chance.choice([ADD, ADD, REMOVE, REMOVE, UNPIN])
            report = await by_hand(batches, UUID(ids[name]), action, customer)
            if not report.unknown:
                note(held, name, customer, action)
            pause(0.01)
        assert publishing.returncode == 0
        made.wait_idle(seconds=120)

        expected = oracle.members_at(events, shop.SEGMENTS, instants.parse(shop.CLOCK))
        everybody = set(expected["everybody"])
        expected["list"] = set()
        for (name, customer), is_in in held.items():
            (expected[name].add if is_in else expected[name].discard)(customer)
        expected["not recent"] = everybody - expected["recent"]
        assert len(held) > 30
        assert await members(database) == expected
        by_id = folded(made.changes())
        assert {name: by_id.get(ids[name], set()) for name in expected} == expected

    async def test_a_draft_list_is_activated(self, made: World, database: Database) -> None:
        """The backfill of an activated list lets in who is pinned, known and unknown alike, and nobody else."""
        made.start_all()
        made.publish(shop.events(customers=20, count=100, seed=9))
        made.wait_idle()
        segment_id = await static(database, status="draft")
        batches = open_batches(load_settings(membership_topic=made.membership), database)
        await by_hand(batches, segment_id, ADD, "c0001", "c0002", "stranger")
        before = made.changes()
        async with database.transaction() as connection:
            change = SegmentChange(status="active")
            store = PostgresSegments(connection)
            await update_segment(store, now, Author("u", "U"), segment_id, change, is_silent=False)
        made.wait_idle()

        assert before == []
        assert folded(made.changes())[str(segment_id)] == {"c0001", "c0002", "stranger"}
        assert (await members(database))["list"] == {"c0001", "c0002", "stranger"}


def note(held: dict[tuple[str, str], bool], name: str, customer: str, action: str) -> None:
    """What a pin means by the type of the segment."""
    if action == ADD:
        held[name, customer] = True
    elif action == REMOVE and name != "list":
        held[name, customer] = False
    else:
        held.pop((name, customer), None)
