"""Stored rows become the facts that their events are; each condition has a path, a value and a verdict."""

from __future__ import annotations

from decimal import Decimal

from service.adapters.postgres.explain import PostgresExplain
from service.core.criteria.scalar_facts import Life
from service.core.events.decode import decode
from service.core.events.model import Event
from service.core.identity import customer_uuid
from tests.facts import Service
from tests.integration.explain.support import DAY, HISTORY, NOW, SEGMENTS, START, event, explained
from tests.lives import life_of


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
