"""Verify finds what does not follow from behaviour, other segments, pins, orders, limits, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from uuid import UUID

import pytest

from service.adapters.postgres.criteria_sql import Statement
from service.adapters.postgres.known_segments import Segments
from service.adapters.postgres.verify_members import membership_statement
from service.app.verify import KeptSegment, VerifyError
from service.core.identity import customer_uuid
from tests.integration.verify.language import Shop
from tests.integration.verify.support import damage, drift_of

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
        await damage(shop, statement, given)

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
