"""Verify finds what does not follow from the facts, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
import typer
from sqlalchemy import text
from typer.testing import CliRunner

from service.adapters.postgres.database import Database
from service.adapters.postgres.verify import verify
from service.app.verify import Report, VerifyError
from service.cli.verify import verify as verify_command
from service.core import instants
from service.core.identity import customer_uuid
from tests.facts import Service

DAY = instants.DAY
START = instants.parse("2024-03-01T00:00:00Z")
NOW = START + 100 * DAY
SEGMENTS = [
    {"key": "all", "criteria": {}},
    {"key": "recent", "criteria": {"last_order_date": {"operator": "within_last", "days": 30}}},
    {"key": "lapsed", "criteria": {"last_order_date": {"operator": "more_than_ago", "days": 30}}},
    {"key": "big", "criteria": {"total_spent": {"operator": "gte", "value": 100}}},
    {"key": "french", "criteria": {"location": {"countries": ["France"]}}},
    {"key": "gold", "criteria": {"traits": {"tier": {"operator": "eq", "value": "gold"}}}},
    {"key": "readers", "criteria": {"purchased_categories": {"any": ["books"], "window": {"days": 60}}}},
]


def event(number: int, kind: str, at: int, customer: str, **data: Any) -> bytes:
    """An event as it comes from Kafka."""
    envelope = {"specversion": "1.0", "id": f"e{number}", "type": kind, "time": instants.to_text(at)}
    return json.dumps({**envelope, "data": {"customer_id": customer, **data}}).encode()


def history() -> list[bytes]:
    """A dozen customers: attributes, orders at various ages, refunds, cancellations, a guest."""
    lines = []
    for number in range(12):
        customer, at = f"c{number}", START + number * 7 * DAY
        traits = {"tier": "gold" if number % 3 else "silver", "n": 1.5, "gone": None}
        place = {"country": "France" if number % 2 else "Spain"}
        attributes = {"email": "private@example.com", "location": place, "traits": traits}
        items = [{"product_id": "p", "category": "books", "quantity": 1}]
        order = {"order_id": "o", "currency": "EUR", "total": 60 + number * 10, "items": items}
        refund = {"refund_id": "r", "order_id": "o", "currency": "EUR", "amount": "9.99"}
        lines += [
            event(number * 10, "customer.registered", at, customer, **attributes),
            event(number * 10 + 1, "customer.logged_in", at + DAY, customer),
            event(number * 10 + 2, "order.placed", at + DAY, customer, **order),
        ]
        if number % 4 == 0:
            lines.append(event(number * 10 + 3, "order.refunded", at + 2 * DAY, customer, **refund))
        if number % 5 == 0:
            lines.append(event(number * 10 + 4, "order.cancelled", at + 3 * DAY, customer, order_id="o"))
    order = {"order_id": "g", "currency": "EUR", "total": 5}
    return [*lines, event(999, "order.placed", START, None, **order)]  # type: ignore[arg-type]


@pytest.fixture
async def service(database: Database) -> Service:
    """A service with definitions, events and all timers fired."""
    made = Service(database, "EUR")
    await made.define(SEGMENTS)
    await made.take(history(), NOW, size=7)
    await made.fire(NOW)
    return made


def drift_of(report: Report) -> dict[str, int]:
    """Segments with drift."""
    return {one.segment.name: one.drift for one in report.segments if one.drift}


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


#: What is done to a sound database by hand -> (drift by segment, words that must stand among the profile's faults).
CHANGES: dict[str, tuple[str, dict[str, int], str]] = {
    "a membership is lost": (
        "DELETE FROM customer_segment_memberships WHERE customer_id = :c1 AND segment_id = :french",
        {"french": 1},
        "",
    ),
    "a membership is left open": (
        "UPDATE customer_segment_memberships SET left_at = NULL WHERE customer_id = :c1 AND segment_id = :recent",
        {"recent": 1},
        "",
    ),
    "a count is changed": (
        "UPDATE profiles SET ordinals = set_byte(ordinals, 0, 2) WHERE customer_id = :c1",
        {"all": 1},
        "",
    ),
    "a total is changed": (
        "UPDATE profiles SET total_spent = total_spent + 1 WHERE customer_id = :c1",
        {},
        "total_spent: stored 7001, by the facts 7000",
    ),
    "a date is changed": (
        "UPDATE profiles SET last_login_at = NULL WHERE customer_id = :c1",
        {},
        "last_login_at: stored nothing, by the facts 2024-03-09T00:00:00Z",
    ),
    "a state is damaged": (
        "UPDATE profiles SET state = set_byte(state, 9, get_byte(state, 9) # 1) WHERE customer_id = :c1",
        {},
        "state: the checksum does not match",
    ),
    "an attribute is changed": (
        "UPDATE customers SET email = 'other@example.com' WHERE customer_id = :c1",
        {},
        "email: differs from the facts",
    ),
    "a trait is changed": (
        """UPDATE customers SET traits = '{"tier": "gold", "n": "1.5"}' WHERE customer_id = :c1""",
        {},
        "traits: differs from the facts",
    ),
    "an external id is changed": (
        "UPDATE customers SET external_id = 'c2' WHERE customer_id = :c1",
        {},
        "external_id: belongs to another customer",
    ),
    "order facts are lost": (
        "DELETE FROM order_facts WHERE customer_id = :c1",
        {"lapsed": 1},
        "total_orders: stored 1, by the facts 0",
    ),
    "a customer's facts are lost": (
        "DELETE FROM customer_facts WHERE customer_id = :c1",
        {"french": 1, "gold": 1},
        "registered_at: stored 2024-03-08T00:00:00Z, by the facts nothing",
    ),
    "a profile is lost": (
        "DELETE FROM profiles WHERE customer_id = :c1",
        {"all": 1, "lapsed": 1, "french": 1, "gold": 1},
        "has facts and no profile",
    ),
    "an erasure was not carried out": (
        "INSERT INTO erasures (customer_id) VALUES (:c1)",
        {},
        "erased, and has facts",
    ),
}


class TestDrift:
    """What verify finds."""

    @pytest.mark.parametrize("name", CHANGES)
    async def test_changes_by_hand_are_found(self, service: Service, name: str) -> None:
        """Each damage shows in the segments and the profile it concerns, with the customer, and nowhere else."""
        statement, drift, fault = CHANGES[name]
        parameters = {"c1": customer_uuid("c1"), **await ids_of(service.database)}
        await service.run(statement, **{key: value for key, value in parameters.items() if f":{key}" in statement})

        report = await verify(service.database, None, NOW)

        assert drift_of(report) == drift
        assert {one.external_id for each in report.segments for one in each.examples} <= {
            "c1",
            str(customer_uuid("c1")),
        }
        faults = [one for found in report.profiles.examples.values() for one in found]
        assert (fault in faults) if fault else not report.profiles.drifted
        assert len(report.profiles.drifted) == bool(fault)
        assert "example.com" not in json.dumps(report.to_json())

    async def test_only_segments_asked_for(self, service: Service) -> None:
        """With ids given the other segments are left out."""
        ids = await ids_of(service.database)

        report = await verify(service.database, [ids["big"]], NOW)

        assert [one.segment.name for one in report.segments] == ["big"]

    async def test_unknown_segment(self, service: Service) -> None:
        """An id that no kept segment has is a sentence, not silence."""
        unknown = uuid4()

        with pytest.raises(VerifyError, match=str(unknown)):
            await verify(service.database, [unknown], NOW)


async def ids_of(database: Database) -> dict[str, UUID]:
    """Segments by name."""
    async with database.transaction() as connection:
        rows = await connection.execute(text("SELECT segment_name, id FROM customer_segments"))
        return {row.segment_name: row.id for row in rows}


@pytest.fixture
def command(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs `segments verify` on the test's database."""
    monkeypatch.setenv("SEGMENTS_DATABASE_URL", database_url)
    monkeypatch.setenv("SEGMENTS_KAFKA_BOOTSTRAP", "nowhere:9092")
    monkeypatch.setenv("SEGMENTS_CLOCK", instants.to_text(NOW))
    app = typer.Typer()
    app.command()(verify_command)
    return lambda *arguments: CliRunner().invoke(app, arguments)


