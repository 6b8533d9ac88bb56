"""Garbage in the input: every bad record is set aside once, with its bytes and its reason; its neighbours go on."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from service.adapters.postgres.database import Database
from tests import shop
from tests.topics import topics_now
from tests.world import World, create, members

ORDER = {"order_id": "o1", "customer_id": "good", "currency": "USD", "total": 1}


def cloud(kind: str = "order.placed", **changes: Any) -> dict:
    """A CloudEvent."""
    return {
        "specversion": "1.0",
        "id": "x",
        "source": "/t",
        "type": kind,
        "time": "2024-02-01T00:00:00Z",
        "data": ORDER,
    } | changes


def encoded(event: dict) -> bytes:
    """Its bytes."""
    return json.dumps(event).encode()


#: (reason, value, headers)
BAD: list[tuple[str, bytes | None, list]] = [
    ("invalid_json", b"{broken", []),
    ("invalid_json", b"\xff\xfe\x00", []),
    ("invalid_data", None, []),
    ("invalid_data", b"{}", []),
    ("unknown_type", encoded(cloud("order.vanished")), []),
    ("invalid_data", encoded(cloud(data={"order_id": "o"})), []),
    ("invalid_data", encoded(cloud(data={**ORDER, "customer_id": "nul\0"})), []),
    ("invalid_data", encoded(cloud()), [("x", b"\xff\xfe")]),
    ("wrong_currency", encoded(cloud(data={**ORDER, "currency": "XXX"})), []),
    ("future_event", encoded(cloud(time="9999-12-31T00:00:00Z")), []),
    ("invalid_data", encoded(cloud(time="not a time")), []),
    ("too_large", b'{"x":"' + b"y" * 20_000_000 + b'"}', []),
]


async def send(made: World, records: list[tuple[bytes | None, bytes | None, list]]) -> None:
    """Sends raw records to one partition, in order."""
    producer = AIOKafkaProducer(bootstrap_servers=made.kafka, max_request_size=40_000_000)
    await producer.start()
    try:
        for key, value, headers in records:
            await producer.send_and_wait(made.orders, value, key=key, headers=headers, partition=0)
    finally:
        await producer.stop()


def letters_of(made: World) -> list:
    """What lies on the dead letter topic under read_committed."""
    return topics_now(made.kafka, made.dead)


class TestGarbage:
    """Bad records among good ones."""

    async def test_neighbours_are_applied_and_bad_records_set_aside(self, made: World, database: Database) -> None:
        """Each bad record becomes one dead letter with original bytes, key and place; the good ones all count."""
        await create(database, {"buyers": {"total_orders": {"operator": "gte", "value": 1}}}, shop.CLOCK)
        good = [
            encoded(cloud(id=f"g{n}", data={**ORDER, "customer_id": f"good{n}", "order_id": f"o{n}"}))
            for n in range(len(BAD) + 1)
        ]
        records: list[tuple[bytes | None, bytes | None, list]] = [(b"k", good[0], [])]
        for number, (_, value, headers) in enumerate(BAD):
            records += [(f"key{number}".encode(), value, headers), (b"k", good[number + 1], [])]
        await send(made, records)
        made.start_all()
        made.wait_idle()

        assert await members(database) == {"buyers": {f"good{n}" for n in range(len(good))}}
        found = {int(dict(one.headers)["x-original-offset"]): one for one in letters_of(made)}
        assert len(found) == len(BAD)
        for number, (reason, value, _) in enumerate(BAD):
            letter = found[1 + 2 * number]
            headers = dict(letter.headers)
            assert headers["x-reason"].decode() == reason
            assert headers["x-error"].decode().endswith(".")
            assert headers["x-original-topic"].decode() == made.orders
            assert headers["x-original-partition"] == b"0"
            assert int(headers["x-original-timestamp"]) > 0
            assert letter.key == f"key{number}".encode()
            if reason == "too_large":
                assert value is not None
                assert letter.value == value[:65_536]
                assert headers["x-truncated"].decode() == str(len(value))
            else:
                assert letter.value == value
        made.verify()
        listed = json.loads(made.run("dead-letters", "list", "--json", "--limit", "5"))
        assert (listed["total"], len(listed["items"])) == (len(BAD), 5)
        contract = {"id", "reason", "error", "topic", "partition", "offset", "at"}
        assert set(listed["items"][0]) == contract | {"redrives", "redriven_at"}
        shown = json.loads(made.run("dead-letters", "show", str(listed["items"][-1]["id"]), "--json"))
        assert shown["reason"] == listed["items"][-1]["reason"]

    async def test_replayed_input_makes_no_second_dead_letter(self, made: World, database: Database) -> None:
        """Reading the same offsets again, by standard tools, changes nothing: facts, letters and changes stay."""
        await create(database, {"everybody": {}}, shop.CLOCK)
        await send(made, [(b"a", b"junk", []), (b"b", encoded(cloud()), [])])
        made.start_all()
        made.wait_idle()
        changes, letters = made.changes(), letters_of(made)
        assert made.stop("consume") == 0

        await rewind(made)
        made.start("consume")
        made.wait_idle()

        assert (made.changes(), len(letters_of(made))) == (changes, len(letters))
        assert len(letters) == 1


async def rewind(made: World) -> None:
    """Sets the group's offsets back to the start, as kafka-consumer-groups --reset-offsets does."""
    group = made.env["SEGMENTS_CONSUMER_GROUP"]
    await asyncio.sleep(7)  # a static member is gone when its session has run out
    consumer = AIOKafkaConsumer(bootstrap_servers=made.kafka, group_id=group, enable_auto_commit=False)
    await consumer.start()
    try:
        places = [TopicPartition(topic, n) for topic in (made.orders, made.customers) for n in range(3)]
        consumer.assign(places)
        await consumer.commit(dict.fromkeys(places, 0))
    finally:
        await consumer.stop()


