"""Explanations from stored facts: each condition, since when, and when time alone will change it."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from typer.testing import CliRunner

from service.adapters.postgres.database import Database
from service.adapters.postgres.explain import PostgresExplain
from service.adapters.postgres.segments import PostgresSegments
from service.app import explain as use_case
from service.app.explain import CustomerMissing, ExplainError, explain, find_evidence
from service.app.segments import read_segment
from service.cli.main import app
from service.core import instants
from service.core.criteria.scalar_facts import Life
from service.core.events.decode import decode
from service.core.events.model import Event
from service.core.identity import customer_uuid
from tests.facts import Service
from tests.lives import life_of

DAY, HOUR = instants.DAY, instants.HOUR
START = instants.parse("2024-03-01T00:00:00Z")
NOW = START + 20 * DAY


def event(number: int, kind: str, at: int, customer: str | None = "ada", **data: Any) -> bytes:
    """An event as it comes from Kafka; `at` is microseconds after START."""
    envelope = {"specversion": "1.0", "id": f"e{number}", "type": kind, "time": instants.to_text(START + at)}
    if number % 3 == 0:
        envelope["sequence"] = str(number)
    return json.dumps({**envelope, "data": {"customer_id": customer, **data}}).encode()


def order(number: int, kind: str, at: int, order_id: str, customer: str | None = "ada", **data: Any) -> bytes:
    """An event of an order."""
    return event(number, f"order.{kind}", at, customer, order_id=order_id, currency="EUR", **data)


ITEMS = [{"product_id": "p1", "category": "books", "quantity": 1, "unit_price": 9.5}, {"product_id": "p2"}]
WIDE = {"wide": 10**30, "exact": 0.1, "yes": True, "nothing": None}
HISTORY = [
    event(19, "customer.activity", 0, name="other"),
    event(1, "customer.registered", HOUR, location={"country": "France"}, traits={"n": 5, "s": "a"}, email="a@b.c"),
    event(2, "customer.updated", DAY, traits=WIDE, customer_type="business"),
    event(3, "customer.updated", 2 * DAY, traits=None, location=None, email_subscribed=True),
    event(4, "customer.updated", 3 * DAY, traits={"n": 1.5}, location={"city": "Lyon"}),
    event(5, "customer.logged_in", 10 * DAY),
    order(6, "placed", 4 * DAY, "o1", total="100.10", items=ITEMS),
    order(7, "placed", 12 * DAY, "o2", total=50, items=[]),
    order(8, "updated", 12 * DAY + HOUR, "o2", total=60),
    order(21, "updated", 12 * DAY + HOUR, "o2", total=61),
    order(9, "updated", 12 * DAY + 2 * HOUR, "o2", items=ITEMS[1:], status="packed"),
    order(10, "refunded", 13 * DAY, "o1", refund_id="r1", amount="0.10"),
    event(11, "order.refunded", 13 * DAY, refund_id="r2", order_id=None, currency="EUR", amount=5),
    order(12, "placed", 14 * DAY, "o3", total=999, test=True),
    order(13, "placed", 14 * DAY, "o4", total=999),
    event(14, "order.cancelled", 15 * DAY, order_id="o4"),
    event(15, "customer.activity", 16 * DAY, name="view", properties={"price": 1.25, "kind": "a", "yes": True}),
    event(16, "customer.activity", 17 * DAY, name="view", properties={"price": 3}),
    event(17, "customer.activity", 17 * DAY, name="view"),
    event(18, "customer.activity", 18 * DAY, name="buy", properties=None),
]
SEGMENTS = {
    "everybody": {},
    "logins": {"last_login": {"operator": "within_last", "days": 15}},
    "quiet": {"last_login": {"operator": "more_than_ago", "days": 15}},
    "spenders": {"total_spent": {"operator": "gte", "value": "100", "window": {"days": 30}}},
    "shoppers": {"purchased_categories": {"any": ["books", "toys"], "window": {"days": 30}}},
    "mixed": {
        "any": [
            {"total_orders": {"operator": "eq", "value": 1, "window": {"days": 30}}},
            {"all": [{"email_subscribed": True}, {"not": {"last_login": {"operator": "within_last", "days": 60}}}]},
        ]
    },
    "never": {"customer_type": "individual"},
    "viewers": {"activity": {"name": "view", "count": {"operator": "gte", "value": 2}, "window": {"days": 5}}},
    "converted": {
        "activity": {"name": "view"},
        "sequence": {"steps": [{"activity": {"name": "other"}}, {"activity": {"name": "buy"}}], "within": {"days": 20}},
    },
    "abandoned": {
        "sequence": {
            "steps": [{"activity": {"name": "view"}}, {"order": {}, "not": True}],
            "within": {"days": 10},
        }
    },
}


@pytest.fixture
async def service(database: Database) -> Service:
    """A service with definitions and one customer's history applied, timers fired."""
    made = Service(database, "EUR")
    made.ids = await made.define([{"key": key, "criteria": criteria} for key, criteria in SEGMENTS.items()])
    await made.take(HISTORY, NOW, size=5)
    await made.fire(NOW)
    return made


