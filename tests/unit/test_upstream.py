"""Segment calls and Shopify webhooks become the product's own events, as the golden files say."""

from __future__ import annotations

import fnmatch
import json
from itertools import permutations
from pathlib import Path
from typing import Any

import msgspec
import pytest

from service.core import identity, instants
from service.core.events.decode import Rejected, Rules, decode
from service.core.events.model import Event
from service.core.events.owner import owner_of
from service.core.profiles.ledger import Ledger, fact_of

NOW = instants.parse("2025-01-01T00:00:00Z")
RULES = Rules("USD", 1_000_000, False)
GOLDEN = sorted((Path(__file__).parents[1] / "golden").glob("*/*.json"))


def read(record: Any, headers: dict[str, str] | None = None, key: str | None = None) -> list[Event] | Event | Rejected:
    """What a record with these headers and this key is read as."""
    pairs = [(name, text.encode()) for name, text in (headers or {}).items()]
    return decode(json.dumps(record).encode(), pairs, RULES, NOW, None if key is None else key.encode())


def webhook(topic: str, body: dict[str, Any], key: str | None = None) -> list[Event]:
    """The events of a webhook that must be good."""
    found = read(body, {"x-shopify-topic": topic}, key)
    assert isinstance(found, list), found
    return found


def shown(event: Event) -> dict[str, Any]:
    """An event in the words of the golden files."""
    sequence = {} if event.sequence is None else {"sequence": event.sequence}
    at = instants.to_text(event.at)
    data = json.loads(msgspec.json.encode(event.data))
    return {"type": event.type, "id": event.id, "time": at, **sequence, "data": data}


def test_empty_ids_are_missing_ones() -> None:
    """A line or a code without any name is left out; the order it belongs to is not."""
    lines = [
        {"product_id": None, "sku": "", "title": "Tip", "price": "2.00"},
        {"product_id": "", "sku": "", "title": "", "name": None},
    ]
    body = {"id": 1, "customer": {"id": 7}, "currency": "USD", "total_price": "9.00"}
    times = dict.fromkeys(("created_at", "processed_at", "updated_at"), "2024-05-01T10:00:00Z")
    order = webhook("orders/create", {**body, **times, "line_items": lines, "discount_codes": [{"code": ""}]})[0]
    products = [{"product_id": "", "sku": "x"}, {"variant": "red"}]
    call = {"type": "track", "event": "Order Completed", "messageId": "m", "userId": "u"}
    bought = {"order_id": "1", "total": 9, "products": products}
    track = read({**call, "timestamp": times["created_at"], "properties": bought})

    assert [one["product_id"] for one in shown(order)["data"]["items"]] == ["Tip"]
    assert not shown(order)["data"].get("discount_codes")
    assert isinstance(track, list), track
    assert [one["product_id"] for one in shown(track[0])["data"]["items"]] == ["x"]


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_golden(path: Path) -> None:
    """Each record of the folder means exactly the events, or the dead letter, that its file says."""
    golden = json.loads(path.read_text())
    found = read(golden["record"], golden.get("headers"), golden.get("key"))

    if "rejected" in golden:
        assert isinstance(found, Rejected), found
        assert found.reason == golden["rejected"]["reason"]
        assert found.error.startswith(golden["rejected"]["error"])
        assert found.error.endswith(".")
        return
    assert isinstance(found, list), found
    assert len(found) == len(golden["events"])
    for event, wanted in zip(found, golden["events"], strict=True):
        one = shown(event)
        assert fnmatch.fnmatchcase(one["id"], wanted["id"])
        assert {**one, "id": wanted["id"]} == wanted
        customer = wanted["data"]["customer_id"]
        assert event.customer_id == (identity.GUEST if customer is None else identity.customer_uuid(customer))


ORDER: dict[str, Any] = {
    "id": 1,
    "created_at": "2024-05-01T10:00:00Z",
    "currency": "USD",
    "customer": {"id": 7},
    "line_items": [{"product_id": 5, "quantity": 1}],
}
REFUND = {"id": 9, "created_at": "2024-05-03T10:00:00Z"}


def transaction(status: str) -> dict[str, str]:
    """A refund of 4.00 that is under way, or done."""
    return {"kind": "refund", "status": status, "amount": "4.00", "currency": "USD"}


