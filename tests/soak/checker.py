"""Judges a soak when it is over: reads the raw input, folds it with the literal oracle, and holds all else against it.

    python -m tests.soak.checker CONFIG.json    prints {"events": ..., "faults": [...], ...}

Shares no code with the service. Input and output topics have equal partition counts and customers are named by the
UUIDs that the output's key shows, so a customer lies in partition i of all three, and partitions are judged one by
one, each in a process of its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition

from tests import oracle
from tests.soak.stream import Change, Order, change_of, micros
from tests.soak.verdict import Config, Verdict

#: The oracle folds all events anew for every instant: a probe's thousands would take it hours.
EXACT_EVENTS_MAX = 150
CUSTOMERS_A_QUERY = 2_000
FACTS = ("order_facts", "refunds", "customer_facts", "activities")
MEMBERSHIPS = """
SELECT customer_id::text, segment_id::text, ordinal, joined_at, left_at
FROM customer_segment_memberships WHERE customer_id = ANY($1::uuid[])
"""


class Told:
    """What the input says of one customer."""

    def __init__(self) -> None:
        self.raw: dict[str, bytes] = {}
        self.topics: set[str] = set()
        self.latest: tuple = ()
        self.is_in_order = True

    def take(self, event: dict, record: Any, grace_us: int) -> bool:
        """Notes one record; whether its event is new. In order: ascending on one topic, there within the grace."""
        if event["id"] in self.raw:
            return False
        self.raw[event["id"]] = record.value
        self.topics.add(record.topic)
        stamp = oracle.stamp(event)
        is_punctual = record.timestamp * 1_000 - stamp[0] <= grace_us
        self.is_in_order &= stamp > self.latest and is_punctual and len(self.topics) == 1
        self.latest = stamp
        return True

    def events(self) -> list[dict]:
        """Each once."""
        return [json.loads(value) for value in self.raw.values()]


async def records(config: Config, topic: str, partition: int) -> list[Any]:
    """Everything that a read_committed reader gets from one partition."""
    place = TopicPartition(topic, partition)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=config.bootstrap,
        group_id=None,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
    )
    await consumer.start()
    found: list[Any] = []
    try:
        consumer.assign([place])
        end = (await consumer.end_offsets([place]))[place]
        consumer.seek(place, 0)
        while await consumer.position(place) < end:
            for some in (await consumer.getmany(timeout_ms=500)).values():
                found += some
    finally:
        await consumer.stop()
    return found


async def stays(config: Config, customers: list[str]) -> dict[tuple[str, str], list[tuple]]:
    """(ordinal, joined_at, left_at or None) of each customer and segment, in order; instants in microseconds."""
    found: dict[tuple[str, str], list[tuple]] = defaultdict(list)
    connection = await asyncpg.connect(config.database_url)
    try:
        for first in range(0, len(customers), CUSTOMERS_A_QUERY):
            some = [UUID(one) for one in customers[first : first + CUSTOMERS_A_QUERY]]
            for customer_id, segment_id, ordinal, joined_at, left_at in await connection.fetch(MEMBERSHIPS, some):
                left = None if left_at is None else micros(left_at)
                found[customer_id, segment_id].append((ordinal, micros(joined_at), left))
    finally:
        await connection.close()
    return {key: sorted(some, key=lambda one: one[0]) for key, some in found.items()}


def judge(config: Config, partition: int) -> Verdict:
    """One partition, in a process of its own."""
    return asyncio.run(_judge(config, partition))


async def _judge(config: Config, partition: int) -> Verdict:
    verdict = Verdict()
    told = await _read_input(config, partition, verdict)
    history = await _read_output(config, partition, told, verdict)
    stored = await stays(config, list(told))
    verdict.stays = sum(map(len, stored.values()))
    _table_is_topic(history, stored, verdict)
    names = {segment_id: name for name, segment_id in config.segments.items()}
    for (_, segment_id), some in stored.items():
        if some[-1][2] is None:
            verdict.open[names[segment_id]] = verdict.open.get(names[segment_id], 0) + 1
    _members_are_right(config, told, history, stored, verdict)
    _histories_are_right(config, partition, told, history, verdict)
    return verdict


async def _read_input(config: Config, partition: int, verdict: Verdict) -> dict[str, Told]:
    told: dict[str, Told] = defaultdict(Told)
    for topic in config.inputs:
        for record in await records(config, topic, partition):
            event = json.loads(record.value)
            customer = told[event["data"]["customer_id"]]
            verdict.records += 1
            if customer.take(event, record, config.grace_us):
                verdict.events += 1
            elif customer.raw[event["id"]] != record.value:
                verdict.complain(f"the load itself is wrong: {event['id']} has two contents")
    verdict.customers = len(told)
    verdict.in_order = sum(one.is_in_order for one in told.values())
    return told


async def _read_output(
    config: Config, partition: int, told: dict[str, Told], verdict: Verdict
) -> dict[tuple[str, str], list[Change]]:
    """Changes of each customer and segment in the order of the topic."""
    history: dict[tuple[str, str], list[Change]] = defaultdict(list)
    order, ids = Order(), set()
    for record in await records(config, config.output, partition):
        one = change_of(record)
        verdict.changes += 1
        if one.event_id in ids:
            verdict.complain(f"an id that came before: {one}")
        ids.add(one.event_id)
        for fault in order.faults(one):
            verdict.complain(fault)
        customer = told.get(one.customer_id)
        if customer is None:
            verdict.complain(f"speaks of a customer of whom the input says nothing: {one}")
        elif one.cause is not None and one.cause not in customer.raw:
            verdict.complain(f"caused by an event that the input does not have: {one}")
        history[one.customer_id, one.segment_id].append(one)
    return history


def _table_is_topic(
    history: dict[tuple[str, str], list[Change]], stored: dict[tuple[str, str], list[tuple]], verdict: Verdict
) -> None:
    """Stay for stay: what is stored was published, and the other way round."""
    for key in history.keys() | stored.keys():
        published: list[tuple] = []
        for one in history.get(key, []):
            if one.has_joined:
                published.append((one.ordinal, one.at, None))
            elif published:
                published[-1] = (*published[-1][:2], one.at)
        if published != stored.get(key, []):
            verdict.complain(f"{key}: published {published[-3:]}, stored {stored.get(key, [])[-3:]}")


def _members_are_right(
    config: Config,
    told: dict[str, Told],
    history: dict[tuple[str, str], list[Change]],
    stored: dict[tuple[str, str], list[tuple]],
    verdict: Verdict,
) -> None:
    """At the instant: the oracle's members are those of the table and those of the topic."""
    in_table = {
        key for key, some in stored.items() if any(a <= config.at and (b is None or b > config.at) for _, a, b in some)
    }
    in_topic = set()
    for key, some in history.items():
        latest = [one for one in some if one.at <= config.at][-1:]
        if latest and latest[0].has_joined:
            in_topic.add(key)
    for customer_id, customer in told.items():
        found = oracle.members_at(customer.events(), config.criteria, config.at)
        for name, segment_id in config.segments.items():
            expected = bool(found[name])
            verdict.memberships += expected
            for where, members in (("table", in_table), ("topic", in_topic)):
                if ((customer_id, segment_id) in members) != expected:
                    verdict.complain(f"{customer_id} in {name!r}: {expected}, and the {where} says otherwise")


