"""Every fault of the soak: how it is done, and from when on recovery counts. A table; the schedule draws from it."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from tests.soak.stage import Stage

#: The workers' session ends after 6 s.
FROZEN_SECONDS = (7.5, 10.0)
STALLED_SECONDS = (3.0, 8.0)
DELAYED_SECONDS = (3.0, 5.0)
LATENCY_SECONDS = (0.05, 0.3)
WORKERS = (1, 4)
ROLE_GOAL_SECONDS, SERVER_GOAL_SECONDS = 10.0, 20.0


class Done(NamedTuple):
    """A fault that is over: the instant from which recovery counts, and what was done in a few words."""

    since: float
    what: str


class Fault(NamedTuple):
    """One kind of fault.

    Attributes:
        counts_from: what recovery is measured from.
        goal_seconds: recovery should take no longer.
        cause: does it all, and returns when it is over.
    """

    counts_from: str
    goal_seconds: float
    cause: Callable[[Stage, random.Random], Awaitable[Done]]


async def _none(stage: Stage, chance: random.Random) -> Done:
    await asyncio.sleep(chance.uniform(1, 3))
    return Done(time.monotonic(), "nothing")


def _kill(role: str) -> Callable[[Stage, random.Random], Awaitable[Done]]:
    async def cause(stage: Stage, chance: random.Random) -> Done:
        slot = chance.choice(stage.slots(role))
        since = time.monotonic()
        stage.kill(role, slot)
        return Done(since, f"{role}-{slot}")

    return cause


def _freeze(role: str) -> Callable[[Stage, random.Random], Awaitable[Done]]:
    async def cause(stage: Stage, chance: random.Random) -> Done:
        slot, seconds = chance.choice(stage.slots(role)), chance.uniform(*FROZEN_SECONDS)
        stage.signal(role, slot, signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            stage.signal(role, slot, signal.SIGCONT)
        return Done(time.monotonic(), f"{role}-{slot} for {seconds:.1f} s")

    return cause


async def _replace_frozen_relay(stage: Stage, chance: random.Random) -> Done:
    """The relay freezes and loses its lead, another leads, then the first goes on as if nothing had happened."""
    [old] = stage.slots("relay")
    new, seconds = 1 - old, chance.uniform(*FROZEN_SECONDS)
    stage.signal("relay", old, signal.SIGSTOP)
    try:
        stage.start("relay", new)
        stage.postgres.reset()  # the database forgets the old relay's session, and with it the lead
        await asyncio.sleep(seconds)
    finally:
        stage.signal("relay", old, signal.SIGCONT)
    since = time.monotonic()
    await asyncio.sleep(chance.uniform(1, 2))
    stage.retire("relay", old)
    return Done(since, f"relay-{old} for {seconds:.1f} s, relay-{new} in its place")


def _restart(server: str, number: signal.Signals) -> Callable[[Stage, random.Random], Awaitable[Done]]:
    async def cause(stage: Stage, chance: random.Random) -> Done:
        since = time.monotonic()
        await asyncio.to_thread(stage.restart_server, server, number)
        return Done(since, f"{server} was away for {time.monotonic() - since:.1f} s")

    return cause


def _reset(server: str) -> Callable[[Stage, random.Random], Awaitable[Done]]:
    async def cause(stage: Stage, chance: random.Random) -> Done:
        times = chance.randint(1, 3)
        for _ in range(times):
            getattr(stage, server).reset()
            since = time.monotonic()
            await asyncio.sleep(chance.uniform(0.05, 0.8))
        return Done(since, f"{times} times")

    return cause


def _stall(server: str) -> Callable[[Stage, random.Random], Awaitable[Done]]:
    async def cause(stage: Stage, chance: random.Random) -> Done:
        seconds = chance.uniform(*STALLED_SECONDS)
        with getattr(stage, server).stalled():
            await asyncio.sleep(seconds)
        return Done(time.monotonic(), f"{seconds:.1f} s")

    return cause


def _delay(server: str) -> Callable[[Stage, random.Random], Awaitable[Done]]:
    async def cause(stage: Stage, chance: random.Random) -> Done:
        seconds, latency = chance.uniform(*DELAYED_SECONDS), chance.uniform(*LATENCY_SECONDS)
        with getattr(stage, server).delayed(latency):
            await asyncio.sleep(seconds)
        return Done(time.monotonic(), f"{latency * 1000:.0f} ms for {seconds:.1f} s")

    return cause


async def _scale(stage: Stage, chance: random.Random) -> Done:
    now = stage.slots("consume")
    wanted = chance.choice([count for count in range(WORKERS[0], WORKERS[1] + 1) if count != len(now)])
    since = time.monotonic()
    for slot in now[wanted:]:
        stage.retire("consume", slot)
    for slot in [slot for slot in range(WORKERS[1]) if slot not in now][: max(0, wanted - len(now))]:
        stage.start("consume", slot)
    return Done(since, f"from {len(now)} to {wanted} workers")


FAULTS: dict[str, Fault] = {
    "none": Fault("its end", ROLE_GOAL_SECONDS, _none),
    "consume: kill -9": Fault("the kill", ROLE_GOAL_SECONDS, _kill("consume")),
    "relay: kill -9": Fault("the kill", ROLE_GOAL_SECONDS, _kill("relay")),
    "timers: kill -9": Fault("the kill", ROLE_GOAL_SECONDS, _kill("timers")),
    "consume: frozen": Fault("SIGCONT", ROLE_GOAL_SECONDS, _freeze("consume")),
    "timers: frozen": Fault("SIGCONT", ROLE_GOAL_SECONDS, _freeze("timers")),
    "relay: frozen": Fault("SIGCONT", ROLE_GOAL_SECONDS, _freeze("relay")),
    "relay: frozen, replaced": Fault("SIGCONT", ROLE_GOAL_SECONDS, _replace_frozen_relay),
    "workers: 1 to 4": Fault("the change", ROLE_GOAL_SECONDS, _scale),
    "Kafka: kill -9": Fault("the kill", SERVER_GOAL_SECONDS, _restart("kafka", signal.SIGKILL)),
    "Kafka: SIGTERM": Fault("the signal", SERVER_GOAL_SECONDS, _restart("kafka", signal.SIGTERM)),
    "PostgreSQL: kill -9": Fault("the kill", SERVER_GOAL_SECONDS, _restart("postgres", signal.SIGKILL)),
    "PostgreSQL: fast": Fault("the signal", SERVER_GOAL_SECONDS, _restart("postgres", signal.SIGINT)),
    "link to Kafka: reset": Fault("the last reset", ROLE_GOAL_SECONDS, _reset("kafka")),
    "link to Kafka: stall": Fault("its end", ROLE_GOAL_SECONDS, _stall("kafka")),
    "link to Kafka: latency": Fault("its end", ROLE_GOAL_SECONDS, _delay("kafka")),
    "link to PostgreSQL: reset": Fault("the last reset", ROLE_GOAL_SECONDS, _reset("postgres")),
    "link to PostgreSQL: stall": Fault("its end", ROLE_GOAL_SECONDS, _stall("postgres")),
    "link to PostgreSQL: latency": Fault("its end", ROLE_GOAL_SECONDS, _delay("postgres")),
}
