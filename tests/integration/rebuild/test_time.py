"""A repair beside timers that wait, input that comes late, and facts whose time has not come."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from service.adapters.postgres.database import Database
from service.adapters.postgres.verify import verify
from service.core import instants
from service.core.identity import customer_uuid
from tests.facts import Service
from tests.integration.rebuild.support import drain, net, open_memberships, published, rebuilt
from tests.integration.support import event
from tests.integration.verify.language import VIEWS, Shop
from tests.integration.verify.language import history as visits
from tests.integration.verify.plain import DAY, NOW, SEGMENTS, START, apply_change, history, ids_of

C1 = customer_uuid("c1")
LATER = NOW + DAY


async def lose(service: Service, customer_id: UUID) -> None:
    """Nothing is left of a customer's profile."""
    await service.run("DELETE FROM profiles WHERE customer_id = :id", id=customer_id)


class TestTimers:
    """Timers that have not fired."""

    async def test_what_time_changes_is_left_to_them(self, database: Database) -> None:
        """Only what was damaged changes at the repair; the rest changes at its own instants, as without a repair."""
        service = Service(database, "EUR")
        await service.define(SEGMENTS)
        await service.take(history(), NOW)
        ids = await ids_of(database)
        await drain(service)
        await apply_change(service, "a membership is lost")
        overdue = (await rebuilt(service, NOW)).report.overdue
        repaired = await published(service)
        await service.fire(NOW)
        after = (await published(service))[len(repaired) :]

        assert overdue > 0
        assert [(one.customer_id, one.segment_id, one.change, one.effective_at) for one in repaired] == [
            (C1, ids["french"], "joined", NOW)
        ]
        assert after
        assert {one.reason for one in after} == {"time"}
        assert {one.effective_at % DAY for one in after} == {0}
        assert min(one.effective_at for one in after) < NOW
        assert not (await verify(database, None, NOW)).has_drift

    async def test_a_lost_timer_fires(self, service: Service) -> None:
        """Who is not due any more by mistake is due again with the profile that is made anew."""
        await lose(service, C1)
        await rebuilt(service, NOW)
        order = {"order_id": "n", "currency": "EUR", "total": 5}
        await service.take([event(5_000, "order.placed", NOW, "c1", **order)], NOW)
        await drain(service)
        await service.run("UPDATE profiles SET next_due_at = NULL WHERE customer_id = :id", id=C1)
        then = NOW + 30 * DAY
        await service.fire(then)
        drift = await verify(service.database, None, then)
        done = await rebuilt(service, then)
        await service.fire(then)

        assert {one.segment.name for one in drift.segments if one.drift} == {"recent", "lapsed"}
        assert done.repaired is not None
        assert not done.repaired.joined
        mine = [one for one in await published(service) if one.customer_id == C1]
        assert {(one.change, one.reason, one.effective_at) for one in mine} == {
            ("joined", "time", then),
            ("left", "time", then),
        }
        assert not (await verify(service.database, None, then)).has_drift

    async def test_timers_and_pins_that_nobody_misses_yet(self, shop: Shop) -> None:
        """A timer that is lost, and a pin that the profile does not know, are found before they matter."""
        due = "SELECT next_due_at FROM profiles WHERE customer_id = $1"
        shop_at = instants.parse("2024-06-01T00:00:00Z")
        await drain(shop)
        async with shop.database.session() as connection:
            before = await connection.fetchval(due, customer_uuid("c5"))
        await shop.run("UPDATE profiles SET next_due_at = NULL WHERE customer_id = :id", id=customer_uuid("c5"))
        await shop.run(
            "INSERT INTO pins VALUES (:customer, :segment, true, 'manual', 't', now())",
            customer=customer_uuid("c3"),
            segment=shop.ids["views"],
        )
        dry = await rebuilt(shop, shop_at, is_emitting=False)
        done = await rebuilt(shop, shop_at)

        assert not dry.report.has_drift
        assert set(dry.stale) == {customer_uuid("c3"), customer_uuid("c5")}
        assert done.repaired is not None
        assert done.repaired.customers == 2
        assert await published(shop) == []
        async with shop.database.session() as connection:
            assert before is not None
            assert await connection.fetchval(due, customer_uuid("c5")) == before
        assert not (await rebuilt(shop, shop_at)).differs
        late = shop_at + 90 * DAY
        await shop.fire(late)
        assert not (await verify(shop.database, None, late)).has_drift

    async def test_references_beside_waiting_timers(self, database: Database) -> None:
        """Segments that ask for a damaged segment's members change with it, whatever their timers still have to do."""
        made = Shop(database, "EUR")
        made.ids = {}
        views = await made.create("views", VIEWS)
        await made.create("neither", {"not_member_of": views})
        await made.take(visits(), NOW)
        await drain(made)
        known = set(await open_memberships(made))
        await made.run(
            "DELETE FROM customer_segment_memberships WHERE segment_id = :id AND customer_id IN (:c1, :c2)",
            id=made.ids["views"],
            c1=customer_uuid("c1"),
            c2=customer_uuid("c2"),
        )
        harmed = set(await open_memberships(made))
        at = NOW - 10 * DAY
        await rebuilt(made, at)

        assert harmed < known
        assert not (await verify(database, None, at)).has_drift
        await made.fire(NOW)
        assert not (await verify(database, None, NOW)).has_drift
        assert net(harmed, await published(made)) == set(await open_memberships(made))