@pytest.fixture
async def damaged(service: Service) -> Service:
    """A service that has lost a membership and miscounts a total."""
    for change in ("a membership is lost", "a total is changed"):
        statement = CHANGES[change][0]
        parameters = {"c1": customer_uuid("c1"), **await ids_of(service.database)}
        await service.run(statement, **{key: value for key, value in parameters.items() if f":{key}" in statement})
    return service


class TestCommand:
    """`segments verify`."""

    def test_sound(self, service: Service, command: Callable[..., Any]) -> None:
        """Without drift the exit code is 0 and the JSON has the contract's shape."""
        result = command("--json")

        found = json.loads(result.stdout)
        assert result.exit_code == 0
        assert {"id", "members", "drift", "examples"} <= found["segments"][0].keys()
        assert found["profiles"] == {"checked": 12, "drift": 0, "examples": []}
        assert found["overdue"] == 0

    def test_drift(self, command: Callable[..., Any], damaged: Service) -> None:
        """With drift the exit code is 1, with one sentence on stderr and examples on stdout."""
        result = command()

        assert result.exit_code == 1
        assert result.stderr == (
            "Drift: 1 memberships in 1 of 7 segments and 1 of 12 profiles do not follow from the facts.\n"
        )
        assert "french: c1 at" in result.stdout

    @pytest.mark.parametrize("arguments", [[], ["--json"]])
    def test_empty_database(self, database: Database, command: Callable[..., Any], arguments: list[str]) -> None:
        """With nothing stored there is nothing to find."""
        assert command(*arguments).exit_code == 0

    def test_unknown_segment(self, service: Service, command: Callable[..., Any]) -> None:
        """An unknown segment ends it with a sentence on stderr."""
        result = command("--segment", str(uuid4()))

        assert result.exit_code == 1
        assert result.stderr.startswith("No active dynamic or behavioral segment")
