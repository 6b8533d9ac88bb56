"""Watches from outside while the faults run: probes that measure recovery, and an observer of topic and tables.

The observer compares each published change with the tables when it sees it: the transition must be stored, with the
same instant, for a table that lags behind the topic is a lie that somebody may have read.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import deque
from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.partitioner import murmur2

from tests.soak.sender import Sender
from tests.soak.stream import Change, Order, change_of, micros

#: How asyncpg says that the server is gone; the third is no PostgresError and speaks of its own states.
LOST = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)
PROBE_SECONDS = 0.3
#: A probe by time is due so long after it was sent.
DUE_SECONDS = 0.3
LOOK_SECONDS = 0.1
PROBES_KEPT = 400  # two minutes
CHANGES_MAX = 500
CUSTOMERS_FOLLOWED_MAX = 50_000
FAULTS_KEPT = 10
STORED = """
SELECT k.number, m.joined_at, m.left_at
FROM unnest($1::uuid[], $2::uuid[], $3::bigint[]) WITH ORDINALITY AS k (customer_id, segment_id, ordinal, number)
LEFT JOIN LATERAL (
    SELECT joined_at, left_at FROM customer_segment_memberships
    WHERE customer_id = k.customer_id AND segment_id = k.segment_id AND ordinal = k.ordinal OFFSET 0
) m ON true
"""
#: Changes of large batches on their way into the table.
WAITING = """
SELECT c.customer_id::text, c.segment_id::text, c.ordinal, c.at FROM membership_changes w
CROSS JOIN LATERAL unnest(w.customer_ids, w.segment_ids, w.ordinals, w.instants)
    AS c (customer_id, segment_id, ordinal, at)
"""
#: The table grows from nothing: statistics lag, and a plan that scans it all would be kept.
PLANS = {"enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off", "jit": "off"}
#: Stays of one customer in one segment that overlap, or end before they begin, among some customers of now.
CROOKED = """
SELECT customer_id, segment_id, ordinal FROM (
    SELECT customer_id, segment_id, ordinal, joined_at, left_at,
           lag(left_at, 1, '-infinity') OVER (PARTITION BY customer_id, segment_id ORDER BY ordinal) AS before
    FROM customer_segment_memberships WHERE customer_id = ANY($1::uuid[])
) s
WHERE before IS NULL OR joined_at < before OR left_at < joined_at
"""


def partition_of(key: bytes, partitions: int) -> int:
    """As Kafka's clients choose it."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


