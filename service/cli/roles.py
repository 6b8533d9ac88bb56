"""The roles, one process each: consume, relay, timers. `serve` has a module of its own."""

from __future__ import annotations

import asyncio

from service.bootstrap import open_runtime
from service.cli.run import run_role
from service.settings import Settings


def consume() -> None:
    """Apply events from the input topics: facts, profiles, memberships, one transaction a batch."""
    run_role("consume", _consume)


async def _consume(settings: Settings, stop: asyncio.Event) -> None:
    from consumers.events import EventConsumer

    async with open_runtime(settings, "consume") as runtime:
        await EventConsumer(runtime).run(stop)


def relay() -> None:
    """Publish joined/left events and dead letters from the outbox, each exactly once."""
    run_role("relay", _relay)


async def _relay(settings: Settings, stop: asyncio.Event) -> None:
    from producers.relay import Relay

    async with open_runtime(settings, "relay", pool_size=2) as runtime:
        await Relay(runtime).run(stop)


def timers() -> None:
    """Move customers whose membership changes by time alone, and run backfills."""
    run_role("timers", _timers)


async def _timers(settings: Settings, stop: asyncio.Event) -> None:
    from producers.timers import Timers

    async with open_runtime(settings, "timers") as runtime:
        await Timers(runtime).run(stop)