class TestErasure:
    """customer.deleted through the whole pipeline."""

    async def test_nothing_is_left_and_nothing_comes_back(self, made: World, database: Database) -> None:
        """An erased customer leaves every segment, is in no table, and later events of that id are only recorded."""
        await create(
            database, {"everybody": {}, "buyers": {"total_orders": {"operator": "gte", "value": 1}}}, shop.CLOCK
        )
        made.start_all()
        name = "Zaphod Beeblebrox-zq4711"
        data = {"customer_id": "erase-me", "name": name, "email": "zaphodzq4711@example.com", "traits": {"a": name}}
        registered = cloud("customer.registered", id="r", time="2024-01-01T00:00:00Z", data=data)
        placed = cloud(id="p", data={**ORDER, "customer_id": "erase-me"})
        deleted = cloud("customer.deleted", id="d", time="2024-03-01T00:00:00Z", data={"customer_id": "erase-me"})
        wrong = {**placed, "data": {**placed["data"], "currency": "XXX", "items": name}}
        torn = encoded(registered)[:-2]
        made.publish([registered, placed], "--topic", made.orders)
        await send(made, [(None, encoded(wrong), []), (b"erase-me", b"zq4711 {", []), (None, torn, [("h", b"zq4711")])])
        made.wait_idle()
        made.publish([deleted], "--topic", made.orders)
        made.wait_idle()
        made.publish([{**registered, "id": "again"}], "--topic", made.orders)
        await send(made, [(None, encoded({**wrong, "id": "later"}), [])])
        made.wait_idle()

        assert await members(database) == {"everybody": set(), "buyers": set()}
        changes = [(one.change, one.reason) for one in made.changes()]
        assert changes.count(("left", "erasure")) == 2
        listed = json.loads(made.run("dead-letters", "list", "--json"))
        reasons = sorted(one["reason"] for one in listed["items"])
        assert reasons == ["erased", "erased", "invalid_data", "invalid_json", "invalid_json"]
        async with database.session() as connection:
            tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
            for (table,) in tables:
                rows = await connection.fetch(f"SELECT t::text FROM {table} t")  # noqa: S608 - names from the catalogue
                # Bytes show as hexadecimal digits.
                needles = [needle for word in ("zq4711", "erase-me") for needle in (word, word.encode().hex())]
                assert not [row for row in rows if any(needle in row[0] for needle in needles)], table
        assert "zq4711" not in made.logs()
        made.verify()