class Watch:
    """Probes and observer; `faults` must stay empty."""

    def __init__(self, bootstrap: str, database_url: str, topic: str, input_topic: str, partitions: int) -> None:
        self._bootstrap, self._database_url = bootstrap, database_url
        self._topic, self._input_topic, self._partitions = topic, input_topic, partitions
        self._stop = asyncio.Event()
        self._sent: dict[str, tuple[int, float]] = {}  # (partition, or -1 for time; when)
        self._seen: dict[int, deque[tuple[float, float]]] = {
            place: deque(maxlen=PROBES_KEPT) for place in range(-1, partitions)
        }
        self._order = Order(CUSTOMERS_FOLLOWED_MAX)
        self._connection: Any = None
        self.faults: list[str] = []
        self.compared = self.probes = self.wrong = 0

    async def run(self) -> None:
        """Runs until `stop`."""
        await asyncio.gather(self._probe(), self._observe())

    def stop(self) -> None:
        """Ends both."""
        self._stop.set()

    # Recovery

    def recovered(self, since: float) -> tuple[float | None, float | None]:
        """Seconds from `since` until a probe sent later was seen: on every partition, and by time; None: not yet."""
        by_place = {
            place: next((arrived - since for sent, arrived in seen if sent >= since), None)
            for place, seen in self._seen.items()
        }
        by_time = by_place.pop(-1)
        found = [seconds for seconds in by_place.values() if seconds is not None]
        return (max(found) if len(found) == self._partitions else None), by_time

    async def wait_recovered(self, since: float, seconds_max: float) -> tuple[float | None, float | None]:
        """As `recovered`, once both are there or the time is up."""
        deadline = time.monotonic() + seconds_max
        while None in (found := self.recovered(since)) and time.monotonic() < deadline:  # noqa: ASYNC110 - clocks too
            await asyncio.sleep(LOOK_SECONDS)
        return found

    async def _probe(self) -> None:
        """Turns one customer of each partition on and off, and lets a new one be moved by time, over and over."""
        customers: list[str] = []
        number = 0
        while len(customers) < self._partitions:
            name = str(uuid5(NAMESPACE_URL, f"probe-{number}-{time.time_ns()}"))
            number += 1
            if partition_of(name.encode(), self._partitions) == len(customers):
                customers.append(name)
        sender = Sender(self._bootstrap)
        await sender.start()
        is_on = False
        while not self._stop.is_set():
            is_on = not is_on
            for place, customer_id in enumerate(customers):
                data = {"traits": {"probe": "on" if is_on else "off"}}
                await self._tell(sender, place, customer_id, "customer.updated", time.time_ns() // 1_000, data)
            fresh = str(uuid5(NAMESPACE_URL, f"time-{time.time_ns()}"))
            past = time.time_ns() // 1_000 - 60_000_000 + int(DUE_SECONDS * 1_000_000)
            await self._tell(sender, -1, fresh, "customer.activity", past, {"name": "probed"})
            await sender.mend()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), PROBE_SECONDS)
        await sender.close()

    async def _tell(self, sender: Sender, place: int, customer_id: str, kind: str, at: int, data: dict) -> None:
        self.probes += 1
        event_id = f"probe-{self.probes}-{customer_id}"
        event = {
            "specversion": "1.0",
            "id": event_id,
            "source": "/tests/soak/probe",
            "type": kind,
            "time": datetime.fromtimestamp(at / 1_000_000, UTC).isoformat(timespec="microseconds"),
            "data": {"customer_id": customer_id, **data},
        }
        self._sent[customer_id if place < 0 else event_id] = (place, time.monotonic())
        await sender.send(self._input_topic, customer_id.encode(), json.dumps(event).encode())

    def _note(self, one: Change) -> None:
        """A change that a probe caused; one by time has no event as cause."""
        name = one.cause if one.cause is not None else "" if one.has_joined else one.customer_id
        sent = self._sent.pop(name, None)
        if sent is not None:
            self._seen[sent[0]].append((sent[1], time.monotonic()))

    # The observer

    async def _observe(self) -> None:
        positions: dict[TopicPartition, int] = {}
        while not self._stop.is_set():
            consumer = AIOKafkaConsumer(
                bootstrap_servers=self._bootstrap,
                group_id=None,
                isolation_level="read_committed",
                fetch_max_wait_ms=50,
                auto_offset_reset="earliest",
            )
            try:
                await consumer.start()
                places = [TopicPartition(self._topic, number) for number in range(self._partitions)]
                consumer.assign(places)
                for place in places:
                    consumer.seek(place, positions.get(place, 0))
                while not self._stop.is_set():
                    batches = await consumer.getmany(timeout_ms=200, max_records=CHANGES_MAX)
                    for place, records in batches.items():
                        positions[place] = records[-1].offset + 1
                    await self._take([change_of(record) for records in batches.values() for record in records])
            except (KafkaError, OSError):
                await asyncio.sleep(0.1)
            finally:
                with contextlib.suppress(Exception):
                    await consumer.stop()
        if self._connection is not None:
            self._connection.terminate()

    async def _take(self, changes: list[Change]) -> None:
        for one in changes:
            self._note(one)
            for fault in self._order.faults(one):
                self._complain(fault)
        while changes:
            try:
                await self._compare(changes)
            except LOST:
                if self._connection is not None:
                    self._connection.terminate()
                self._connection = None
                await asyncio.sleep(0.05)
            else:
                self.compared += len(changes)
                return

    async def _compare(self, changes: list[Change]) -> None:
        if self._connection is None:
            self._connection = await asyncpg.connect(
                self._database_url, timeout=5, command_timeout=10, server_settings=PLANS
            )
        columns = zip(*((one.customer_id, one.segment_id, one.joined_as) for one in changes), strict=True)
        # First what waits to be merged: what is merged between the two looks is in the table by the second.
        waiting = {tuple(row[:3]): row[3] for row in await self._connection.fetch(WAITING)}
        rows = await self._connection.fetch(STORED, *map(list, columns))
        for number, joined_at, left_at in rows:
            one = changes[number - 1]
            stored = joined_at if one.has_joined else left_at
            if stored is None:
                ordinal = one.joined_as if one.has_joined else one.joined_as + 1
                stored = waiting.get((one.customer_id, one.segment_id, ordinal))
            if stored is None:
                self._complain(f"published and not stored: {one}")
            elif micros(stored) != one.at:
                self._complain(f"stored with another instant, {stored}: {one}")
        for row in await self._connection.fetch(CROOKED, list({one.customer_id for one in changes[:50]})):
            self._complain(f"stays overlap or end before they begin: {tuple(map(str, row))}")

    def _complain(self, fault: str) -> None:
        self.wrong += 1
        if len(self.faults) < FAULTS_KEPT:
            self.faults.append(fault)
