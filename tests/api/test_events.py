"""Events over HTTP, into a real Kafka."""

from __future__ import annotations

import asyncio
import hmac
import json
import os
import secrets
import signal
import time
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from fastapi import FastAPI

from service.adapters.kafka.lasting import LastingPublisher
from service.adapters.kafka.topics import create_topics
from service.adapters.postgres.database import Database
from service.api.app import build_app
from service.api.events import BODY_BYTES_MAX, Intake
from service.app.tokens import Permission
from service.settings import Settings, SettingsError, load_settings
from service.stack.group import Servers
from service.stack.ports import free_port
from tests.api.support import NOW, SECRET, Broker, bearer, token
from tests.soak.proxy import Link

#: An answer that takes longer never comes.
HANGS_SECONDS = 60
PATH = "/api/events"
HMAC_SECRET = "whsec_" + b64encode(b"a secret of senders, 32 bytes at least").decode()
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def event(number: int, kind: str = "order.placed", **data: Any) -> dict[str, Any]:
    """A good event."""
    order = {"order_id": f"o{number}", "currency": "USD", "total": "9.90"} if kind == "order.placed" else {}
    envelope = {"specversion": "1.0", "id": f"e{number}", "source": "/t", "type": kind, "time": "2023-11-01T00:00:00Z"}
    return {**envelope, "data": {"customer_id": "c1", **order, **data}}


@dataclass
class Door:
    """The application on topics of its own."""

    app: FastAPI
    client: httpx2.AsyncClient
    settings: Settings

    async def post(self, body: Any, **headers: str) -> httpx2.Response:
        """Sends a body with a token that may send events."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.raw(json.dumps(body).encode(), **bearer(token(Permission.WRITE_EVENTS)), **named)

    async def raw(self, body: bytes, **headers: str) -> httpx2.Response:
        """Sends bytes with these headers alone."""
        return await self.client.post(PATH, content=body, headers=headers)

    async def records(self) -> list[Any]:
        """All that lies on the input topics, in order of topic, partition and offset."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.settings.kafka_bootstrap, group_id=None)
        await consumer.start()
        try:
            places = [TopicPartition(topic, number) for topic in self.settings.input_topics for number in range(3)]
            consumer.assign(places)
            ends = await consumer.end_offsets(places)
            for place in places:
                consumer.seek(place, 0)
            found: list[Any] = []
            while any([await consumer.position(place) < ends[place] for place in places]):
                for some in (await consumer.getmany(timeout_ms=200)).values():
                    found += some
            return sorted(found, key=lambda one: (one.topic, one.partition, one.offset))
        finally:
            await consumer.stop()


@asynccontextmanager
async def open_door(database: Database, settings: Settings) -> AsyncIterator[Door]:
    """An application with a client on it."""
    app = build_app(settings, database, lambda: NOW, Broker())
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://api.test") as client:
        yield Door(app, client, settings)
    await app.state.intake.publisher.close()


def door_settings(kafka: str, **changes: Any) -> Settings:
    """Settings with topics of their own."""
    name = f"t{uuid4().hex[:12]}"
    topics = {f"{one}_topic": f"{name}-{one}" for one in ("orders", "customers", "membership", "dead_letter")}
    values = {"jwt_secret": SECRET, "kafka_bootstrap": kafka, "partitions": 3, "events_hmac_secret": HMAC_SECRET}
    return load_settings(**{**values, **topics, **changes})


@pytest.fixture
async def door(database: Database, session_servers: Servers) -> AsyncIterator[Door]:
    """The application on topics of this test's own."""
    settings = door_settings(session_servers.kafka_bootstrap)
    await create_topics(settings)
    async with open_door(database, settings) as made:
        yield made


@pytest.fixture
async def lonely(database: Database) -> AsyncIterator[Door]:
    """The application without a broker."""
    async with open_door(database, door_settings("127.0.0.1:1")) as made:
        yield made


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


def standard(body: bytes, secret: str = HMAC_SECRET, at: float | None = None) -> dict[str, str]:
    """The headers of Standard Webhooks."""
    moment = str(int(time.time() if at is None else at))
    key = b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"msg_1.{moment}.".encode() + body, sha256).digest()
    signature = "v1," + b64encode(digest).decode()
    return {"webhook-id": "msg_1", "webhook-timestamp": moment, "webhook-signature": signature}


def plain(body: bytes, secret: str = HMAC_SECRET) -> str:
    """The value of the one header."""
    return "sha256=" + hmac.new(secret.encode(), body, sha256).hexdigest()


