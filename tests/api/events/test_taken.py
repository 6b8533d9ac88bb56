"""Events over HTTP, into a real Kafka: what is taken, and what is refused."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from service.api.events import BODY_BYTES_MAX
from service.app.tokens import Permission
from tests.api.events.support import PATH, Door, event
from tests.api.support import bearer, token

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class TestAccepted:
    """What reaches the topics."""

    async def test_to_the_right_topic_under_the_right_key(self, door: Door) -> None:
        """Each event goes out byte for byte, as `segments publish` sends it, in order per key."""
        events = [
            event(1),
            event(2, "customer.registered", name="Zoë"),
            event(3, customer_id=None),
            *[event(number, customer_id=f"c{number % 7}") for number in range(10, 60)],
        ]
        body = "[" + ",\n ".join(json.dumps(one, ensure_ascii=False) for one in events) + "]"
        response = await door.raw(body.encode(), **bearer(token(Permission.WRITE_EVENTS)))

        assert response.status_code == 202
        data = {"accepted": 53}
        assert response.json() == {"success": True, "data": data, "message": "53 events have been accepted"}
        found = await door.records()
        assert len(found) == 53
        for one in found:
            sent = json.loads(one.value)
            kind = door.settings.customers_topic if sent["type"].startswith("customer.") else door.settings.orders_topic
            assert one.topic == kind
            assert one.key == (None if sent["data"]["customer_id"] is None else sent["data"]["customer_id"].encode())
            assert dict(one.headers) == {"content-type": b"application/cloudevents+json"}
        registered = json.dumps(events[1], ensure_ascii=False).encode()
        assert [one.value for one in found if one.topic == door.settings.customers_topic] == [registered]
        orders = [one for one in found if one.topic == door.settings.orders_topic]
        for key in {one.key for one in orders}:
            numbers = [int(json.loads(one.value)["id"][1:]) for one in orders if one.key == key]
            assert numbers == sorted(numbers)

    async def test_trace(self, door: Door) -> None:
        """The request's trace goes with the events that have none of their own; one that is none goes nowhere."""
        own = {**event(1), "traceparent": TRACE.replace("b7ad", "aaaa")}
        assert (await door.post([own, event(2)], traceparent=TRACE)).status_code == 202
        assert (await door.post([event(3)], traceparent="nonsense")).status_code == 202

        found = {json.loads(one.value)["id"]: dict(one.headers).get("traceparent") for one in await door.records()}
        assert found == {"e1": None, "e2": TRACE.encode(), "e3": None}

    async def test_many_at_once(self, door: Door) -> None:
        """Requests beside each other are each answered for their own events."""
        some = [[event(number * 100 + one) for one in range(50)] for number in range(20)]
        responses = await asyncio.gather(*(door.post(events) for events in some))

        assert {response.status_code for response in responses} == {202}
        assert len(await door.records()) == 1_000

    async def test_as_many_as_allowed(self, door: Door) -> None:
        """A thousand are taken, and one more is not."""
        events = [event(number) for number in range(1_001)]
        assert (await door.post(events[:1_000])).status_code == 202
        refused = await door.post(events)

        assert refused.status_code == 422
        assert refused.json()["message"] == "body: has 1001 events; send 1 to 1000"
        assert len(await door.records()) == 1_000


class TestRefused:
    """What never reaches a topic."""

    async def test_all_faults_at_once(self, door: Door) -> None:
        """Each bad event is told with its place and reason, and the good ones beside them are not published."""
        good, late = event(1), {**event(7), "time": "2023-11-14T22:18:20.000001Z"}
        events: list[Any] = [
            good,
            event(2, total="ten"),
            event(3, currency="EUR"),
            {**event(4), "type": "order.exploded"},
            {**event(5), "time": None},
            event(6, items=[{"product_id": "p"}, {}]),
            late,
            5,
            {"type": "track", "messageId": "m", "userId": "u", "event": "x", "timestamp": "2023-11-01T00:00:00Z"},
        ]
        response = await door.post(events)

        assert response.status_code == 422
        assert [(fault["path"], fault["code"]) for fault in response.json()["errors"]] == [
            ("[1].data.total", "invalid_data"),
            ("[2].data.currency", "wrong_currency"),
            ("[3].type", "unknown_type"),
            ("[4].time", "invalid_data"),
            ("[5].data.items[1].product_id", "invalid_data"),
            ("[6].time", "future_event"),
            ("[7]", "invalid_data"),
            ("[8]", "invalid_data"),
        ]
        assert response.json()["errors"][0]["message"] == "must be a number or a decimal string such as 99.90"
        assert await door.records() == []
        assert (await door.post([{**event(7), "time": "2023-11-14T22:18:20Z"}])).status_code == 202

    @pytest.mark.parametrize(
        ("body", "status"),
        [(b"", 400), (b"[", 400), (b"\xff", 400), (b"[" * 100_000, 400), (b"{}", 422), (b"5", 422), (b"[]", 422)],
    )
    async def test_no_list(self, lonely: Door, body: bytes, status: int) -> None:
        """A body that is no list of events is a 400 or a 422."""
        response = await lonely.raw(body, **bearer(token(Permission.WRITE_EVENTS)))

        assert response.status_code == status
        assert response.json()["message"]

    async def test_too_large(self, lonely: Door) -> None:
        """More than 4 MiB are a 413, signed or not."""
        body = b" " * (BODY_BYTES_MAX + 1)

        assert (await lonely.raw(body, **bearer(token(Permission.WRITE_EVENTS)))).status_code == 413
        assert (await lonely.raw(body, **{"x-signature-256": "sha256=00"})).status_code == 413

    async def test_permission(self, lonely: Door) -> None:
        """Without a token 401, with all other permissions 403; unknown parameters 422."""
        others = bearer(token(*(one for one in Permission if one is not Permission.WRITE_EVENTS)))

        assert (await lonely.raw(b"[]")).status_code == 401
        assert (await lonely.raw(b"[]", **others)).status_code == 403
        allowed = bearer(token(Permission.WRITE_EVENTS))
        assert (await lonely.client.post(PATH + "?dry_run=1", content=b"[]", headers=allowed)).status_code == 422