async def explained(service: Service, segment: str | UUID, customer: str = "ada", now: int = NOW) -> dict[str, Any]:
    """The explanation."""
    segment_id = service.ids[segment] if isinstance(segment, str) else segment
    async with service.database.snapshot() as connection:
        found = await read_segment(PostgresSegments(connection), segment_id)
        evidence = await find_evidence(PostgresExplain(connection), customer, found)
    return explain(evidence, now)


async def insert(service: Service, criteria: dict, **columns: Any) -> UUID:
    """A segment as no use case makes it, and outside the hot path."""
    segment_id = uuid4()
    values = {"segment_type": "dynamic", "status": "active", "is_deleted": False, **columns}
    await service.run(
        """
        INSERT INTO customer_segments (id, segment_name, segment_type, status, criteria, version, introduced, since,
                                       created_by, is_deleted)
        VALUES (:id, 'by hand', :segment_type, :status, CAST(:criteria AS jsonb), 1, 0, 0, 't', :is_deleted)
        """,
        id=segment_id,
        criteria=json.dumps(criteria),
        **values,
    )
    return segment_id


async def pin(service: Service, segment_id: UUID, is_included: bool, customer: str = "ada") -> None:
    """A pin, by SQL alone."""
    await service.run(
        """
        INSERT INTO pins (customer_id, segment_id, is_included, source, created_by)
        VALUES (:c, :s, :i, 'manual', 't')
        """,
        c=customer_uuid(customer),
        s=segment_id,
        i=is_included,
    )


class TestFacts:
    """Rows become the facts that their events are."""

    async def test_rows_say_what_the_events_said(self, service: Service) -> None:
        """Whatever instant is asked for, stored rows and decoded events give the same figures, exactly."""
        async with service.database.snapshot() as connection:
            facts = await PostgresExplain(connection).facts(customer_uuid("ada"), {"view", "buy", "other"}, 1_000)
        decoded = [decode(line, (), service.rules, NOW) for line in HISTORY]
        stored, told = Life(facts), life_of(one for one in decoded if isinstance(one, Event))

        assert len(facts) == len(HISTORY)
        for day in range(21):
            assert stored.known(START + day * DAY) == told.known(START + day * DAY)
        attributes = stored.known(START + 2 * DAY - 1).attributes
        assert (attributes["traits.wide"], attributes["traits.exact"]) == (10**30, Decimal("0.1"))

    async def test_only_activities_that_are_asked_for(self, service: Service) -> None:
        """Of other activities the first alone is read: it may be what the customer exists by."""
        await service.take([event(100 + n, "customer.activity", n, "bob", name=f"x{n}") for n in range(9)], NOW)
        async with service.database.snapshot() as connection:
            store = PostgresExplain(connection)
            names = {fact.name for fact in await store.facts(customer_uuid("bob"), {"x5"}, 1_000)}
            some = await store.facts(customer_uuid("ada"), {"view"}, 3)

        assert names == {"x0", "x5"}
        assert len(some) > 3
        assert (await explained(service, "everybody", "bob"))["member"]


class TestConditions:
    """Each condition with its path, value and verdict."""

    async def test_every_leaf(self, service: Service) -> None:
        """Conditions come in their order, inside groups too, as they stand in the criteria."""
        answer = await explained(service, "mixed")

        assert answer["predicates"] == [
            {
                "path": "criteria.any[0].total_orders",
                "criteria": {"total_orders": {"operator": "eq", "value": 1, "window": {"days": 30}}},
                "value": 2,
                "verdict": False,
            },
            {
                "path": "criteria.any[1].all[0].email_subscribed",
                "criteria": {"email_subscribed": True},
                "value": True,
                "verdict": True,
            },
            {
                "path": "criteria.any[1].all[1].not.last_login",
                "criteria": {"last_login": {"operator": "within_last", "days": 60}},
                "value": "2024-03-11T00:00:00Z",
                "verdict": True,
            },
        ]

    async def test_values(self, service: Service) -> None:
        """Values are those of now: money as text, counts whole, names that matched, instants of a sequence."""
        values = {key: [one["value"] for one in (await explained(service, key))["predicates"]] for key in SEGMENTS}

        assert values["spenders"] == ["156.00"]
        assert values["shoppers"] == [["books"]]
        assert values["viewers"] == [3]
        assert values["abandoned"] == [None]
        assert values["converted"] == [3, ["2024-03-01T00:00:00Z", "2024-03-19T00:00:00Z"]]
        assert values["never"] == ["business"]
        assert values["everybody"] == []

    async def test_nothing_contradicts_what_is_stored(self, service: Service) -> None:
        """By facts and as stored the customer is the same, so that no note says otherwise."""
        for key in SEGMENTS:
            answer = await explained(service, key)
            assert answer["notes"] == [], key
            assert answer["pin"] is None