class TestSigned:
    """Signatures in place of tokens."""

    async def test_accepted(self, door: Door) -> None:
        """Standard Webhooks and the plain header in both spellings do, and so does one right signature of several."""
        body = json.dumps([event(1)]).encode()
        both = standard(body)
        both["webhook-signature"] = "v1,AAAA v1a,x " + both["webhook-signature"]
        for headers in (
            standard(body),
            both,
            {"x-signature-256": plain(body)},
            {"X-Hub-Signature-256": plain(body).upper().replace("SHA256", "sha256")},
            {"x-signature-256": f"sha256=00, {plain(body)}"},
        ):
            response = await door.raw(body, **headers)

            assert response.status_code == 202, (headers, response.text)
        assert len(await door.records()) == 5

    @pytest.mark.parametrize(
        "headers",
        [
            lambda: {"x-signature-256": ""},
            lambda: {"x-signature-256": "sha256="},
            lambda: {"x-signature-256": "sha256=" + "0" * 64},
            lambda: {"x-signature-256": "sha1=" + "0" * 40},
            lambda: {"x-hub-signature-256": plain(b"[] ")},
            lambda: {"x-hub-signature-256": plain(b"[]", "x" * 40)},
            lambda: {"x-hub-signature-256": "sha256=\u00e9"},
            lambda: standard(b"[] "),
            lambda: standard(b"[]", b64encode(b"y" * 32).decode()),
            lambda: standard(b"[]", at=time.time() - 400),
            lambda: standard(b"[]", at=time.time() + 400),
            lambda: {**standard(b"[]"), "webhook-id": "msg_2"},
            lambda: {**standard(b"[]"), "webhook-id": ""},
            lambda: {**standard(b"[]"), "webhook-timestamp": "-1"},
            lambda: {**standard(b"[]"), "webhook-timestamp": "9" * 30},
            lambda: {**standard(b"[]"), "webhook-signature": ""},
            lambda: {**standard(b"[]"), "webhook-signature": "v2," + standard(b"[]")["webhook-signature"][3:]},
            lambda: {**standard(b"[]", at=1), "x-signature-256": plain(b"[]")},
        ],
    )
    async def test_refused(self, lonely: Door, headers: Callable[[], dict[str, str]]) -> None:
        """A wrong, old or missing part is a 401 with a sentence; the body is not looked at."""
        encoded = {name: value.encode("latin-1") for name, value in headers().items()}
        response = await lonely.client.post(PATH, content=b"[]", headers=encoded)

        assert response.status_code == 401
        assert response.json()["message"]

    async def test_without_secret(self, database: Database) -> None:
        """Where no secret is set no signature is right, not even that of an empty one."""
        async with open_door(database, door_settings("127.0.0.1:1", events_hmac_secret=None)) as made:
            response = await made.raw(b"[]", **{"x-signature-256": plain(b"[]", "")})

        assert response.status_code == 401
        assert "EVENTS_HMAC_SECRET" in response.json()["message"]

    async def test_opens_nothing_else(self, lonely: Door) -> None:
        """A signature stands for events:write alone."""
        response = await lonely.client.get("/api/customer-segments", headers=standard(b""))

        assert response.status_code == 401

    @pytest.mark.parametrize(
        "secret", ["short", "x" * 31, "whsec_" + "?" * 40, "whsec_" + b64encode(b"x" * 20).decode()]
    )
    def test_weak_secrets_stop_the_start(self, secret: str) -> None:
        """A secret that is too short or no base64 is refused by name."""
        with pytest.raises(SettingsError, match="SEGMENTS_EVENTS_HMAC_SECRET"):
            load_settings(events_hmac_secret=secret)


class TestBrokerAway:
    """What happens without Kafka."""

    async def test_503(self, lonely: Door) -> None:
        """The application starts all the same; events are answered by 503 with retry-after, at once."""
        async with asyncio.timeout(HANGS_SECONDS):
            response = await lonely.post([event(1)])

        assert response.status_code == 503
        assert int(response.headers["retry-after"]) > 0

    async def test_comes_back(self, door: Door) -> None:
        """A broker that hangs is a 503 within the time; afterwards requests are served, and nothing is lost."""
        host, _, port = str(door.settings.kafka_bootstrap).partition(":")
        assert host in ("127.0.0.1", "localhost")
        link = Link("kafka", free_port(), int(port))
        await link.start()
        away = door.settings.model_copy(update={"kafka_bootstrap": f"127.0.0.1:{link.port}"})
        intake: Intake = door.app.state.intake
        publisher = LastingPublisher(away, seconds_max=1.0)
        door.app.state.intake = replace(intake, publisher=publisher)
        try:
            with link.stalled():
                async with asyncio.timeout(HANGS_SECONDS):
                    assert (await door.post([event(1)])).status_code == 503
            assert await self.until_served(door, event(2))
        finally:
            door.app.state.intake = intake
            await publisher.close()
            await link.close()
        assert "e2" in {json.loads(one.value)["id"] for one in await door.records()}

    async def test_hangs_with_connections(self, door: Door, session_servers: Servers) -> None:
        """A broker that stands still is a 503 within the time; what it was sent by then arrives once, and in order."""
        if "kafka" not in session_servers.pids():
            pytest.skip("the broker is no child process of these tests")
        (pid,) = session_servers.pids()["kafka"]
        intake: Intake = door.app.state.intake
        publisher = LastingPublisher(door.settings, seconds_max=1.5)
        door.app.state.intake = replace(intake, publisher=publisher)
        try:
            assert (await door.post([event(1)])).status_code == 202
            os.kill(pid, signal.SIGSTOP)
            try:
                async with asyncio.timeout(HANGS_SECONDS):
                    assert (await door.post([event(2)])).status_code == 503
            finally:
                os.kill(pid, signal.SIGCONT)
            assert await self.until_served(door, event(3))
        finally:
            door.app.state.intake = intake
            await publisher.close()
        found = [json.loads(one.value)["id"] for one in await door.records()]
        assert list(dict.fromkeys(found)) in (["e1", "e2", "e3"], ["e1", "e3"])
        assert found.count("e1") == found.count("e3") == 1

    async def until_served(self, door: Door, one: dict[str, Any]) -> bool:
        """Whether the event is accepted within 20 s."""
        for _ in range(20):
            if (await door.post([one])).status_code == 202:
                return True
            await asyncio.sleep(0.5)
        return False

    async def test_no_topics(self, database: Database, session_servers: Servers) -> None:
        """Topics that do not exist are a 503 and not made by the way."""
        settings = door_settings(session_servers.kafka_bootstrap, orders_topic=f"none-{secrets.token_hex(6)}")
        async with open_door(database, settings) as made:
            response = await made.post([event(1)])

        assert response.status_code == 503