class TestConverges:
    """Snapshots in any order, any number of times."""

    def test_snapshots_in_any_order(self) -> None:
        """The newest snapshot wins, the order's date stays, what was placed is what orders/create said."""
        snapshots = [
            ("orders/create", {**ORDER, "updated_at": "2024-05-01T10:00:00Z", "total_price": "10.00"}),
            ("orders/edited", {**ORDER, "updated_at": "2024-05-02T10:00:00Z", "total_price": "12.00"}),
            (
                "orders/updated",
                {
                    **ORDER,
                    "updated_at": "2024-05-03T10:00:00Z",
                    "total_price": "11.00",
                    "refunds": [{**REFUND, "transactions": [transaction("pending")]}],
                },
            ),
            (
                "orders/updated",
                {
                    **ORDER,
                    "updated_at": "2024-05-04T10:00:00Z",
                    "total_price": "11.00",
                    "line_items": [{"product_id": 6, "quantity": 1}],
                    "refunds": [{**REFUND, "transactions": [transaction("success")]}],
                },
            ),
        ]
        refund = ("refunds/create", {**REFUND, "order_id": 1, "transactions": [transaction("pending")]})
        ends = set()
        for some in permutations([*snapshots, refund]):
            facts = {}
            for topic, body in some + some[:2]:
                facts |= {event.id: fact_of(event) for event in webhook(topic, body, "7")}
            ledger = Ledger(is_complete=True, stored=facts.values())
            (order,) = ledger.contributions()
            placed = max((one.stamp, one.minor_units) for one in facts.values() if getattr(one, "kind", "") == "placed")
            ends.add((order.at, order.amount, order.total, order.items[0].product_id, placed[1], frozenset(facts)))

        assert len(ends) == 1
        ((at, amount, total, product, first, _),) = ends
        assert (instants.to_text(at), amount, total, product) == ("2024-05-01T10:00:00Z", 700, 1_100, "6")
        assert first == 1_000

    def test_repeats_have_the_same_ids(self) -> None:
        """Another webhook of the same snapshot adds nothing; another state does."""
        body = {**ORDER, "updated_at": "2024-05-02T10:00:00Z", "total_price": "10.00"}
        paid = [event.id for event in webhook("orders/paid", body)]

        assert [event.id for event in webhook("orders/fulfilled", {**body, "note": "x"})] == paid
        assert webhook("orders/paid", {**body, "total_price": "11.00"})[1].id != paid[1]

    def test_one_bad_part_makes_all_of_it_bad(self) -> None:
        """A record whose refund cannot be used is a dead letter as a whole."""
        body = {**ORDER, "total_price": "1.00", "refunds": [{"id": 1}]}
        found = read(body, {"x-shopify-topic": "orders/updated"})

        assert isinstance(found, Rejected)
        assert found.error == "refunds[0].created_at: is missing."


class TestDetection:
    """Which records are of which format."""

    def test_cloudevents_come_first(self) -> None:
        """A CloudEvent is one whatever headers stand beside it."""
        event = {"specversion": "1.0", "id": "e", "type": "customer.logged_in", "time": "2024-05-01T10:00:00Z"}
        found = read({**event, "data": {"customer_id": "c"}, "messageId": "m"}, {"x-shopify-topic": "orders/create"})

        assert isinstance(found, Event)

    @pytest.mark.parametrize(
        "record",
        [
            {"type": "track", "event": "Order Completed"},
            {"type": "buy", "messageId": "m"},
            {"type": ["track"], "messageId": "m"},
            {"topic": "orders", "payload": {}},
            {"topic": 5, "payload": {}},
            {"payload": {"id": 5}},
            [],
            5,
        ],
    )
    def test_anything_else_is_no_event(self, record: Any) -> None:
        """What has neither form is told that it is no CloudEvent."""
        found = read(record)

        assert isinstance(found, Rejected)
        assert (found.reason, found.error[:30]) == ("invalid_data", "The record is no CloudEvent: i")

    def test_content_type_of_cloudevents(self) -> None:
        """What says it is a CloudEvent is not read as anything else."""
        call = {"type": "track", "event": "x", "messageId": "m", "userId": "u", "timestamp": "2024-05-01T10:00:00Z"}

        assert isinstance(read(call), list)
        assert isinstance(read(call, {"content-type": "application/cloudevents+json"}), Rejected)

    def test_trace(self) -> None:
        """The record's trace goes with every event of it."""
        trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        body = {**ORDER, "updated_at": "2024-05-02T10:00:00Z", "total_price": "10.00"}
        found = read(body, {"x-shopify-topic": "orders/paid", "traceparent": trace})

        assert isinstance(found, list)
        assert [event.trace for event in found] == [trace, trace]


@pytest.mark.parametrize(
    ("record", "headers", "key", "owner"),
    [
        ({"type": "track", "userId": 42}, {}, None, "42"),
        ({"type": "track", "userId": "u", "properties": {"order_id": "o"}}, {}, "k", "u"),
        ({"id": 1, "customer": {"email": "a@b", "id": 7}}, {"X-Shopify-Topic": "orders/paid"}, "k", "7"),
        ({"topic": "orders/paid", "payload": {"id": 1, "customer": {"id": "gid://shopify/Customer/7"}}}, {}, None, "7"),
        ({"id": 7, "email": None}, {"x-shopify-topic": "customers/update"}, None, "7"),
        ({"shop_id": 3, "customer": {"id": 7}}, {"x-shopify-topic": "customers/redact"}, None, "7"),
        ({"id": 1, "order_id": 2}, {"x-shopify-topic": "refunds/create"}, "gid://shopify/Customer/7", "7"),
        ({"id": 1, "customer": 5}, {"x-shopify-topic": "orders/paid"}, "k", "k"),
        ({"id": 1, "customer": None}, {"x-shopify-topic": "orders/paid"}, None, None),
    ],
)
def test_owner(record: Any, headers: dict[str, str], key: str | None, owner: str | None) -> None:
    """Erasure finds the dead letters of calls and webhooks by userId and customer.id."""
    pairs = [(name, text.encode()) for name, text in headers.items()]
    found = owner_of(json.dumps(record).encode(), None if key is None else key.encode(), pairs)

    assert found == (None if owner is None else identity.customer_uuid(owner))


def test_owner_of_a_torn_webhook() -> None:
    """Also where the JSON was cut off."""
    torn = b'{"id": 1, "customer": {"email": "a@b.example", "id": 7, "default_address": {"id'

    assert owner_of(torn, None, [("X-Shopify-Topic", b"orders/paid")]) == identity.customer_uuid("7")
