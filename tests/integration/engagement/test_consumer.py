"""The consumer in the dispatch role on a real broker: killed, replayed, and with what unsubscribing leads to."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer

from service.adapters.postgres.database import Database
from service.core.instants import to_text
from service.stack.group import Servers
from tests.integration.analytics.support import event
from tests.integration.engagement.support import NOW, add_campaign, add_messages, at, rows, told
from tests.topics import topics_now
from tests.world import World, create, members, until, world

PEOPLE = [f"c{n}" for n in range(60)]


@pytest.fixture
def made(session_servers: Servers, database_url: str) -> Iterator[World]:
    """Roles under the clock of these events."""
    with world(session_servers.kafka_bootstrap, database_url, to_text(NOW)) as running:
        yield running


async def send(made: World, events: list[dict[str, Any] | bytes]) -> None:
    """Events as providers write them: half of them in binary mode."""
    producer = AIOKafkaProducer(bootstrap_servers=made.kafka)
    await producer.start()
    try:
        for place, one in enumerate(events):
            value, headers = (one, []) if isinstance(one, bytes) else _written(one, is_binary=place % 2 == 0)
            await producer.send(made.engagement, value, key=str(place).encode(), headers=headers)
        await producer.flush()
    finally:
        await producer.stop()


def _written(one: dict[str, Any], *, is_binary: bool) -> tuple[bytes, list[tuple[str, bytes]]]:
    if not is_binary:
        return json.dumps(one).encode(), [("content-type", b"application/cloudevents+json")]
    names = ("specversion", "id", "source", "type", "time")
    headers = [(f"ce_{name}", one[name].encode()) for name in names] + [("content-type", b"application/json")]
    return json.dumps(one["data"]).encode(), headers


async def until_counted(database: Database, table: str, count: int) -> None:
    """Waits for so many rows."""
    found = -1
    for _ in range(600):
        (row,) = await rows(database, f"SELECT count(*) FROM {table}")  # noqa: S608
        found = row["count"]
        if found == count:
            return
        await asyncio.sleep(0.05)
    assert found == count


async def test_killed_and_replayed(made: World, database: Database) -> None:
    """Every event counts once, whatever is killed; read again nothing changes; bad ones are set aside."""
    sent = await add_messages(database, await add_campaign(database, state="sent"), PEOPLE)
    kinds = ("delivered", "opened", "clicked")
    events = [told(one, kind, at(1 + place)) for place, one in enumerate(sent) for kind in kinds]
    random.Random(3).shuffle(events)
    await send(made, [*events[:90], b"{broken", *events[60:120]])
    made.start("relay")
    made.start("dispatch")
    await until_counted(database, "campaign_engagement", 120)
    made.kill("dispatch")
    await send(made, [told(uuid4(), "delivered"), *events[90:]])
    made.start("dispatch")
    await until_counted(database, "campaign_engagement", len(events))
    await until_counted(database, "campaign_engagement_waiting", 1)
    before = await rows(database, "SELECT * FROM campaign_messages ORDER BY message_id")
    assert [row["opened_at"] is not None for row in before] == [True] * len(PEOPLE)
    assert made.stop("dispatch") == 0

    made.env["SEGMENTS_CONSUMER_GROUP"] += "-again"
    made.start("dispatch", 1)
    await send(made, [told(sent[0], "accepted", at(50), "the last one")])
    await until_counted(database, "campaign_engagement", len(events) + 1)
    after = await rows(database, "SELECT * FROM campaign_messages ORDER BY message_id")
    assert [row | {"accepted_at": None} for row in after] == before
    until(lambda: len(topics_now(made.kafka, made.dead)) > 0)
    (letter,) = topics_now(made.kafka, made.dead)
    assert letter.value == b"{broken"
    assert dict(letter.headers)["x-reason"] == b"invalid_json"

    made.run("dead-letters", "redrive", "--topic", made.engagement)
    until(lambda: len(topics_now(made.kafka, made.dead)) > 1)
    assert [one.value for one in topics_now(made.kafka, made.dead)] == [b"{broken"] * 2


async def test_segments_react(made: World, database: Database) -> None:
    """Who says no to a provider leaves a segment of those who want e-mail, by the fact that this service tells."""
    await create(database, {"wanting": {"email_subscribed": True}}, to_text(NOW))
    data = {"email": "a@example.org", "email_subscribed": True}
    made.publish([event("customer.registered", one, f"r-{one}", "2026-01-01T00:00:00Z", data) for one in ("c1", "c2")])
    made.start_all()
    made.wait_idle()
    assert await members(database) == {"wanting": {"c1", "c2"}}
    (one,) = await add_messages(database, await add_campaign(database, state="sent"), ["c1"])
    made.start("dispatch")
    await send(made, [told(one, "unsubscribed", method="provider"), told(one, "unsubscribed", at(3), "again")])
    await until_counted(database, "campaign_consents", 1)
    await _until_left(made, database)
    assert await members(database) == {"wanting": {"c2"}}
    assert len(topics_now(made.kafka, made.customers)) == 3


async def _until_left(made: World, database: Database) -> None:
    for _ in range(400):
        if await members(database) == {"wanting": {"c2"}}:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(made.logs())