class TestTime:
    """Since when, and when it will change."""

    async def test_instants(self, service: Service) -> None:
        """Since is the stored instant, of the latest leaving too; changes_at is exactly t + W, or null for never."""
        found = {}
        for key in SEGMENTS:
            answer = await explained(service, key)
            days = [
                None if at is None else (instants.parse(at) - START) / DAY
                for at in map(answer.get, ("since", "changes_at"))
            ]
            found[key] = (answer["member"], *days)

        assert found == {
            "everybody": (True, 0, None),
            "logins": (True, 10, 25),
            "quiet": (False, None, 25),
            "spenders": (True, 4, 34),
            "shoppers": (True, 4, 34),
            "mixed": (False, 12, 34),
            "never": (False, None, None),
            "viewers": (True, 17, 22),
            "converted": (True, 18, None),
            "abandoned": (False, None, 26),
        }

    async def test_the_walk_of_changes(self, service: Service) -> None:
        """From change to change of any segment the answers follow the stored membership, until nothing changes."""
        now, seen = NOW, set()
        while changes := {
            key: found for key in SEGMENTS if (found := (await explained(service, key, now=now))["changes_at"])
        }:
            was = {key: (await explained(service, key, now=now))["member"] for key in SEGMENTS}
            now = instants.parse(min(changes.values()))
            await service.fire(now)
            for key, is_member in was.items():
                is_due = key in changes and instants.parse(changes[key]) == now
                answer = await explained(service, key, now=now)
                assert (answer["member"] is not is_member) is is_due, (key, now)
                assert answer["notes"] == []
            seen.add(now)

        assert len(seen) == 6
        await service.fire(now + 1_000 * DAY)
        assert [(await explained(service, key, now=now + 1_000 * DAY))["notes"] for key in SEGMENTS] == [[]] * len(
            SEGMENTS
        )

    async def test_events_that_wait_for_their_time(self, service: Service) -> None:
        """A fact whose time has not come changes the membership when it comes."""
        service.rules = service.rules._replace(is_clock_fixed=False)
        await service.take([event(200, "customer.updated", 20 * DAY + HOUR // 60, customer_type="individual")], NOW)
        answer = await explained(service, "never")

        assert answer["changes_at"] == instants.to_text(NOW + HOUR // 60)
        assert answer["predicates"][0]["value"] == "business"
        await service.fire(NOW + HOUR)
        assert (await explained(service, "never", now=NOW + HOUR))["since"] == answer["changes_at"]

    async def test_a_timer_that_has_not_fired(self, service: Service) -> None:
        """Where what is stored lags behind the facts, the answer says so."""
        answer = await explained(service, "logins", now=START + 25 * DAY)

        assert (answer["member"], answer["predicates"][0]["verdict"]) == (True, False)
        assert len(answer["notes"]) == 1
        assert "the customer is out, and stored as in" in answer["notes"][0]

    async def test_too_many_instants(self, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where not all instants are looked at the answer says so instead of claiming that nothing changes."""
        monkeypatch.setattr(use_case, "LOOKS_MAX", 0)
        answer = await explained(service, "logins")
        nothing = await explained(service, "never")

        assert answer["changes_at"] is None
        assert "too many instants" in answer["notes"][0]
        assert nothing["notes"] == []


class TestOtherSegments:
    """member_of, pins, static segments, drafts."""

    async def test_the_change_of_another_segment(self, service: Service) -> None:
        """A change of a segment that is named, however far away, is a change of this one."""
        inner = await insert(service, {"not_member_of": str(service.ids["logins"])})
        outer = await insert(service, {"member_of": str(inner)})
        answer = await explained(service, outer)

        assert answer["changes_at"] == instants.to_text(START + 25 * DAY)
        assert answer["predicates"][0]["value"] is False
        assert (await explained(service, inner))["predicates"] == [
            {
                "path": "criteria.not_member_of",
                "criteria": {"not_member_of": str(service.ids["logins"])},
                "value": True,
                "verdict": False,
            }
        ]

    async def test_pins_of_other_segments(self, service: Service) -> None:
        """A pin decides whatever the criteria say, and time changes nothing about it."""
        await pin(service, service.ids["logins"], is_included=False)
        segment = await insert(service, {"member_of": str(service.ids["logins"])})
        answer = await explained(service, segment)

        assert answer["predicates"][0]["value"] is False
        assert answer["changes_at"] is None

    @pytest.mark.parametrize(("is_included", "word"), [(True, "included"), (False, "excluded")])
    async def test_own_pin(
        self, service: Service, monkeypatch: pytest.MonkeyPatch, is_included: bool, word: str
    ) -> None:
        """A pinned customer's conditions are shown, and nothing changes by time, so that nobody looks for it."""
        monkeypatch.setattr(use_case, "LOOKS_MAX", 0)
        await pin(service, service.ids["logins"], is_included)
        answer = await explained(service, "logins")

        assert (answer["pin"], answer["changes_at"]) == (word, None)
        assert answer["predicates"][0]["verdict"] is True
        assert "pinned" in answer["notes"][0]
        assert "too many" not in answer["notes"][-1]

    async def test_kinds_of_other_segments(self, service: Service) -> None:
        """Drafts, archived and deleted segments have no members; a static one only those who are pinned."""
        kinds: list[tuple[dict, bool, bool]] = [
            ({}, True, True),
            ({"segment_type": "behavioral"}, True, True),
            ({"segment_type": "static"}, False, True),
            ({"status": "draft"}, False, False),
            ({"status": "archived"}, False, False),
            ({"is_deleted": True}, False, False),
        ]
        for columns, is_member, is_member_by_pin in kinds:
            named = await insert(service, {}, **columns)
            segment = await insert(service, {"member_of": str(named)})
            before = await explained(service, segment)
            await pin(service, named, is_included=True)
            after = await explained(service, segment)

            assert before["predicates"][0]["value"] is is_member, columns
            assert after["predicates"][0]["value"] is is_member_by_pin, columns

    async def test_a_long_chain(self, service: Service) -> None:
        """Segments that name one another many times over are each judged once."""
        last = service.ids["logins"]
        for _ in range(300):
            last = await insert(service, {"any": [{"member_of": str(last)}, {"not": {"not_member_of": str(last)}}]})
        answer = await explained(service, last)

        assert [one["verdict"] for one in answer["predicates"]] == [True, False]
        assert answer["changes_at"] == instants.to_text(START + 25 * DAY)

    async def test_segments_without_members(self, service: Service) -> None:
        """A draft or archived segment has no members, whatever its conditions say, and the answer says so."""
        for status in ("draft", "archived"):
            await service.run("UPDATE customer_segments SET status = :status", status=status)
            answer = await explained(service, "logins")

            assert (answer["member"], answer["changes_at"]) == (False, None)
            assert answer["predicates"][0]["verdict"] is True
            assert len(answer["notes"]) == 1
            assert status in answer["notes"][0]

    async def test_a_draft_that_names_others(self, service: Service) -> None:
        """The conditions of a draft are judged by the segments that it names, and time changes nothing yet."""
        draft = await insert(service, {"member_of": str(service.ids["logins"])}, status="draft")
        answer = await explained(service, draft)

        assert (answer["predicates"][0]["value"], answer["changes_at"]) == (True, None)

    async def test_static(self, service: Service) -> None:
        """A static segment has no conditions; who is pinned is a member, known or not."""
        segment = await insert(service, {}, segment_type="static")
        before = await explained(service, segment)
        await pin(service, segment, is_included=True)
        await pin(service, segment, True, "stranger")
        ordinal = {"segment": segment, "at": instants.to_datetime(NOW)}
        for customer in ("ada", "stranger"):
            await service.run(
                """
                INSERT INTO customer_segment_memberships
                    (customer_id, segment_id, ordinal, joined_at, membership_source, segment_version)
                VALUES (:customer, :segment, 1, :at, 'manual', 1)
                """,
                customer=customer_uuid(customer),
                **ordinal,
            )
        after = [await explained(service, segment, customer) for customer in ("ada", "stranger")]

        assert (before["member"], before["since"], before["pin"], before["predicates"]) == (False, None, None, [])
        assert "static" in before["notes"][0]
        for answer in after:
            assert (answer["member"], answer["pin"], answer["changes_at"]) == (True, "included", None)
            assert answer["since"] == instants.to_text(NOW)

    async def test_pinned_without_events(self, service: Service) -> None:
        """Nobody without events satisfies a condition."""
        await pin(service, service.ids["everybody"], True, "stranger")
        answer = await explained(service, "never", "stranger")

        assert (answer["member"], answer["predicates"][0]["verdict"]) == (False, False)
        assert "No event" in answer["notes"][0]


class TestRefused:
    """What cannot be explained."""

    async def test_unknown_customers(self, service: Service) -> None:
        """Ids that nobody has heard of, impossible ids and guests are unknown."""
        await service.take([order(300, "placed", 0, "g", None, total=5)], NOW)
        for customer in ("bob", "", "x" * 129, "\ud800", str(UUID(int=0)), str(uuid4())):
            with pytest.raises(CustomerMissing, match="no customer"):
                await explained(service, "everybody", customer)

    async def test_erased(self, service: Service) -> None:
        """Of an erased customer nothing is said but that."""
        await service.take([event(301, "customer.deleted", 20 * DAY)], NOW)

        with pytest.raises(CustomerMissing, match="erased"):
            await explained(service, "everybody")

    async def test_too_many_facts(self, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
        """Beyond a limit nothing is explained."""
        monkeypatch.setattr(use_case, "FACTS_MAX", 5)

        with pytest.raises(ExplainError, match="more than 5 facts"):
            await explained(service, "everybody")

    async def test_by_uuid(self, service: Service) -> None:
        """A customer may be named by UUID."""
        assert await explained(service, "mixed", str(customer_uuid("ada")).upper()) == await explained(service, "mixed")

    async def test_over_limit(self, service: Service) -> None:
        """Who is beyond the limits of a profile is told."""
        await service.run("UPDATE profiles SET is_over_limit = true")

        assert "stand still" in (await explained(service, "logins"))["notes"][0]


@pytest.fixture
def command(service: Service, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs `segments explain` on this test's database."""
    monkeypatch.setenv("SEGMENTS_DATABASE_URL", database_url)
    monkeypatch.setenv("SEGMENTS_KAFKA_BOOTSTRAP", "unused:9092")
    monkeypatch.setenv("SEGMENTS_CLOCK", instants.to_text(NOW))
    return lambda *arguments: CliRunner().invoke(app, ["explain", *arguments])


class TestCommand:
    """`segments explain`."""

    def test_json(self, service: Service, command: Callable[..., Any]) -> None:
        """The JSON has the contract's shape, numbers exact."""
        result = command("ada", "viewers", "--json")
        found = json.loads(result.stdout)

        assert result.exit_code == 0, result.output
        assert found == {
            "member": True,
            "since": "2024-03-18T00:00:00Z",
            "changes_at": "2024-03-23T00:00:00Z",
            "pin": None,
            "notes": [],
            "predicates": [
                {
                    "path": "criteria.activity",
                    "criteria": {"activity": SEGMENTS["viewers"]["activity"]},
                    "value": 3,
                    "verdict": True,
                }
            ],
        }

    def test_table(self, service: Service, command: Callable[..., Any]) -> None:
        """People get a table and sentences."""
        result = command("ada", str(service.ids["mixed"]))

        assert result.exit_code == 0, result.output
        lines = result.stdout.splitlines()
        assert any("no" in line and "criteria.any[0].total_orders" in line and "2" in line for line in lines)
        assert any("yes" in line and "email_subscribed" in line for line in lines)
        assert "The customer is out since 2024-03-13T00:00:00Z." in result.stdout
        assert "Time alone changes that at 2024-04-04T00:00:00Z." in result.stdout

    def test_never_in(self, service: Service, command: Callable[..., Any]) -> None:
        """Without any membership so far the sentence says so."""
        result = command("ada", "never")

        assert "out, and never was in." in result.stdout
        assert "No change by time alone is in sight." in result.stdout

    def test_errors(self, command: Callable[..., Any]) -> None:
        """An expected error is one sentence on stderr and exit code 1."""
        for arguments, sentence in (
            (("bob", "mixed"), 'There is no customer "bob"'),
            (("ada", "nothing"), 'There is no segment with the id or name "nothing"'),
            (("ada", str(uuid4())), "There is no segment"),
        ):
            result = command(*arguments)

            assert result.exit_code == 1
            assert result.stdout == ""
            assert result.stderr.startswith(sentence)
            assert len(result.stderr.strip().splitlines()) == 1