def _histories_are_right(
    config: Config,
    partition: int,
    told: dict[str, Told],
    history: dict[tuple[str, str], list[Change]],
    verdict: Verdict,
) -> None:
    """Of some customers whose events came in order: every change is there, at exactly its instant."""
    chosen = sorted(name for name, one in told.items() if one.is_in_order and len(one.raw) <= EXACT_EVENTS_MAX)
    random.Random(config.seed * 1_000 + partition).shuffle(chosen)
    chosen = chosen[: -(-config.exact_customers // config.partitions)]
    names = {segment_id: name for name, segment_id in config.segments.items()}
    published: dict[str, dict[tuple[str, int], int]] = defaultdict(lambda: defaultdict(int))
    for (customer_id, segment_id), some in history.items():
        for one in some:
            if one.at <= config.at:
                published[customer_id][names[segment_id], one.at] += 1 if one.has_joined else -1
    for customer_id in chosen:
        found = sorted((name, at, sign) for (name, at), sign in published[customer_id].items() if sign)
        changes = oracle.transitions(told[customer_id].events(), config.criteria, config.at)
        expected = sorted((name, at, 1 if change == "joined" else -1) for _, name, at, change in changes)
        verdict.exact += 1
        if found != expected:
            missing = sorted(set(expected) - set(found))[:3]
            verdict.complain(
                f"history of {customer_id}: missing {missing}, too much {sorted(set(found) - set(expected))[:3]}"
            )


async def _overall(config: Config, total: Verdict) -> None:
    """What belongs to no partition: nothing more is stored than was judged, and nothing was set aside."""
    connection = await asyncpg.connect(config.database_url)
    try:
        stored = await connection.fetchval("SELECT count(*) FROM customer_segment_memberships")
        if stored != total.stays:
            total.complain(f"{stored} stays are stored, {total.stays} belong to customers of the input")
        facts = 0
        for table in FACTS:
            facts += await connection.fetchval(f"SELECT count(*) FROM {table}")  # noqa: S608 - a constant
        if facts != total.events:
            total.complain(f"{facts} facts are stored of {total.events} events")
        left = await connection.fetchval("SELECT count(*) FROM outbox")
        if left:
            total.complain(f"{left} rows are still in the outbox")
        for reason, place in await connection.fetch("SELECT reason, topic || '/' || partition FROM dead_letters"):
            total.complain(f"dead letter: {reason} of {place}")
        for name, count in await connection.fetch("SELECT segment_name, customer_count FROM customer_segments"):
            if count != total.open.get(name, 0):
                total.complain(f"the count of {name!r} is {count}, its members are {total.open.get(name, 0)}")
    finally:
        await connection.close()
    for partition in range(config.partitions):
        for record in await records(config, config.dead, partition):
            total.complain(f"published dead letter: {record.headers}")


def check(config: Config) -> Verdict:
    """Judges every partition, then the whole."""
    total = Verdict()
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for verdict in pool.map(judge, [config] * config.partitions, range(config.partitions)):
            total.add(verdict)
    asyncio.run(_overall(config, total))
    return total


if __name__ == "__main__":
    answer = check(Config(**json.loads(Path(sys.argv[1]).read_text())))
    sys.stdout.write(json.dumps(asdict(answer)) + "\n")
