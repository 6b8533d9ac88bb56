"""The soak's load, a process of its own: a shop's events as they happen, straight to the broker, until SIGTERM.

    python -m tests.soak.load CONFIG.json       {bootstrap, orders, customers, seed, rate, report}

Customers come in generations of a minute. Of ten customers one tells its events late and repeats itself, three use
both topics, as `segments publish` does, and six use one topic, so that their order is known.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import signal
import sys
import time
from collections import deque
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from uuid import NAMESPACE_URL, uuid5

from tests.soak.sender import Sender

GENERATION_SECONDS = 60
CUSTOMERS = 2_000
CATEGORIES = ("books", "games", "garden", "toys")
#: At most so many are under way: while the broker is away nothing new happens in the shop, and little comes late.
WAITING_MAX = 500
BURST = 100
LATE_SECONDS_MAX = 30
REPEATS = 0.03
TICK_SECONDS = 0.01


class Event(NamedTuple):
    """What goes out."""

    topic: str
    key: bytes
    value: bytes


class Shop:
    """Makes events up, the same for the same seed but for their instants."""

    def __init__(self, seed: int, orders: str, customers: str) -> None:
        self._seed, self._topics = seed, (orders, customers)
        self._chance = random.Random(seed)
        self._orders: dict[str, list[str]] = {}
        self._generation = 0
        self._number = 0
        self._latest = 0
        self._again: deque[Event] = deque()

    def next(self, elapsed: float) -> Event:
        """The event that happens now, `elapsed` seconds after the start; now and then one that was told before."""
        chance = self._chance
        if self._again and chance.random() < REPEATS:
            return self._again.popleft()
        generation = int(elapsed // GENERATION_SECONDS)
        if generation != self._generation:
            self._generation = generation
            self._orders = {key: ids for key, ids in self._orders.items() if len(ids) > 1}  # bounded over hours
        if generation and chance.random() < 0.3:
            generation -= 1
        who = chance.randrange(CUSTOMERS)
        customer_id = str(uuid5(NAMESPACE_URL, f"soak-{self._seed}-{generation}-{who}"))
        kind, data = self._what(customer_id)
        self._number += 1
        self._latest = max(self._latest + 1, time.time_ns() // 1_000)
        at = self._latest
        if who % 10 == 0:
            at -= chance.randrange(LATE_SECONDS_MAX * 1_000_000)
        event = {
            "specversion": "1.0",
            "id": f"soak-{self._seed}-{self._number}",
            "source": "/tests/soak",
            "type": kind,
            "time": datetime.fromtimestamp(at / 1_000_000, UTC).isoformat(timespec="microseconds"),
            "data": {"customer_id": customer_id, **data},
        }
        uses_both = who % 10 in (1, 2, 3)
        topic = self._topics[kind.startswith("customer.") if uses_both else who % 2]
        made = Event(topic, customer_id.encode(), json.dumps(event).encode())
        if chance.random() < (0.5 if who % 10 == 0 else REPEATS) and len(self._again) < 5_000:
            self._again.append(made)
        return made

    def _what(self, customer_id: str) -> tuple[str, dict]:
        chance, number = self._chance, self._number
        roll = chance.random()
        orders = self._orders.setdefault(customer_id, [])
        if roll < 0.35:
            names = ["viewed", "viewed", "viewed", "cart_added"]
            told = {"category": chance.choice(CATEGORIES), "price": chance.randrange(100, 9_000) / 100}
            properties = {key: value for key, value in told.items() if chance.random() < 0.9}
            return "customer.activity", {"name": chance.choice(names), "properties": properties}
        if roll < 0.62 or (roll < 0.8 and not orders):
            orders.append(f"o{number}")
            item = {"product_id": f"p{chance.randrange(12)}", "category": chance.choice(CATEGORIES), "quantity": 1}
            total = chance.randrange(100, 12_000) / 100
            return "order.placed", {"order_id": orders[-1], "currency": "USD", "total": total, "items": [item]}
        if roll < 0.68:
            return "order.updated", {"order_id": chance.choice(orders), "total": chance.randrange(0, 20_000) / 100}
        if roll < 0.73:
            return "order.cancelled", {"order_id": chance.choice(orders)}
        if roll < 0.8:
            about = chance.choice(orders) if chance.random() < 0.7 else None
            amount = chance.randrange(100, 9_000) / 100
            return "order.refunded", {"refund_id": f"r{number}", "order_id": about, "currency": "USD", "amount": amount}
        if roll < 0.88:
            return "customer.logged_in", {}
        attributes: dict[str, Any] = {
            "customer_type": chance.choice(["individual", "business", None]),
            "email_subscribed": chance.choice([True, False]),
            "location": {"country": chance.choice(["FR", "DE", "BR"])},
            "traits": {"tier": chance.choice(["gold", "silver", None])},
        }
        chosen = {name: value for name, value in attributes.items() if chance.random() < 0.6}
        return ("customer.registered" if roll < 0.94 else "customer.updated"), chosen


async def publish(config: dict[str, Any]) -> dict[str, int]:
    """Publishes at the rate, and faster after an outage, until SIGTERM and until at least `events_min` are out."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    shop = Shop(config["seed"], config["orders"], config["customers"])
    sender = Sender(config["bootstrap"])
    await sender.start()
    started = time.monotonic()
    sent = 0
    while not stop.is_set() or sent < config["events_min"]:
        elapsed = time.monotonic() - started
        for _ in range(min(BURST, int(elapsed * config["rate"]) - sent, WAITING_MAX - sender.waiting)):
            await sender.send(*shop.next(elapsed))
            sent += 1
        await sender.mend()
        await asyncio.sleep(TICK_SECONDS)
    await sender.close()
    return {"published": sent, "renewed": sender.renewed, "repeated": sender.repeated}


if __name__ == "__main__":
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it would tell of every try to reach the broker
    wanted = json.loads(Path(sys.argv[1]).read_text())
    report = asyncio.run(publish(wanted))
    Path(wanted["report"]).write_text(json.dumps(report))