class TestBackfill:
    """A repair while a backfill is under way."""

    async def test_customers_are_brought_along(self, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        """Who is repaired before the backfill comes by gets the new definitions at their own instant; others wait."""
        monkeypatch.setattr("service.app.backfill.CUSTOMERS_MAX", 5)
        service = Service(database, "EUR")
        await service.take(history(), NOW)
        await service.define(SEGMENTS, since=NOW, backfill_state="running")
        await service.backfill(NOW, slices=1)
        await drain(service)
        await service.run(
            "UPDATE profiles SET total_spent = total_spent + 1 WHERE customer_id IN"
            " (SELECT customer_id FROM profiles ORDER BY customer_id DESC LIMIT 3)"
        )
        done = await rebuilt(service, LATER)
        under_way = await published(service)
        await service.backfill(NOW)
        await service.run("UPDATE customer_segments SET backfill_state = 'done'")

        assert done.repaired is not None
        assert done.repaired.customers == 3
        assert {(one.reason, one.effective_at) for one in under_way} == {("definition", NOW)}
        assert len({one.customer_id for one in under_way}) == 3
        changes = await published(service)
        assert len({(one.customer_id, one.segment_id) for one in changes}) == len(changes)
        assert not (await verify(database, None, NOW)).has_drift


class TestLateInput:
    """Input from before the repair that comes after it."""

    @pytest.mark.parametrize("at", [START, NOW - DAY, NOW - 1, NOW])
    async def test_nobody_leaves_before_joining(self, service: Service, at: int) -> None:
        """What late input changes in a repaired membership is changed at the repair, and not before."""
        ids = await ids_of(service.database)
        await drain(service)
        await apply_change(service, "a membership is lost")
        await rebuilt(service, NOW)
        move = {"location": {"country": "Spain"}}
        await service.take([event(5_000, "customer.updated", at, "c1", **move)], LATER)

        mine = [one for one in await published(service) if one.segment_id == ids["french"]]
        late = [] if at == START else [("left", "event", 4, NOW)]  # older than what is known of the country
        assert [(one.change, one.reason, one.sequence, one.effective_at) for one in mine] == [
            ("joined", "rebuild", 3, NOW),
            *late,
        ]
        assert await open_memberships(service)
        assert not (await verify(service.database, None, LATER)).has_drift

    @pytest.mark.parametrize("days", [20, 32, 80])
    async def test_a_lost_profile_knows_since_when_memberships_hold(self, service: Service, days: int) -> None:
        """What time changed after the last fact is not taken back in time by input from before."""
        await drain(service)
        await lose(service, C1)
        await rebuilt(service, NOW)
        assert await published(service) == []
        at = START + 7 * DAY + days * DAY
        await service.take([event(5_000, "order.placed", at, "c1", order_id="n", currency="EUR", total=5)], NOW)
        await service.fire(NOW)

        assert await open_memberships(service)
        assert not (await verify(service.database, None, NOW)).has_drift

    async def test_dependants_follow(self, database: Database) -> None:
        """What late input changes in a repaired membership changes those that ask for its members at that instant."""
        service = Service(database, "EUR")
        buyers = await service.define(
            [{"key": "buyers", "criteria": {"total_orders": {"operator": "gte", "value": 1}}}]
        )
        others = await service.define([{"key": "others", "criteria": {"not_member_of": str(buyers["buyers"])}}])
        await service.take(history(), NOW)
        await drain(service)
        await service.run("DELETE FROM customer_segment_memberships WHERE customer_id = :id AND left_at IS NULL", id=C1)
        await rebuilt(service, NOW)
        await service.take([event(5_000, "order.cancelled", NOW - DAY, "c1", order_id="o")], NOW)

        changes = [(one.segment_id, one.change, one.effective_at) for one in await published(service)]
        assert changes == [
            (buyers["buyers"], "joined", NOW),
            (buyers["buyers"], "left", NOW),
            (others["others"], "joined", NOW),
        ]
        assert not (await verify(database, None, NOW)).has_drift

    async def test_a_lost_profile_keeps_definitions_in_their_time(self, database: Database) -> None:
        """Late input does not let a customer whose profile was lost into a segment before there was that segment."""
        service = Service(database, "EUR")
        await service.take(history(), NOW)
        ids = await service.define(SEGMENTS, since=NOW)
        await service.backfill(NOW)
        await lose(service, C1)
        await rebuilt(service, NOW)
        await drain(service)
        order = {"order_id": "n", "currency": "EUR", "total": 500}
        await service.take([event(5_000, "order.placed", NOW - 50 * DAY, "c1", **order)], NOW)

        changes = [(one.segment_id, one.change, one.effective_at) for one in await published(service)]
        assert (ids["big"], "joined", NOW) in changes
        assert {at for _, _, at in changes} == {NOW}
        assert not (await verify(database, None, NOW)).has_drift


AHEAD = NOW + instants.MINUTE
ORDER: dict[str, Any] = {"order_id": "n", "currency": "EUR"}
FUTURE = {
    "placed": ("order.placed", {**ORDER, "total": "12.34", "items": [{"product_id": "p", "category": "books"}]}),
    "updated": ("order.updated", {"order_id": "o", "total": 500}),
    "items": ("order.updated", {"order_id": "o", "items": []}),
    "cancelled": ("order.cancelled", {"order_id": "o"}),
    "refunded": ("order.refunded", {"refund_id": "x", "order_id": None, "currency": "EUR", "amount": 1}),
    "test": ("order.placed", {**ORDER, "total": 7, "test": True}),
    "registered": ("customer.updated", {"location": {"country": "Spain"}, "traits": {"tier": "gold", "n": 2.50}}),
    "logged in": ("customer.logged_in", {}),
    "deleted": ("customer.deleted", {}),
    "activity": ("customer.activity", {"name": "view", "properties": {"n": 1.25}}),
}


class TestFuture:
    """Facts whose time has not come."""

    @pytest.mark.parametrize("prefix", ["c", "new"])
    async def test_they_wait_again(self, service: Service, prefix: str) -> None:
        """Profiles that are made anew have the events that waited in the lost ones, and these come in their time."""
        service.rules = service.rules._replace(is_clock_fixed=False)
        customers = [f"{prefix}{number}" for number in range(1, len(FUTURE) + 1)]
        lines = [
            event(5_000 + number, kind, AHEAD, customer, **data)
            for number, (customer, (kind, data)) in enumerate(zip(customers, FUTURE.values(), strict=True))
        ]
        await service.take(lines, NOW)
        for customer in customers:
            await lose(service, customer_uuid(customer))
        done = await rebuilt(service, NOW)
        await service.fire(AHEAD)

        report = await verify(service.database, None, AHEAD)
        assert done.report.customer_ids == set(map(customer_uuid, customers))
        assert not report.has_drift, report.to_json()
        async with service.database.session() as connection:
            assert await connection.fetchval("SELECT count(*) FROM profiles WHERE next_due_at <= $1", AHEAD) == 0
            erased = [row[0] for row in await connection.fetch("SELECT customer_id FROM erasures")]
        assert erased == [customer_uuid(customers[list(FUTURE).index("deleted")])]
