"""Verify finds nothing in what the service wrote from behaviour, other segments, pins, orders."""

from __future__ import annotations

import pytest

from service.adapters.postgres.database import Database
from service.adapters.postgres.verify_members import held_after
from service.app.pins import ADD, REMOVE, UNPIN
from service.core.identity import customer_uuid
from service.core.profiles.codec import encode_state
from service.core.profiles.profile import Profile
from tests.integration.support import event
from tests.integration.verify.language import DAY, NOW, VIEWS, Shop, history
from tests.integration.verify.support import drift_of


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


def test_changes_by_hand_hold_from_their_instant_on() -> None:
    """Only what was changed after the instant looked at is left alone; a damaged state says nothing."""
    profile = Profile(customer_uuid("c"), "c")
    profile.held = {3: 10, 5: 12}
    state = encode_state(profile)

    assert [sorted(held_after(state, at)) for at in (9, 10, 11, 12)] == [[3, 5], [5], [5], []]
    assert not held_after(b"damaged", 0)
    assert not held_after(None, 0)
