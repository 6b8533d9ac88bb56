"""Verify finds nothing in what the service wrote from attributes and orders."""

from __future__ import annotations

import pytest

from service.adapters.postgres.database import Database
from service.adapters.postgres.verify import verify
from service.core import instants
from tests.facts import Service
from tests.integration.support import event
from tests.integration.verify.plain import DAY, NOW, SEGMENTS, START, history
from tests.integration.verify.support import drift_of


class TestSoundStore:
    """What the service wrote follows from the facts."""

    async def test_nothing_drifts(self, service: Service) -> None:
        """After events and timers nothing drifts, and members are counted."""
        report = await verify(service.database, None, NOW)

        assert not report.has_drift
        assert report.profiles.checked == 12
        assert report.overdue == 0
        assert {one.segment.name: one.segment.members for one in report.segments}["all"] == 12

    async def test_timers_that_wait_are_no_drift(self, database: Database) -> None:
        """Customers whose timer has not fired are compared as of their latest evaluation, and counted."""
        service = Service(database, "EUR")
        await service.define(SEGMENTS)
        await service.take(history(), NOW)

        report = await verify(database, None, NOW)

        assert not report.has_drift
        assert report.overdue > 0

    async def test_definition_that_came_later(self, database: Database) -> None:
        """Customers older than a definition have it from the definition's instant on, timers pending or not."""
        service = Service(database, "EUR")
        await service.define(SEGMENTS[:2])
        await service.take(history(), START + 78 * DAY)
        await service.define(SEGMENTS[2:], since=NOW - DAY)
        await service.backfill(NOW - DAY)

        assert not (await verify(database, None, NOW)).has_drift
        await service.fire(NOW)
        assert not (await verify(database, None, NOW)).has_drift

    async def test_backfill_under_way(self, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        """While a backfill runs only the customers it has reached are compared, and the report says so."""
        monkeypatch.setattr("service.app.backfill.CUSTOMERS_MAX", 5)
        service = Service(database, "EUR")
        await service.take(history(), NOW)
        ids = await service.define(SEGMENTS, since=NOW, backfill_state="running")
        await service.backfill(NOW, slices=1)

        report = await verify(database, [ids["all"]], NOW)
        await service.run("UPDATE customer_segments SET backfill_state = 'done'")
        after = await verify(database, [ids["all"]], NOW)

        assert not report.has_drift
        assert report.to_json()["segments"][0]["is_backfilling"]
        assert drift_of(after) == {"all": 7}

    async def test_events_of_the_future_wait(self, service: Service) -> None:
        """A fact whose time has not come does not count."""
        service.rules = service.rules._replace(is_clock_fixed=False)
        order = {"order_id": "late", "currency": "EUR", "total": 1000}
        await service.take([event(5000, "order.placed", NOW + instants.MINUTE, "c1", **order)], NOW)
        await service.take([event(5001, "customer.logged_in", NOW + instants.MINUTE, "new")], NOW)

        early = await verify(service.database, None, NOW)
        overdue = await verify(service.database, None, NOW + DAY)
        await service.fire(NOW + DAY)
        late = await verify(service.database, None, NOW + DAY)

        assert [one.has_drift for one in (early, overdue, late)] == [False, False, False]
        assert overdue.overdue > 0

    async def test_erased_customers_leave_nothing(self, service: Service) -> None:
        """After customer.deleted there is nothing to drift."""
        await service.take([event(6000, "customer.deleted", NOW, "c3")], NOW)

        report = await verify(service.database, None, NOW)

        assert not report.has_drift
        assert report.profiles.checked == 11

    async def test_instants_long_ago_are_exact(self, database: Database) -> None:
        """Far from 1970, where a double has no microseconds left, nothing drifts either."""
        service = Service(database, "EUR")
        await service.define(
            [{"key": "logins", "criteria": {"last_login": {"operator": "after", "date": "1500-01-01"}}}]
        )
        lines = [
            event(n, "customer.logged_in", instants.parse(f"1500-01-02T00:00:00.00000{n}Z"), "old") for n in range(9)
        ]
        await service.take(lines, NOW)

        assert not (await verify(database, None, NOW)).has_drift
