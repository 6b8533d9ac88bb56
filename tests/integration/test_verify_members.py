"""Verify on what the whole language adds: behaviour, other segments, pins, static segments, orders, limits."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from service.adapters.postgres.criteria_sql import Statement
from service.adapters.postgres.database import Database
from service.adapters.postgres.known_segments import Segments
from service.adapters.postgres.segments import PostgresSegments
from service.adapters.postgres.verify import verify
from service.adapters.postgres.verify_members import held_after, membership_statement
from service.app.pins import ADD, REMOVE, UNPIN, PinChange, pin_customers, read_ids
from service.app.segment_changes import create_segment, update_segment
from service.app.segments import NewSegment, SegmentChange
from service.app.verify import KeptSegment, Report, VerifyError
from service.core import instants
from service.core.identity import customer_uuid
from service.core.profiles.codec import encode_state
from service.core.profiles.profile import Profile
from tests.facts import Service
from tests.integration.test_verify import drift_of, event
from tests.world import AUTHOR

DAY = instants.DAY
NOW = instants.parse("2024-06-01T00:00:00Z")
ORDER = {"currency": "EUR", "total": 60, "items": [{"product_id": "p", "category": "books"}, {"product_id": "q"}]}
VIEWS = {"activity": {"name": "view", "window": {"days": 30}, "count": {"operator": "gte", "value": 2}}}
STEPS = [{"activity": {"name": "view"}}, {"order": {}, "not": True}]
LAPSED = {"sequence": {"steps": STEPS, "within": {"days": 2}}}


def now() -> int:
    """A clock that stands still."""
    return NOW


def history() -> list[bytes]:
    """Six customers: two views each at various ages; every second one ordered the day after the first."""
    lines = []
    for number in range(6):
        customer, at = f"c{number}", NOW - (59 - 10 * number) * DAY
        lines += [
            event(number * 10, "customer.registered", at, customer, traits={"tier": "gold"}),
            event(number * 10 + 1, "customer.activity", at, customer, name="view", properties={"n": number}),
            event(number * 10 + 2, "customer.activity", at + 5 * DAY, customer, name="view", properties={"n": 1}),
        ]
        if number % 2:
            lines.append(event(number * 10 + 3, "order.placed", at + DAY, customer, order_id="o", **ORDER))
    return lines


class Shop(Service):
    """The use cases with definitions made and changed as the API does."""

    ids: dict[str, UUID]

    async def create(self, name: str, criteria: Any = None) -> str:
        """A new segment, static without criteria, and its backfill; gives its id."""
        new = NewSegment(name, criteria, segment_type="static" if criteria is None else "dynamic")
        async with self.database.transaction() as connection:
            self.ids[name] = (await create_segment(PostgresSegments(connection), now, AUTHOR, new)).id
        await self.settle()
        return str(self.ids[name])

    async def change(self, name: str, **changes: Any) -> None:
        """Changes a segment; its backfill waits."""
        async with self.database.transaction() as connection:
            store = PostgresSegments(connection)
            await update_segment(store, now, AUTHOR, self.ids[name], SegmentChange(**changes), is_silent=False)

    async def settle(self) -> None:
        """Ends all backfills."""
        await self.backfill(NOW)
        await self.run("UPDATE customer_segments SET backfill_state = 'done', is_kept = status = 'active'")

    async def pin(self, name: str, action: str, *customers: str) -> None:
        """Adds or removes by hand."""
        change = PinChange(self.ids[name], action, AUTHOR, NOW)
        await pin_customers(self.batches, now, change, read_ids(list(customers)))

    async def verify(self, *names: str) -> Report:
        """The report on these segments, or on all."""
        return await verify(self.database, [self.ids[name] for name in names] or None, NOW)

    async def members(self) -> dict[str, str]:
        """Open memberships by segment."""
        found = dict.fromkeys(self.ids, "")
        async with self.database.transaction() as connection:
            rows = await connection.execute(text(MEMBERS))
            return found | {row[0]: row[1] for row in rows}


MEMBERS = """
SELECT segment_name, string_agg(external_id, ' ' ORDER BY external_id)
FROM customer_segment_memberships m JOIN customer_segments s ON s.id = m.segment_id JOIN customers USING (customer_id)
WHERE left_at IS NULL
GROUP BY segment_name
"""


@pytest.fixture
async def shop(database: Database) -> Shop:
    """Segments of every kind, events, pins and timers fired; `stranger` is known by a pin alone."""
    made = Shop(database, "EUR")
    made.ids = {}
    await made.take(history(), NOW, size=5)
    views, listed = await made.create("views", VIEWS), await made.create("listed")
    await made.create("lapsed", LAPSED)
    await made.create("neither", {"not_member_of": views, "all": [{"not_member_of": listed}]})
    await made.create("others", {"not_member_of": views})
    await made.create("listed views", {"member_of": views, "any": [{"member_of": listed}]})
    await made.pin("listed", ADD, "c5", "c0", "stranger")
    await made.pin("views", ADD, "c1")
    await made.pin("views", REMOVE, "c4")
    await made.fire(NOW)
    return made


class TestSound:
    """What the service wrote follows from facts and pins."""

    async def test_nothing_drifts(self, shop: Shop) -> None:
        """Behaviour, references, pins and customers without facts are sound."""
        report = await shop.verify()

        assert await shop.members() == {
            "views": "c1 c3 c5",
            "listed": "c0 c5 stranger",
            "lapsed": "c0 c1 c2 c3 c4 c5",
            "neither": "c2 c4",
            "others": "c0 c2 c4",
            "listed views": "c5",
        }
        assert drift_of(report) == {}
        assert report.profiles.examples == {}
        assert report.profiles.checked == 7
        assert {one.segment.name: one.segment.members for one in report.segments}["listed"] == 3

    async def test_events_after_a_pin(self, shop: Shop) -> None:
        """Who was known by a pin alone and then by events is like everybody else."""
        await shop.take([event(900, "customer.activity", NOW, "stranger", name="view")], NOW)

        assert not (await shop.verify()).has_drift

    async def test_erasure_ends_pins(self, shop: Shop) -> None:
        """An erased customer is in nothing and leaves nothing."""
        await shop.take([event(900, "customer.deleted", NOW, "c5")], NOW)

        assert not (await shop.verify()).has_drift
        assert (await shop.members())["listed"] == "c0 stranger"

    async def test_pins_that_were_removed(self, shop: Shop) -> None:
        """Who was known by a pin alone and is not pinned any more leaves nothing unsound."""
        await shop.pin("listed", REMOVE, "stranger")

        assert not (await shop.verify()).has_drift
        assert (await shop.members())["listed"] == "c0 c5"

    async def test_changes_by_hand_before_timers(self, database: Database) -> None:
        """What was changed by hand holds as of then, though the customer has not been evaluated up to then."""
        made = Shop(database, "EUR")
        made.ids = {}
        views = await made.create("views", VIEWS)
        await made.create("neither", {"not_member_of": views})
        await made.take(history(), NOW)
        await made.pin("views", ADD, "c0", "c1")
        await made.pin("views", UNPIN, "c0")

        early = await made.verify()
        lost = customer_uuid("c2")
        await made.run("DELETE FROM customer_segment_memberships WHERE customer_id = :c2 AND left_at IS NULL", c2=lost)
        damaged = await made.verify()

        assert early.overdue > 0
        assert (await made.members())["neither"] == "c0"
        assert drift_of(early) == {}
        assert drift_of(damaged) == {"views": 1}

    async def test_archived_references(self, shop: Shop) -> None:
        """An archived segment has no members for others either."""
        await shop.change("listed", status="archived")
        await shop.settle()

        assert not (await shop.verify()).has_drift
        assert (await shop.members())["neither"] == "c0 c2 c4"

    async def test_backfill_of_a_reference(self, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
        """While the segment that others name is backfilled, of them too only the customers it has reached count."""
        monkeypatch.setattr("service.app.backfill.CUSTOMERS_MAX", 2)
        await shop.change("views", criteria={"activity": {"name": "view"}})
        await shop.backfill(NOW, slices=1)

        under_way = await shop.verify()
        await shop.run("UPDATE customer_segments SET backfill_state = 'done' WHERE backfill_state = 'running'")
        unfinished = await shop.verify()
        await shop.settle()
        done = await shop.verify()

        assert not under_way.has_drift
        assert {one.segment.name for one in under_way.segments if one.segment.is_backfilling} == {
            "views",
            "neither",
            "others",
            "listed views",
        }
        assert drift_of(unfinished).keys() == {"views", "neither", "others", "listed views"}
        assert not done.has_drift

    async def test_traits_that_are_null(self, shop: Shop) -> None:
        """A null for all traits removes each; those that come later stay."""
        lines = [
            event(900, "customer.updated", NOW - DAY, "c1", traits={"a": 1, "b": 2}),
            event(901, "customer.updated", NOW - 2, "c1", traits=None),
            event(902, "customer.updated", NOW - 1, "c1", traits={"b": 3}),
            event(903, "customer.updated", NOW - 1, "c2", traits=None),
        ]
        await shop.take(lines, NOW)

        assert not (await shop.verify()).has_drift
        await shop.run("UPDATE customers SET traits = '{}' WHERE customer_id = :id", id=customer_uuid("c1"))
        assert (await shop.verify()).profiles.examples == {"c1": ["traits: differs from the facts"]}


ERASED = "WITH gone AS (INSERT INTO erasures VALUES (:nobody)) "
PINNED = "INSERT INTO pins VALUES (:nobody, :listed, true, 'manual', 't', now())"
ORDERED = "INSERT INTO orders VALUES (:nobody, 'o', now(), 1, 1, '{}', '{}')"
#: What is done to a sound database by hand -> (drift by segment, faults by customer).
CHANGES: dict[str, tuple[str, dict[str, int], dict[str, str]]] = {
    "activities are lost": (
        "DELETE FROM activities WHERE customer_id = :c3",
        {"views": 1, "lapsed": 1, "neither": 1, "others": 1},
        {},
    ),
    "a deletion was not carried out": (
        """INSERT INTO customer_facts (customer_id, event_id, kind, data, time)
        VALUES (:c2, 'd', 'deleted', '{}', '2024-05-01 00:00:00+00')""",
        {"lapsed": 1, "neither": 1, "others": 1},
        {},
    ),
    "an order is lost": (
        "DELETE FROM order_facts WHERE customer_id = :c1",
        {},
        {"c1": "orders: 1 differ"},
    ),
    "a pin of a static segment is lost": (
        "DELETE FROM pins WHERE customer_id = :c5 AND segment_id = :listed",
        {"listed": 1, "listed views": 1},
        {},
    ),
    "an excluding pin is lost": (
        "DELETE FROM pins WHERE customer_id = :c4",
        {"views": 1, "neither": 1, "others": 1},
        {},
    ),
    "an including pin is lost": (
        "DELETE FROM pins WHERE customer_id = :c1",
        {"views": 1, "neither": 1, "others": 1},
        {},
    ),
    "a pin comes from nowhere": (
        "INSERT INTO pins VALUES (:c2, :listed, true, 'manual', 't', now())",
        {"listed": 1, "neither": 1},
        {},
    ),
    "a stranger's pin is lost": (
        "DELETE FROM pins WHERE customer_id = :stranger",
        {"listed": 1},
        {"stranger": "has a profile and no facts"},
    ),
    "a stranger's profile is lost": (
        "DELETE FROM profiles WHERE customer_id = :stranger",
        {"listed": 1},
        {"stranger": "has pins and no profile"},
    ),
    "a pin of somebody unheard of": (
        PINNED,
        {"listed": 1},
        {"nobody": "has pins and no profile"},
    ),
    "a stranger is in a dynamic segment by the count": (
        "UPDATE profiles SET ordinals = set_byte(ordinals, 0, 1) WHERE customer_id = :stranger",
        {"views": 1},
        {},
    ),
    "an erased customer's pin was left behind": (
        ERASED + PINNED,
        {},
        {"nobody": "erased, and has pins"},
    ),
    "an erased customer's orders were left behind": (
        ERASED + ORDERED,
        {},
        {"nobody": "erased, and has orders"},
    ),
    "orders of nobody": (ORDERED, {}, {"nobody": "has orders and no profile"}),
    "orders without a customer": (ORDERED.replace(":nobody", "'00000000-0000-0000-0000-000000000000'"), {}, {}),
    "a stored order is lost": ("DELETE FROM orders WHERE customer_id = :c1", {}, {"c1": "orders: 1 differ"}),
    "there are too many orders": (
        """INSERT INTO orders SELECT customer_id, n || 'x', now(), 1, 1, '{}', '{}'
        FROM orders, generate_series(1, 2) n WHERE customer_id = :c1""",
        {},
        {"c1": "orders: 2 differ"},
    ),
} | {
    f"an order's {change.split()[0]} is changed": (
        f"UPDATE orders SET {change} WHERE customer_id = :c1",  # noqa: S608 - a test's own words
        {},
        {"c1": "orders: 1 differ"},
    )
    for change in (
        "placed_at = placed_at + interval '1 microsecond'",
        "total = total + 1",
        "amount = amount - 1",
        "products = '{q,p}'",
        "categories = '{}'",
    )
}


class TestDrift:
    """What verify finds."""

    @pytest.mark.parametrize("name", CHANGES)
    async def test_changes_by_hand_are_found(self, shop: Shop, name: str) -> None:
        """Each damage shows in the segments and the customer it concerns, and nowhere else."""
        statement, drift, faults = CHANGES[name]
        names = ("c1", "c2", "c3", "c4", "c5", "stranger", "nobody")
        given: dict[str, UUID] = {**shop.ids, **{one: customer_uuid(one) for one in names}}
        await shop.run(statement, **{key: one for key, one in given.items() if f":{key}" in statement})

        report = await shop.verify()

        assert drift_of(report) == drift
        shown = {str(customer_uuid(one)): one for one in names}
        found = {shown.get(customer, customer): told for customer, told in report.profiles.examples.items()}
        assert found.keys() == faults.keys()
        assert all(fault in found[customer] for customer, fault in faults.items())

    async def test_who_is_over_the_limit_is_left_out(self, shop: Shop) -> None:
        """Of a customer with more than a profile keeps nothing is drift; the report counts them."""
        await shop.run("DELETE FROM customer_segment_memberships WHERE customer_id = :c3", c3=customer_uuid("c3"))
        await shop.run("DELETE FROM orders WHERE customer_id = :c3", c3=customer_uuid("c3"))
        await shop.run(
            "UPDATE profiles SET total_orders = 7, state = '' WHERE customer_id = :c3", c3=customer_uuid("c3")
        )
        before = await shop.verify()
        await shop.run("UPDATE profiles SET is_over_limit = true WHERE customer_id = :c3", c3=customer_uuid("c3"))

        report = await shop.verify()

        assert before.has_drift
        assert before.to_json()["over_limit"] == 0
        assert not report.has_drift
        assert report.to_json()["over_limit"] == 1

    async def test_one_segment_with_what_it_names(self, shop: Shop) -> None:
        """Asked for one segment, what it refers to counts and is not reported."""
        await shop.run("DELETE FROM pins WHERE customer_id = :c5", c5=customer_uuid("c5"))

        report = await shop.verify("listed views")

        assert [one.segment.name for one in report.segments] == ["listed views"]
        assert drift_of(report) == {"listed views": 1}

    async def test_many_portions(self, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
        """Divided into statements of few predicates, those of the segments named included, it finds the same."""
        monkeypatch.setattr("service.adapters.postgres.verify.PREDICATES_MAX", 3)
        portions: list[list[str]] = []

        def noted(segments: Sequence[KeptSegment], known: Segments, at: int) -> Statement:
            portions.append([one.name for one in segments])
            return membership_statement(segments, known, at)

        monkeypatch.setattr("service.adapters.postgres.verify.membership_statement", noted)
        await shop.run("DELETE FROM pins WHERE customer_id = :c5", c5=customer_uuid("c5"))

        assert drift_of(await shop.verify()) == {"listed": 1, "listed views": 1}
        assert portions == [["views", "listed", "lapsed"], ["neither"], ["others"], ["listed views"]]

    @pytest.mark.parametrize(
        ("criteria", "words"),
        [(lambda own: {"member_of": own}, "asks for its own members"), (lambda _: {"x": 1}, "cannot be read")],
    )
    async def test_unusable_segments(self, shop: Shop, criteria: Callable[[str], dict], words: str) -> None:
        """Stored criteria that cannot be used end it with a sentence that names the segment."""
        own = shop.ids["views"]
        await shop.run(
            "UPDATE customer_segments SET criteria = CAST(:criteria AS jsonb) WHERE id = :id",
            criteria=json.dumps(criteria(str(own))),
            id=own,
        )

        with pytest.raises(VerifyError, match=words):
            await shop.verify()


def test_changes_by_hand_hold_from_their_instant_on() -> None:
    """Only what was changed after the instant looked at is left alone; a damaged state says nothing."""
    profile = Profile(customer_uuid("c"), "c")
    profile.held = {3: 10, 5: 12}
    state = encode_state(profile)

    assert [sorted(held_after(state, at)) for at in (9, 10, 11, 12)] == [[3, 5], [5], [5], []]
    assert not held_after(b"damaged", 0)
    assert not held_after(None, 0)
